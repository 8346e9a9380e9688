"""The jobs of the Batch stub: they wait, run for a while and end, on so many slots."""

from __future__ import annotations

import heapq
import random
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

ENDED = ("SUCCEEDED", "FAILED")
STATES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", *ENDED)


@dataclass
class Member:
    """A job that runs: a single one, or a child of an array; times are epoch seconds."""

    job: Job
    index: int | None
    starts: float
    ends: float
    status: str = "RUNNABLE"
    reason: str = ""

    @property
    def id(self) -> str:
        """The id DescribeJobs knows it by."""
        return self.job.id if self.index is None else f"{self.job.id}:{self.index}"


@dataclass
class Job:
    """What one SubmitJob asked for."""

    id: str
    name: str
    queue: str
    definition: str
    container: Mapping[str, Any]  # the definition's, with the overrides
    size: int | None
    created: float
    timeout: Mapping[str, Any]
    members: list[Member] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    is_terminated: bool = False

    @property
    def status(self) -> str:
        """A single job's own status, or what an array's children make of it."""
        if self.size is None:
            return self.members[0].status
        if sum(self.counts[state] for state in ENDED) < self.size:
            return "PENDING"  # also while its children run
        return "FAILED" if self.counts["FAILED"] else "SUCCEEDED"


class Jobs:
    """All jobs by id, and what happens to them next."""

    def __init__(self, wait: float, run: tuple[float, float], slots: int) -> None:
        self.by_id: dict[str, Job] = {}
        self._wait, self._run, self._slots = wait, run, slots
        self._random = random.Random(5)
        self._free: list[float] = []  # when the slots in use are free again
        self._starting: list[tuple[float, int, Member]] = []
        self._ending: list[tuple[float, int, Member]] = []
        self.count = self._unended = 0  # members, and those that have not ended

    def add(self, name: str, queue: str, definition: str, size: int | None, **more: Any) -> Job:
        """Take a job in; each of its members gets its place in the schedule at once."""
        now = time.time()
        job = Job(str(uuid.uuid4()), name, queue, definition, size=size, created=now, **more)
        indexes: Iterable[int | None] = [None] if size is None else range(size)
        for index in indexes:
            member = self._scheduled(job, index, now)
            job.members.append(member)
            job.counts[member.status] += 1
            self.count += 1
            self._unended += 1
            heapq.heappush(self._starting, (member.starts, self.count, member))
            heapq.heappush(self._ending, (member.ends, self.count, member))
        self.by_id[job.id] = job
        return job

    def active(self) -> int:
        """Return how many members have not ended."""
        return self._unended

    def start_due(self) -> None:
        """Let those run whose time has come."""
        for member in _due(self._starting):
            if member.status == "RUNNABLE":
                self.change(member, "RUNNING")

    def due_to_end(self) -> list[Member]:
        """Return, once, those that have run long enough; whoever ends them says how."""
        return [member for member in _due(self._ending) if member.status not in ENDED]

    def change(self, member: Member, status: str, reason: str = "") -> None:
        """Give a member a new status."""
        self._unended -= status in ENDED and member.status not in ENDED
        member.job.counts[member.status] -= 1
        member.job.counts[status] += 1
        member.status, member.reason = status, reason

    def member(self, job_id: str) -> tuple[Job, Member | None] | None:
        """Return a job and, of a child's id, that child."""
        parent, _, index = job_id.partition(":")
        job = self.by_id.get(parent)
        if job is None or (index and int(index) >= len(job.members)):
            return None
        return job, job.members[int(index)] if index else None

    def terminate(self, job: Job, member: Member | None, reason: str) -> None:
        """End a child, or a job with all of its members."""
        if member is None:
            job.is_terminated = True
        for ended in [member] if member else job.members:
            if ended.status not in ENDED:
                self.change(ended, "FAILED", reason)

    def _scheduled(self, job: Job, index: int | None, now: float) -> Member:
        starts = now + self._wait
        if len(self._free) >= self._slots:
            starts = max(starts, heapq.heappop(self._free))
        ends = starts + self._random.uniform(*self._run)
        heapq.heappush(self._free, ends)
        return Member(job, index, starts, ends)


def _due(queue: list[tuple[float, int, Member]]) -> list[Member]:
    now, due = time.time(), []
    while queue and queue[0][0] <= now:
        due.append(heapq.heappop(queue)[2])
    return due
