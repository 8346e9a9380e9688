"""How far a fetch is: bytes that arrived, of how many, how fast; told now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

log = logging.getLogger(__name__)


class Progress(AbstractContextManager["Progress"]):
    """Tells `say` how far the fetch is, from a thread of its own, and never raises.

    What is told has `phase`, `source`, `bytes`, `of` (0: unknown), `rate` (bytes a second since it
    was last told) and, once it can be told, `eta` (seconds).
    """

    def __init__(
        self, say: Callable[[dict[str, Any]], None] | None = None, every: float = 10.0
    ) -> None:
        self._say, self._every = say, every
        self._phase, self._source, self._of = "waiting", "", 0
        self._arrived: list[Callable[[], int]] = []
        self._mark, self._since = 0, time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell_on, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._ended.set()
        if kind is None:  # why a run failed is told elsewhere, and Batch may not wait for it
            self._thread.join()
            self._phase = "stored"
            self._tell()

    def wait(self, source: str) -> None:
        """Start anew with a source, whose turn may have to be waited for."""
        self._phase, self._source, self._of = "waiting", source, 0
        self._arrived = []

    def begin(self, of: int) -> None:
        """So many bytes are brought from now on; 0 when nobody knows."""
        self._phase, self._of = "downloading", of
        self._mark, self._since = 0, time.monotonic()

    def watch(self, arrived: Callable[[], int]) -> None:
        """Count what a file's download says has arrived of it, beside the others'."""
        self._arrived.append(arrived)

    def unpack(self) -> None:
        """All bytes are there; they are turned into reads now."""
        self._phase = "unpacking"

    def now(self) -> dict[str, Any]:
        """Return what is to be told."""
        arrived, at = sum(each() for each in self._arrived), time.monotonic()
        rate = max(0.0, (arrived - self._mark) / max(at - self._since, 1e-3))
        self._mark, self._since = arrived, at
        told: dict[str, Any] = {"phase": self._phase, "source": self._source}
        told |= {"bytes": arrived, "of": self._of, "rate": round(rate)}
        if self._phase == "downloading" and rate >= 1 and self._of:
            told["eta"] = round(max(0, self._of - arrived) / rate)
        return told

    def _tell_on(self) -> None:
        while not self._ended.wait(self._every):
            self._tell()

    def _tell(self) -> None:
        try:
            if self._say:
                self._say(self.now())
        except Exception as error:  # the run matters more than its picture
            log.warning("progress was not recorded: %s", error)
