"""Find the jobs that an earlier life of this run has submitted."""

import logging
from typing import Any

from snakemake_executor_plugin_seqharvest_batch.naming import SEPARATOR

log = logging.getLogger(__name__)

ACTIVE = frozenset({"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"})


def children(batch: Any, queue: str, prefix: str) -> list[dict[str, Any]]:
    """Return the summaries of every job of this run on the queue, newest first, finished or not."""
    return _named(batch, queue, f"{prefix}{SEPARATOR}*", f"{prefix}{SEPARATOR}")


def active_job(batch: Any, queue: str, name: str) -> str | None:
    """Return the id of the active job with exactly this name, if there is one."""
    for summary in _named(batch, queue, name, name):
        if summary["jobName"] == name and summary["status"] in ACTIVE:
            return str(summary["jobId"])
    return None


def running_children(batch: Any, queue: str, prefix: str, since: float) -> dict[str, str]:
    """Return the job ids to follow, by name.

    Those are the active ones, and those that ended after `since` (epoch seconds, when this process
    began to look at the outputs): what ended earlier is judged by its outputs alone.
    """
    found: dict[str, str] = {}
    for summary in children(batch, queue, prefix):
        ended = summary.get("stoppedAt", 0) / 1000  # milliseconds
        if summary["status"] in ACTIVE or (summary["status"] == "SUCCEEDED" and ended > since):
            found.setdefault(summary["jobName"], summary["jobId"])
    return found


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
