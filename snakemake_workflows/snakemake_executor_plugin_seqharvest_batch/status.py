"""One status round: what Batch says of all jobs at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from snakemake_executor_plugin_seqharvest_batch import arrays

PAGE = 100  # DescribeJobs takes at most 100 ids
THREADS = 8  # requests in flight: 20,000 ids are 200 requests
ENDED = ("SUCCEEDED", "FAILED")


def describe(batch: Any, job_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the job details Batch has, by id; ids it does not know are absent."""
    asked = list(pages(sorted(set(job_ids))))
    if not asked:
        return {}
    with ThreadPoolExecutor(min(THREADS, len(asked))) as pool:
        answers = list(pool.map(lambda page: batch.describe_jobs(jobs=page)["jobs"], asked))
    return {detail["jobId"]: detail for jobs in answers for detail in jobs}


def pages(ids: Sequence[str]) -> Iterator[list[str]]:
    """Cut ids into what one request takes."""
    remaining = iter(ids)
    while page := list(islice(remaining, PAGE)):
        yield page


class Rounds:
    """Asks about jobs again and again; about an array's children only when one more has ended."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._ended: dict[str, int] = {}
        self.running = 0

    def ask(self, job_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Return the details of jobs, None for what Batch does not know.

        Children of arrays in which nothing ended since the last round are left out.
        """
        parents = describe(self._batch, map(arrays.parent, job_ids))
        news = {job_id for job_id, detail in parents.items() if self._has_news(detail)}
        children = describe(
            self._batch,
            (each for each in job_ids if arrays.is_child(each) and arrays.parent(each) in news),
        )
        for job_id in news:
            self._ended[job_id] = _count(parents[job_id], ENDED)
        self.running = sum(map(_running, parents.values()))
        found: dict[str, dict[str, Any] | None] = {}
        for job_id in job_ids:
            parent = arrays.parent(job_id)
            if parent == job_id or parent not in parents:
                found[job_id] = parents.get(parent)
            elif job_id in children:
                found[job_id] = children[job_id]
            elif parents[parent]["status"] in ENDED:
                found[job_id] = None
        return found

    def _has_news(self, detail: Mapping[str, Any]) -> bool:
        """Tell whether an array's children are worth a look; its summary may be a moment ahead."""
        if not _summary(detail):
            return False
        ended = _count(detail, ENDED)
        return ended != self._ended.get(detail["jobId"], 0) or detail["status"] in ENDED


class Pace:
    """How long to wait for the next round: longer while nothing changes, short after a change."""

    def __init__(self, seconds: float) -> None:
        self.base = seconds
        self.seconds = seconds

    def after(self, changed: bool) -> None:
        """Tell whether the last round changed anything."""
        self.seconds = self.base if changed else min(self.seconds * 1.25, self.base * 4)


def _summary(detail: Mapping[str, Any]) -> Mapping[str, int]:
    summary: Mapping[str, int] = (detail.get("arrayProperties") or {}).get("statusSummary") or {}
    return summary


def _count(detail: Mapping[str, Any], states: Iterable[str]) -> int:
    return sum(_summary(detail).get(state, 0) for state in states)


def _running(detail: Mapping[str, Any]) -> int:
    if _summary(detail):
        return _count(detail, ("STARTING", "RUNNING"))
    return int(detail["status"] in ("STARTING", "RUNNING"))
