"""Find the jobs that an earlier life of this run has submitted."""

from typing import Any

from snakemake_executor_plugin_seqharvest_batch.naming import SEPARATOR
from snakemake_executor_plugin_seqharvest_batch.status import describe

ACTIVE = frozenset({"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"})


def children(batch: Any, queue: str, prefix: str) -> list[dict[str, Any]]:
    """Return the summaries of every job of this run on the queue, newest first, finished or not."""
    return _named(batch, queue, f"{prefix}{SEPARATOR}*", f"{prefix}{SEPARATOR}")


def active_job(batch: Any, queue: str, name: str) -> str | None:
    """Return the id of the live job with exactly this name, if there is one."""
    found = [job for job in _named(batch, queue, name, name) if job["jobName"] == name]
    return next(iter(_live(batch, found)), None)


def unfinished(batch: Any, queue: str, prefix: str, since: float) -> dict[str, str]:
    """Return the job ids to follow, by name.

    Those are the live ones, and those that succeeded after `since` (epoch seconds, when this
    process began to look at the outputs): what ended earlier is judged by its outputs alone.
    """
    listed = children(batch, queue, prefix)
    live = _live(batch, listed)
    found: dict[str, str] = {}
    for summary in listed:
        ended = summary.get("stoppedAt", 0) / 1000  # milliseconds
        if summary["jobId"] in live or (summary["status"] == "SUCCEEDED" and ended > since):
            found.setdefault(summary["jobName"], summary["jobId"])
    return found


def _live(batch: Any, summaries: list[dict[str, Any]]) -> list[str]:
    """Return the ids of active jobs that nobody has told to end; only DescribeJobs tells that."""
    active = [job["jobId"] for job in summaries if job["status"] in ACTIVE]
    details = describe(batch, active)
    return [
        job_id
        for job_id in active
        if (detail := details.get(job_id))
        and detail["status"] in ACTIVE
        and not (detail.get("isTerminated") or detail.get("isCancelled"))
    ]


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
