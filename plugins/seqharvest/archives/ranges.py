"""Brings a file over several connections at a time, its bytes in order."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx

from seqharvest.archives.http import PassingError, check_status
from seqharvest.archives.limits import Limits
from seqharvest.archives.model import FastqFile
from seqharvest.errors import ArchiveError

CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class NoRangesError(ArchiveError):
    """A server answers a range with something else."""


class ReplacedError(ArchiveError):
    """The file became another one while it was brought."""


class Ranges:
    """The bytes of a file of known size from a place on; iterate inside its block.

    Raises what the earliest range that is missing met; those before it have been given by then.
    """

    def __init__(self, client: httpx.Client, file: FastqFile, limits: Limits, start: int) -> None:
        self.client, self.file, self.limits, self.start = client, file, limits, start
        self.etag: str | None = None
        self._ended = threading.Event()
        self._pool = ThreadPoolExecutor(limits.connections, thread_name_prefix="range")

    def __enter__(self) -> Ranges:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown(cancel_futures=True)

    def __iter__(self) -> Iterator[bytes]:
        coming: deque[Future[bytes]] = deque()
        place = self.start
        while coming or place < self.file.size:
            # One more than connections, so that none is idle while the oldest is written.
            while place < self.file.size and len(coming) <= self.limits.connections:
                end = min(place + self.limits.span, self.file.size)
                coming.append(self._pool.submit(self._bring, place, end))
                place = end
            yield coming.popleft().result()

    def _bring(self, start: int, end: int) -> bytes:
        got = bytearray()
        asked = {"Range": f"bytes={start}-{end - 1}"}
        with self.client.stream("GET", self.file.url, headers=asked) as response:
            self._check(response, start, end)
            since, mark = time.monotonic(), 0
            for piece in response.iter_raw():
                got += piece
                elapsed = time.monotonic() - since
                if elapsed >= self.limits.window:
                    self._watch((len(got) - mark) / elapsed)
                    since, mark = time.monotonic(), len(got)
                if self._ended.is_set():
                    break
        if len(got) != end - start:
            raise PassingError(f"{self.file.url} gave {len(got)} of {end - start} B of a range")
        return bytes(got)

    def _check(self, response: httpx.Response, start: int, end: int) -> None:
        if response.status_code == 200:
            raise NoRangesError(f"{self.file.url} gives no ranges")
        if response.status_code != 206:
            response.read()
            check_status(response, self.file.url, longest_retry_after=300)
        match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not match or (int(match[1]), int(match[2])) != (start, end - 1):
            raise NoRangesError(f"{self.file.url} sent another range than was asked for")
        etag = response.headers.get("ETag", "")
        if self.etag is None:
            self.etag = etag
        if self.etag != etag or match[3] not in ("*", str(self.file.size)):
            raise ReplacedError(f"{self.file.url} changed while it was brought")

    def _watch(self, rate: float) -> None:
        if rate < self.limits.minimum_rate:
            raise PassingError(
                f"{self.file.url} stalled: {rate:.0f} B/s over {self.limits.window:g} s is below"
                f" {self.limits.minimum_rate:g} B/s"
            )
