"""One status round: what Batch says of all jobs at once."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
    """Asks about jobs again and again, with at most one request per hundred of them in a round.

    A quiet array is one id; the children of a lively one, in which some have ended, are asked about
    each by itself, without their parent, until nothing more ends. So are all where that takes one
    request anyway.
    """

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._counted: dict[str, int] = {}  # children known to have ended, by array
        self._lively: set[str] = set()
        self._hidden: set[str] = set()  # arrays with a child that was asked about and not found
        self._over: set[str] = set()  # arrays that have ended: a child that is missing is gone
        self.running = 0
        #: Whether children have ended that the round's last request was not spent on.
        self.more = False

    def ask(self, job_ids: Sequence[str]) -> dict[str, dict[str, Any] | None]:
        """Return the details of jobs, None for what Batch does not know.

        Children of arrays of which there is nothing new are left out.
        """
        few = len(job_ids) <= PAGE
        asked = {self._representative(job_id, few) for job_id in job_ids}
        details = describe(self._batch, asked)
        news = {job_id for job_id in asked if self._has_news(details.get(job_id))}
        children = [job_id for job_id in job_ids if arrays.parent(job_id) in news - {job_id}]
        self.more = _requests(asked) + _requests(children) > _requests(job_ids)
        self._lively |= news  # also if the next request fails
        if not self.more:
            details.update(describe(self._batch, children))
        self.running = sum(_running(details[job_id]) for job_id in asked & details.keys())
        ended = {arrays.parent(each) for each in job_ids if _status(details.get(each)) in ENDED}
        self._lively = ended | (news if self.more else set())
        self._hidden = {arrays.parent(each) for each in asked - details.keys()}
        # A child may be missing for a moment, unless its array is unknown or over.
        unseen = news if self.more else set()
        gone = (asked - details.keys()) | (self._over - unseen)
        return {
            job_id: details.get(job_id)
            for job_id in job_ids
            if job_id in details or job_id == arrays.parent(job_id) or arrays.parent(job_id) in gone
        }

    def _representative(self, job_id: str, few: bool) -> str:
        parent = arrays.parent(job_id)
        lively = parent in self._lively or (few and parent not in self._hidden)
        return job_id if lively else parent

    def _has_news(self, detail: Mapping[str, Any] | None) -> bool:
        """Tell whether an array's children are worth a look."""
        if not detail or not _summary(detail):
            return False
        job_id, before = detail["jobId"], self._counted.get(detail["jobId"], 0)
        self._counted[job_id] = _count(detail, ENDED)
        if _status(detail) in ENDED:
            self._over.add(job_id)
        return self._counted[job_id] != before or job_id in self._over


class Pace:
    """How long to wait for the next round: longer while nothing changes, short after a change."""

    def __init__(self, seconds: float) -> None:
        self.base = seconds
        self.seconds = seconds

    def after(self, changed: bool) -> None:
        """Tell whether the last round changed anything."""
        self.seconds = self.base if changed else min(self.seconds * 1.25, self.base * 4)


def _requests(job_ids: Collection[str]) -> int:
    return -(-len(job_ids) // PAGE)


def _status(detail: Mapping[str, Any] | None) -> str:
    return str(detail["status"]) if detail else ""


def _summary(detail: Mapping[str, Any]) -> Mapping[str, int]:
    summary: Mapping[str, int] = (detail.get("arrayProperties") or {}).get("statusSummary") or {}
    return summary


def _count(detail: Mapping[str, Any], states: Iterable[str]) -> int:
    return sum(_summary(detail).get(state, 0) for state in states)


def _running(detail: Mapping[str, Any]) -> int:
    if _summary(detail):
        return _count(detail, ("STARTING", "RUNNING"))
    return int(detail["status"] in ("STARTING", "RUNNING"))
