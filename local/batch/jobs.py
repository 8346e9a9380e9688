"""A job of the local Batch endpoint, as it is kept between two events."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """The states of a job, in their true order."""

    SUBMITTED = "SUBMITTED"
    PENDING = "PENDING"
    RUNNABLE = "RUNNABLE"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


WAITING = (Status.SUBMITTED, Status.PENDING, Status.RUNNABLE)
ON_HOST = (Status.STARTING, Status.RUNNING)
FINISHED = (Status.SUCCEEDED, Status.FAILED)
UNFINISHED = WAITING + ON_HOST


@dataclass
class Job:
    """One job, one array parent, or one array child; times are epoch milliseconds.

    `spec` is what was asked for and does not change; `state` is what happened so far, in the
    words of DescribeJobs plus `process` (how to find the attempt's processes after a restart).
    """

    id: str
    name: str
    queue: str
    definition: str
    status: Status
    created_at: int
    spec: dict[str, Any]
    parent: str | None = None
    index: int | None = None
    size: int | None = None
    state: dict[str, Any] = field(default_factory=dict)
    seq: int = 0

    @property
    def is_array(self) -> bool:
        """Whether this is an array's parent, which never runs itself."""
        return self.size is not None and self.parent is None

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The attempts that have ended."""
        return self.state.setdefault("attempts", [])

    @property
    def vcpus(self) -> float:
        """How many vCPUs the job asks for."""
        return float(self._requirement("VCPU"))

    @property
    def memory_mib(self) -> int:
        """How much memory the job asks for, in MiB."""
        return int(self._requirement("MEMORY"))

    def _requirement(self, kind: str) -> str:
        wanted = self.spec["container"]["resourceRequirements"]
        return next(item["value"] for item in wanted if item["type"] == kind)


def now_ms() -> int:
    """Return the time in epoch milliseconds, as the Batch API gives it."""
    return time.time_ns() // 1_000_000
