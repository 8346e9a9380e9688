"""Find the jobs that an earlier life of this run has submitted."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_seqharvest_batch import arrays, naming
from snakemake_executor_plugin_seqharvest_batch.naming import SEPARATOR
from snakemake_executor_plugin_seqharvest_batch.status import describe

ACTIVE = frozenset({"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"})
#: Our clock and Batch's may differ by so much: what ended about when we began is looked at twice.
CLOCKS = 300  # seconds


@dataclass
class Earlier:
    """What an earlier life left: job ids to follow, by name, and names that ended just before us.

    The outputs of the latter may or may not be in what the DAG was built on.
    """

    following: dict[str, str] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)


def earlier(
    batch: Any,
    queues: Iterable[str],
    prefix: str,
    since: float,
    members: Callable[[str], list[str]],
) -> Earlier:
    """Return what to follow: jobs and children of arrays that live or succeeded after `since`.

    `since` (epoch seconds) is when this process began to look at the outputs: what ended earlier is
    judged by its outputs alone. `members` gives an array's job names by the hash in its name.
    """
    recent = [
        job
        for queue in queues
        for job in children(batch, queue, prefix)
        if job["status"] in ACTIVE or _ended(job) > since - CLOCKS
    ]
    # The newest first: of several jobs of one name the last submitted counts.
    recent.sort(key=lambda job: job.get("createdAt", 0), reverse=True)
    names = dict(_jobs(recent, members))
    details = describe(batch, {*names, *(job["jobId"] for job in recent)})
    found = Earlier()
    for job_id, name in names.items():
        detail = details.get(job_id)
        if detail is None:
            continue
        if detail["status"] == "SUCCEEDED":
            if _ended(detail) > since:
                found.following.setdefault(name, job_id)
            else:
                found.doubtful.add(name)
        elif _is_live(detail) and not _is_told_to_end(details.get(arrays.parent(job_id), detail)):
            found.following.setdefault(name, job_id)
    return found


def children(batch: Any, queue: str, prefix: str) -> list[dict[str, Any]]:
    """Return the summaries of every job of this run on the queue, newest first, finished or not."""
    return _named(batch, queue, f"{prefix}{SEPARATOR}*", f"{prefix}{SEPARATOR}")


def active_job(batch: Any, queue: str, name: str) -> str | None:
    """Return the id of the live job or array with exactly this name, if there is one."""
    found = [job for job in _named(batch, queue, name, name) if job["jobName"] == name]
    details = describe(batch, (job["jobId"] for job in found if job["status"] in ACTIVE))
    return next((job_id for job_id, detail in details.items() if _is_live(detail)), None)


def _jobs(
    summaries: Sequence[dict[str, Any]], members: Callable[[str], list[str]]
) -> Iterator[tuple[str, str]]:
    """Yield id and name of every job, of arrays those of their children."""
    for summary in summaries:
        job_id, name = summary["jobId"], summary["jobName"]
        if not (summary.get("arrayProperties") or {}).get("size"):
            yield job_id, name
            continue
        try:
            names = members(naming.array_content(name))
        except ClientError as error:
            if summary["status"] not in ACTIVE:
                continue  # its jobs' outputs tell all there is to know
            raise WorkflowError(
                f"array job {job_id} ({name}) still runs, but what its children are cannot be "
                f"read: {error}. Give the bundle prefix it was submitted with, or end it"
            ) from error
        for index, member in enumerate(names):
            yield arrays.child(job_id, index), member


def _is_live(detail: dict[str, Any]) -> bool:
    """Tell whether a job is active and nobody has told it to end; only DescribeJobs tells that."""
    return detail["status"] in ACTIVE and not _is_told_to_end(detail)


def _is_told_to_end(detail: dict[str, Any]) -> bool:
    return bool(detail.get("isTerminated") or detail.get("isCancelled"))


def _ended(job: dict[str, Any]) -> float:
    return float(job.get("stoppedAt") or 0) / 1000  # milliseconds


def _named(batch: Any, queue: str, pattern: str, start: str) -> list[dict[str, Any]]:
    pages = batch.get_paginator("list_jobs").paginate(
        jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [pattern]}]
    )
    # JOB_NAME matches whatever the case; ours tell cases apart.
    return [
        summary
        for page in pages
        for summary in page["jobSummaryList"]
        if summary["jobName"].startswith(start)
    ]
