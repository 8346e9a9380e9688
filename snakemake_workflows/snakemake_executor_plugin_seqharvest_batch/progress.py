"""Counts of a run's jobs, printed as one line whenever they change."""

import threading
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Counts jobs (a group is one job) and prints `seqharvest progress submitted=… total=…`."""

    total: int = 0
    submitted: int = 0
    attached: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    _last: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **changes: int) -> None:
        """Change counts by so much, and print them if they are new."""
        with self._lock:
            for name, change in changes.items():
                setattr(self, name, getattr(self, name) + change)
            self._print()

    def now_running(self, count: int) -> None:
        """Say how many jobs Batch runs at this moment."""
        with self._lock:
            self.running = count
            self._print()

    def _print(self) -> None:
        counts = ("submitted", "attached", "running", "done", "failed", "total")
        line = " ".join(f"{name}={getattr(self, name)}" for name in counts)
        if line != self._last:
            self._last = line
            print(f"seqharvest progress {line}", flush=True)
