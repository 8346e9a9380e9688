"""Counts of a run's jobs, printed as one line whenever they change."""

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Counts jobs (a group is one job) and prints `seqharvest progress submitted=… total=…`.

    In the end done + failed + skipped is the total. `eta=`, in seconds, is added once it can be
    told: from the pace at which jobs ended since the first was on Batch.
    """

    total: int = 0
    submitted: int = 0
    attached: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    _began: float | None = None
    _last: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **changes: int) -> None:
        """Change counts by so much, and print them if they are new."""
        with self._lock:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)
            self._print()

    @property
    def eta(self) -> int | None:
        """Return in how many seconds the last job may end, or None as long as nobody can tell."""
        ended = self.done + self.failed
        if self._began is None or not ended:
            return None
        left = self.total - ended - self.skipped
        return round(max(0, left) * (time.monotonic() - self._began) / ended)

    def now_running(self, count: int) -> None:
        """Say how many jobs Batch runs at this moment."""
        with self._lock:
            self.running = count
            self._print()

    def _print(self) -> None:
        if self._began is None and self.submitted + self.attached:
            self._began = time.monotonic()
        counts = ("submitted", "attached", "running", "done", "failed", "skipped", "total")
        line = " ".join(f"{name}={getattr(self, name)}" for name in counts)
        if line != self._last:
            self._last = line
            eta = "" if self.eta is None else f" eta={self.eta}"
            print(f"seqharvest progress {line}{eta}", flush=True)
