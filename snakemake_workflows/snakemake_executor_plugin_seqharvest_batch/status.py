"""One status round: what Batch says of all jobs at once."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

PAGE = 100  # DescribeJobs takes at most 100 ids


def describe(batch: Any, job_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the job details Batch has, by id; ids it does not know are absent."""
    return {
        detail["jobId"]: detail
        for page in pages(sorted(set(job_ids)))
        for detail in batch.describe_jobs(jobs=page)["jobs"]
    }


def pages(ids: Sequence[str]) -> Iterator[list[str]]:
    """Cut ids into what one request takes."""
    remaining = iter(ids)
    while page := list(islice(remaining, PAGE)):
        yield page


class Pace:
    """How long to wait for the next round: longer while nothing changes, short after a change."""

    def __init__(self, seconds: float) -> None:
        self.base = seconds
        self.seconds = seconds

    def after(self, changed: bool) -> None:
        """Tell whether the last round changed anything."""
        self.seconds = self.base if changed else min(self.seconds * 1.25, self.base * 4)
