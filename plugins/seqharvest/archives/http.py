"""Talks to the archives' HTTP services: retries, pacing, and errors dressed up as answers."""

from __future__ import annotations

import fcntl
import logging
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar

import httpx
import tenacity

from seqharvest.errors import ArchiveError, SeqharvestError
from seqharvest.settings import settings

log = logging.getLogger(__name__)
# httpx logs every address at INFO, with the API key in it.
logging.getLogger("httpx").setLevel(logging.WARNING)
Answer = TypeVar("Answer")

USER_AGENT = "seqharvest/0.1"
# 408, 425 and 429 say "again later"; all of 5xx may pass.
AGAIN_LATER = frozenset({408, 425, 429})
# Secret, or the same in every request: what tells one address from another is shown.
NOT_SHOWN = frozenset({"api_key", "email", "tool", "fields", "format", "retmode"})


class PassingError(ArchiveError):
    """An archive's failure that may pass; `after` is the wait in seconds it asked for."""

    def __init__(self, what: str, remedy: str = "", *, after: float | None = None) -> None:
        super().__init__(what, remedy)
        self.after = after


class NoContentError(ArchiveError):
    """An archive has nothing to show for an accession, which is not the same as no results."""


@dataclass(frozen=True)
class Patience:
    """How long a request is pursued; all times in seconds."""

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    #: A server that asks for more than this is reported instead of waited for.
    longest_retry_after: float = 300.0
    timeout: float = 60.0


class ArchiveClient:
    """An HTTP client that returns an answer that parses, or raises `ArchiveError`.

    `spacing` is called before each request and waits for this service's turn; `asked` counts the
    requests by service (the last part of their path).
    """

    def __init__(
        self,
        patience: Patience | None = None,
        spacing: Callable[[], None] = lambda: None,
    ) -> None:
        self.patience = patience or Patience()
        self.spacing = spacing
        self.asked: Counter[str] = Counter()
        self._client = httpx.Client(
            timeout=self.patience.timeout,
            follow_redirects=True,
            headers={"User-Agent": USER_AGENT},
        )

    def __enter__(self) -> ArchiveClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(
        self,
        url: str,
        params: Mapping[str, str],
        parse: Callable[[httpx.Response], Answer],
    ) -> Answer:
        """Return `parse(response)`, asking again while it fails with a `PassingError`.

        Raises `ArchiveError` naming the address once patience is at its end.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingError),
            stop=tenacity.stop_after_attempt(self.patience.attempts),
            wait=self._wait,
            before_sleep=_log_retry,
            reraise=True,
        )
        return retrying(self._once, url, params, parse)

    def _once(
        self, url: str, params: Mapping[str, str], parse: Callable[[httpx.Response], Answer]
    ) -> Answer:
        self.spacing()
        self.asked[url.rpartition("/")[2]] += 1
        where = describe(url, params)
        try:
            response = self._client.get(url, params=dict(params))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise PassingError(f"{where} gave no answer: {reason}") from error
        check_status(response, where, self.patience.longest_retry_after)
        if looks_like_html(response.content):
            raise PassingError(f"{where} answered with a web page: {snippet(response.content)}")
        try:
            return parse(response)
        except SeqharvestError as error:
            # A parser knows what is wrong; only here is known where.
            error.args = (f"{where}: {error}",)
            raise

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, PassingError) and error.after is not None:
            # Jitter on top, never below: many parallel tasks were told the same second.
            return error.after + random.uniform(0, self.patience.first_wait)
        ceiling = self.patience.first_wait * 2 ** (state.attempt_number - 1)
        return random.uniform(0.5, 1.0) * min(ceiling, self.patience.longest_wait)


def check_status(response: httpx.Response, where: str, longest_retry_after: float) -> None:
    """Raise for a status that is not 200: `PassingError` when it may pass, else `ArchiveError`."""
    status = response.status_code
    if status == 200:
        return
    if status == 204:
        raise NoContentError(
            f"{where} answered 204 No Content",
            "check the accession; its data may be under controlled access (dbGaP) or not mirrored",
        )
    message = f"{where} answered HTTP {status}: {snippet(response.content)}"
    if status not in AGAIN_LATER and status < 500:
        raise ArchiveError(message, "check the accession and the archive's address")
    after = retry_after(response.headers.get("Retry-After", ""))
    if after is not None and after > longest_retry_after:
        raise ArchiveError(f"{message}; it asks to wait {after:.0f} s", "try again then")
    raise PassingError(message, after=after)


def retry_after(header: str) -> float | None:
    """Return the seconds a Retry-After header asks for, or `None` when it says nothing usable."""
    if header.strip().isdecimal():
        return float(header.strip())
    try:
        when = parsedate_to_datetime(header)
    except (TypeError, ValueError, IndexError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def looks_like_html(body: bytes) -> bool:
    """Say whether a body is a web page, whatever its content type says."""
    start = body[:512].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def snippet(body: bytes, length: int = 160) -> str:
    """Return the start of a body on one line, for an error message."""
    text = " ".join(body[: length * 4].decode("utf-8", "replace").split())
    return text[:length] or "(empty body)"


def describe(url: str, params: Mapping[str, str]) -> str:
    """Return the address with the parameters that matter, and without secrets."""
    shown = {name: value for name, value in params.items() if name not in NOT_SHOWN}
    return str(httpx.URL(url, params=shown)) if _is_url(url) else url


def _is_url(url: str) -> bool:
    try:
        httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return False
    return True


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0.0
    log.warning("attempt %d: %s; again in %.1f s", state.attempt_number, error, wait)


class NcbiSpacing:
    """Keeps this machine's processes together below NCBI's limit of requests a second.

    NCBI allows 3 a second, and 10 with an API key. The turn is a time stamp in a locked file, so
    all tasks and processes of a machine share it; several machines get a share each by the
    setting `ncbi_rate`, and what slips through is caught by Retry-After.
    """

    def __init__(self, folder: Path | None = None, has_key: bool | None = None) -> None:
        key = bool(settings().ncbi_api_key) if has_key is None else has_key
        rate = settings().ncbi_rate or (10 if key else 3)
        # 5 % below the limit, for NCBI counts on its own clock.
        self.gap = 1.05 / rate
        self.path = (folder or Path(tempfile.gettempdir())) / f"seqharvest-ncbi-{os.getuid()}"

    def __call__(self) -> None:
        """Wait for this process's turn."""
        with self._locked() as file:
            text = file.read_text().strip()
            now = time.time()
            last = float(text) if text.replace(".", "", 1).isdecimal() else 0.0
            # A stamp in the future beyond any queue is a clock that was set back.
            turn = max(now, last + self.gap) if last < now + 60 else now
            file.write_text(repr(turn))
        time.sleep(max(0.0, turn - now))

    @contextmanager
    def _locked(self) -> Iterator[Path]:
        with self.path.open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.path
