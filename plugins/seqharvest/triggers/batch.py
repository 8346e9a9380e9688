"""Follow a Batch job while its task is deferred, and end it when the task is cleared or marked."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from seqharvest import batch
from seqharvest.triggers.polling import answers, not_too_early

#: Begins the reason of a job that was ended because its task was; who follows the job for
#: another try recognises it and submits anew instead of failing.
KILLED = "ended by Airflow"

#: Batch forgets no job for a day; this many answers without it, and it is lost.
LOST_AFTER = 3

PROGRESS = re.compile(r"seqharvest progress (.*)")


@cache
def _client(service: str) -> Any:
    # Short patience: the poll comes round again, and a stuck call would keep a thread from others.
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 2}
    return boto3.client(service, config=Config(retries=retries, connect_timeout=5, read_timeout=20))


def forget_trigger_clients() -> None:
    """Make the next poll read the environment anew."""
    _client.cache_clear()


class BatchJobTrigger(BaseTrigger):
    """Wait for the end of a Batch job, copying its log and progress into the task's log.

    Fires once with `{"job_id", "status"}`: SUCCEEDED or FAILED as Batch says, LOST when Batch
    no longer knows the job, TIMEOUT at `deadline` (seconds since the epoch, 0 for none).
    """

    def __init__(
        self, job_id: str, queues: list[str], poll_seconds: float, deadline: float = 0.0
    ) -> None:
        super().__init__()
        self.job_id = job_id
        self.queues = queues
        self.poll_seconds = poll_seconds
        self.deadline = deadline
        self._token: str | None = None
        self._said = ""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger again."""
        return (
            "seqharvest.triggers.batch.BatchJobTrigger",
            {
                "job_id": self.job_id,
                "queues": self.queues,
                "poll_seconds": self.poll_seconds,
                "deadline": self.deadline,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll until the job has ended, is lost or is late."""
        started = time.monotonic()
        status = await self._end()
        await not_too_early(started)
        yield TriggerEvent({"job_id": self.job_id, "status": status})

    async def on_kill(self) -> None:
        """End the job and its workers: the task was cleared, or marked success or failed."""
        reason = f"{KILLED}: its task was cleared or marked"
        self.log.info("ending job %s: its task was cleared or marked", self.job_id)
        # The triggerer waits 30 s for this; the thread goes on if that is not enough.
        await asyncio.to_thread(
            batch.terminate_with_children,
            _client("batch"),
            self.job_id,
            self.queues,
            reason,
            20.0,
        )

    async def _end(self) -> str:
        unknown = 0
        what = f"job {self.job_id}"
        async for job in answers(self._look, what, self.poll_seconds, self.log):
            unknown = 0 if job else unknown + 1
            if job and job["status"] in ("SUCCEEDED", "FAILED"):
                return str(job["status"])
            if unknown >= LOST_AFTER:
                return "LOST"
            if self.deadline and time.time() > self.deadline:
                return "TIMEOUT"
        raise AssertionError("answers() never ends")

    def _look(self) -> Mapping[str, Any] | None:
        """Return the job's description, after what is new in its log was logged."""
        job = batch.describe(_client("batch"), [self.job_id]).get(self.job_id)
        if job:
            self._tell_state(job)
            self._tell_log(job)
        return job

    def _tell_state(self, job: Mapping[str, Any]) -> None:
        state = job["status"]
        children = job.get("arrayProperties", {}).get("statusSummary") or {}
        counts = ", ".join(f"{n} {name.lower()}" for name, n in sorted(children.items()) if n)
        text = f"{state} ({counts})" if counts else state
        if text != self._said:
            self._said = text
            self.log.info("job %s is %s", self.job_id, text)

    def _tell_log(self, job: Mapping[str, Any]) -> None:
        lines, self._token = batch.log_lines(_client("logs"), dict(job), self._token)
        progress = ""
        for line in lines:
            if found := PROGRESS.match(line):
                progress = found[1]  # only the newest is news
            else:
                self.log.info("| %s", line)
        if progress:
            self.log.info("progress: %s", progress)
