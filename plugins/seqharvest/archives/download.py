"""Brings one file from an archive to scratch: resumed when interrupted, verified when whole."""

from __future__ import annotations

import hashlib
import logging
import random
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import tenacity

from seqharvest.archives.http import USER_AGENT, PassingError, check_status, looks_like_html
from seqharvest.archives.limits import Limits
from seqharvest.archives.model import FastqFile
from seqharvest.archives.ranges import NoRangesError, Ranges, ReplacedError
from seqharvest.errors import SeqharvestError, VerificationError

log = logging.getLogger(__name__)

CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass
class Transfer:
    """One file on its way; `interruptions` tells what went wrong before it arrived."""

    file: FastqFile
    path: Path
    limits: Limits = field(default_factory=Limits)
    interruptions: list[str] = field(default_factory=list)
    arrived: int = 0  # bytes on disk, all of them in the digest
    fruitless: int = 0
    etag: str = ""

    def __post_init__(self) -> None:
        self._digest = hashlib.md5()
        self._before = 0
        self._ranges = self.limits.connections > 1 and self.file.size >= self.limits.parallel_from

    def run(self) -> FastqFile:
        """Return the file's address with the md5 and size of the bytes that arrived.

        Raises `ArchiveError` when the archive fails, `VerificationError` when md5 or size differ.
        """
        check_space(self.path.parent, self.file)
        got = self._attempt()
        if self.file.md5 and got.md5 != self.file.md5 and self.interruptions:
            # Two parts of different copies make such a file; one whole copy may be right.
            self._interrupted(f"md5 {got.md5} after resuming, {self.file.md5} published")
            self._restart()
            got = self._attempt()
        if self.file.md5 and got.md5 != self.file.md5:
            raise VerificationError(
                f"{self.file.url} has md5 {got.md5}, published is {self.file.md5}",
                "try another source",
            )
        return got

    def _attempt(self) -> FastqFile:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingError),
            stop=lambda _: self.fruitless >= self.limits.fruitless_attempts,
            wait=self._wait,
            reraise=True,
        )
        with httpx.Client(
            timeout=self.limits.silence,
            follow_redirects=True,
            # identity: a server that unpacks .gz on the way would break size, md5 and ranges.
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        ) as client:
            retrying(self._once, client)
        return FastqFile(self.file.url, self._digest.hexdigest(), self.arrived)

    def _once(self, client: httpx.Client) -> None:
        self._before = self.arrived
        try:
            self._stream(client)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            reason = str(error) or type(error).__name__
            passing = PassingError(f"{self.file.url} broke off after {self.arrived} B: {reason}")
            self._failed(passing)
            raise passing from error
        except PassingError as error:
            self._failed(error)
            raise

    def _failed(self, error: PassingError) -> None:
        enough = self.arrived - self._before >= self.limits.progress
        self.fruitless = 0 if enough else self.fruitless + 1
        self._interrupted(str(error))

    def _interrupted(self, why: str) -> None:
        log.warning("%s", why)
        self.interruptions.append(why)

    def _stream(self, client: httpx.Client) -> None:
        if self.file.size and self.arrived == self.file.size:
            return
        if self._ranges:
            self._stream_ranges(client)
        if self.file.size and self.arrived == self.file.size:
            return
        with client.stream("GET", self.file.url, headers=self._range()) as response:
            if response.status_code == 416:
                self._restart()
                raise PassingError(f"{self.file.url} cannot be resumed; it starts afresh")
            if response.status_code != 206:
                if response.status_code != 200:
                    response.read()
                check_status(response, self.file.url, longest_retry_after=300)
                self._restart()
            total = self._total(response)
            self.etag = response.headers.get("ETag", "")
            self._write(response)
        if total and self.arrived < total:
            raise PassingError(f"{self.file.url} ended after {self.arrived} of {total} B")
        if self.file.size and self.arrived != self.file.size:
            raise self._wrong_size(self.arrived)

    def _stream_ranges(self, client: httpx.Client) -> None:
        """Bring the rest over several connections; what arrives is kept in order.

        A server that gives no ranges is left to the single stream.
        """
        with Ranges(client, self.file, self.limits, self.arrived) as ranges:
            try:
                self._keep(ranges)
            except NoRangesError:
                log.info("%s gives no ranges, one connection must do", self.file.url)
                self._ranges = False
            except ReplacedError as error:
                self._restart()
                raise PassingError(str(error)) from error

    def _keep(self, pieces: Iterable[bytes]) -> None:
        since, mark = time.monotonic(), self.arrived
        with self.path.open("ab") as out:
            for piece in pieces:
                out.write(piece)
                self._digest.update(piece)
                self.arrived += len(piece)
                elapsed = time.monotonic() - since
                if elapsed >= self.limits.window:
                    self._watch((self.arrived - mark) / elapsed)
                    since, mark = time.monotonic(), self.arrived

    def _range(self) -> dict[str, str]:
        if not self.arrived:
            return {}
        wanted = {"Range": f"bytes={self.arrived}-"}
        # A file that was replaced meanwhile must come whole; a weak tag may not be used here.
        if self.etag and not self.etag.startswith("W/"):
            wanted["If-Range"] = self.etag
        return wanted

    def _total(self, response: httpx.Response) -> int:
        """Return the whole file's size as this reply gives it, 0 when it does not."""
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else 0
        if response.status_code == 206:
            match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not match or int(match[1]) != self.arrived:
                self._restart()
                raise PassingError(f"{self.file.url} sent another range than was asked for")
            total = int(match[2]) if match[2] != "*" else 0
        elif "text/html" in response.headers.get("Content-Type", ""):
            raise PassingError(f"{self.file.url} answered with a web page instead of data")
        if self.file.size and total and total != self.file.size:
            raise self._wrong_size(total)
        return total

    def _wrong_size(self, size: int) -> VerificationError:
        return VerificationError(
            f"{self.file.url} has {size} B, published are {self.file.size} B", "try another source"
        )

    def _write(self, response: httpx.Response) -> None:
        since, mark = time.monotonic(), self.arrived
        with self.path.open("ab") as out:
            # Pieces as they come: a fixed size would hide a trickle from the watch below.
            for piece in response.iter_raw():
                if not self.arrived and looks_like_html(piece):
                    raise PassingError(f"{self.file.url} answered with a web page, not data")
                # Into the digest last: what it holds must never be ahead of the file.
                out.write(piece)
                self._digest.update(piece)
                self.arrived += len(piece)
                if self.file.size and self.arrived > self.file.size:
                    raise self._wrong_size(self.arrived)
                elapsed = time.monotonic() - since
                if elapsed >= self.limits.window:
                    self._watch((self.arrived - mark) / elapsed)
                    since, mark = time.monotonic(), self.arrived

    def _watch(self, rate: float) -> None:
        of = f" of {self.file.size / 1e6:.1f}" if self.file.size else ""
        left = (self.file.size - self.arrived) / rate if rate and self.file.size else 0
        log.info(
            "%s: %.1f%s MB, %.2f MB/s%s",
            *(self.file.url, self.arrived / 1e6, of, rate / 1e6),
            f", {left:.0f} s left" if left else "",
        )
        if rate < self.limits.minimum_rate:
            raise PassingError(
                f"{self.file.url} stalled: {rate:.0f} B/s over {self.limits.window:g} s is below"
                f" {self.limits.minimum_rate:g} B/s"
            )

    def _restart(self) -> None:
        self.path.unlink(missing_ok=True)
        self.arrived = 0
        self._digest = hashlib.md5()

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, PassingError) and error.after is not None:
            return error.after + random.uniform(0, self.limits.first_wait)
        ceiling = self.limits.first_wait * 2**self.fruitless
        return random.uniform(0.5, 1.0) * min(ceiling, self.limits.longest_wait)


def check_space(folder: Path, file: FastqFile) -> None:
    """Raise `SeqharvestError` when a file is larger than what is free."""
    free = shutil.disk_usage(folder).free
    if file.size > free:
        raise SeqharvestError(
            f"scratch {folder} has {free / 1e9:.1f} GB free, {file.url} has {file.size / 1e9:.1f}",
            "run the job on the large-disk queue",
        )
