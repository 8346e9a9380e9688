"""Follow a Batch job while its task is deferred, and end it when the task is cleared or marked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from seqharvest import aws, batch
from seqharvest.progress import counts
from seqharvest.triggers.polling import not_too_early, patient_answers
from seqharvest.triggers.rounds import Rounds

#: Begins the reason of a job that was ended because its task was; who follows the job for
#: another try recognises it and submits anew instead of failing.
KILLED = "ended by Airflow"

#: Batch forgets no job for a day; this many answers without it, and it is lost.
LOST_AFTER = 3

#: GetLogEvents gives 25 pages a second to a whole account, and nobody reads hundreds of logs.
LOG_READS_PER_SECOND = 8.0

#: Seconds between two words about a log that cannot be read.
REPORT_LOG_EVERY = 300.0

_rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, Rounds]] = WeakKeyDictionary()


def shared_rounds(seconds: float) -> Rounds:
    """Return the rounds that all Batch triggers of this event loop with this interval share."""
    of_loop = _rounds.setdefault(asyncio.get_running_loop(), {})
    if seconds not in of_loop:
        of_loop[seconds] = Rounds(_describe, batch.DESCRIBE_LIMIT, seconds)
    return of_loop[seconds]


def _describe(ids: Sequence[str]) -> Mapping[str, Any]:
    return batch.describe(aws.brief_client("batch"), ids)


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
        self._read_log_at = 0.0
        self._told_of_log_at = -REPORT_LOG_EVERY

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
            aws.brief_client("batch"),
            self.job_id,
            self.queues,
            reason,
            20.0,
        )

    async def _end(self) -> str:
        rounds, unknown = shared_rounds(self.poll_seconds), 0
        what = f"job {self.job_id}"
        # The rounds have the pace: whoever asks waits for the next.
        async for job in patient_answers(lambda: rounds.answer(self.job_id), what, 0.0, self.log):
            unknown = 0 if job else unknown + 1
            ended = bool(job) and job["status"] in ("SUCCEEDED", "FAILED")
            if job:
                self._tell_state(job)
                await self._follow_log(job, len(rounds), ended)
            if ended:
                return str(job["status"])
            if unknown >= LOST_AFTER:
                return "LOST"
            if self.deadline and time.time() > self.deadline:
                return "TIMEOUT"
        raise AssertionError("patient_answers() never ends")

    def _tell_state(self, job: Mapping[str, Any]) -> None:
        state = job["status"]
        children = job.get("arrayProperties", {}).get("statusSummary") or {}
        counts = ", ".join(f"{n} {name.lower()}" for name, n in sorted(children.items()) if n)
        text = f"{state} ({counts})" if counts else state
        if text != self._said:
            self._said = text
            self.log.info("job %s is %s", self.job_id, text)

    async def _follow_log(self, job: Mapping[str, Any], triggers: int, ended: bool) -> None:
        """Log what is new in the job's log; the more triggers there are, the less often.

        A log that cannot be read never hides that its job has ended.
        """
        now = time.monotonic()
        if now < self._read_log_at and not ended:
            return
        self._read_log_at = now + triggers / LOG_READS_PER_SECOND
        try:
            await asyncio.to_thread(self._tell_log, job)
        except Exception as error:
            if now - self._told_of_log_at >= REPORT_LOG_EVERY:
                self._told_of_log_at = now
                self.log.warning("cannot read the log of job %s: %s", self.job_id, error)

    def _tell_log(self, job: Mapping[str, Any]) -> None:
        lines, self._token = batch.log_lines(aws.brief_client("logs"), dict(job), self._token)
        progress: dict[str, int] = {}
        for line in lines:
            if found := counts.parse(line):
                progress = found  # only the newest is news
            else:
                self.log.info("| %s", line)
        if progress:
            self.log.info("progress: %s", counts.words(progress))
