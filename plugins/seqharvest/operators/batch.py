"""Runs a Batch job as a deferrable task: one job per task, whatever dies in between."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator, BaseOperatorLink

from seqharvest.errors import InputError
from seqharvest.settings import settings

if TYPE_CHECKING:
    from seqharvest.batch import Failure, JobRequest

STORE_KEY = "batch_job_id"
DEFAULT_TIMEOUT = timedelta(days=2)  # a job nobody set a limit for must not bill for ever
#: Kinds of worker failures that Snakemake has tried again as far as that can help.
FINAL = {"user_error", "out_of_memory"}
TAIL = 30  # lines of a failed job's log that are shown


class BatchLogLink(BaseOperatorLink):
    """Link from a task to its job's log in CloudWatch."""

    name = "Batch job log"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the log's address in the AWS console, empty when there is no job."""
        return getattr(operator, "log_address", "")


class BatchJobOperator(BaseOperator):
    """Run the Batch job of a plan: `python -m <module> s3://bucket/<manifest>`.

    The job's name comes from the manifest (stage, project, digest). A task that was interrupted
    at any point finds its job by the stored id or by that name, attaches to it, and does not
    submit another. Clearing or marking the task, or its time-out, ends the job and its workers.
    An empty plan (no manifest, or nothing to do) succeeds at once.

    :param plan: `{"manifest": key, "digest", "runs" or "samples": n}` from `seqharvest.stages`;
        `queue`, `vcpus` and `memory_mb` in it go before the parameters below
    :param module: Python module the job runs
    :param job_queue: name of the queue's setting, e.g. "head_queue"
    :param job_definition: name of the job definition's setting, e.g. "head_job"
    :param array: one child per run of the plan instead of one job
    :param attempts: how often Batch itself starts the job again after a Spot reclaim
    :param vcpus: instead of the job definition's
    :param memory_mb: instead of the job definition's
    :param execution_timeout: ends the job, counted from the submission
    """

    template_fields: Sequence[str] = ("plan",)
    template_fields_renderers = {"plan": "json"}  # noqa: RUF012
    operator_extra_links = (BatchLogLink(),)
    ui_color = "#f9cb9c"

    def __init__(
        self,
        *,
        plan: Any,
        module: str,
        job_queue: str = "head_queue",
        job_definition: str = "head_job",
        array: bool = False,
        attempts: int = 3,
        vcpus: int | None = None,
        memory_mb: int | None = None,
        **kwargs: Any,
    ) -> None:
        # .partial() passes None for what is not given.
        kwargs["execution_timeout"] = kwargs.get("execution_timeout") or DEFAULT_TIMEOUT
        super().__init__(**kwargs)
        self.plan = plan
        self.module = module
        self.job_queue = job_queue
        self.job_definition = job_definition
        self.array = array
        self.attempts = attempts
        self.vcpus = vcpus
        self.memory_mb = memory_mb
        self.log_address = ""
        self._job_id = ""

    # ---- the task's life

    def execute(self, context: Any) -> dict[str, Any]:
        """Submit the plan's job or attach to it, then wait deferred."""
        if not self._size():
            self.log.info("nothing to do: %s", self.plan)
            return {"job_id": "", "status": "nothing to do"}
        self._job_id = self._stored(context) or self._submit(context)
        self._wait()

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Return what the job did, or say why it failed and whether trying again can help."""
        from seqharvest import aws, batch

        self._job_id = event["job_id"]
        job = batch.describe(aws.client("batch"), [self._job_id]).get(self._job_id, {})
        self._set_log_address(job)
        # The key outlives success: left here, a task cleared later would take this job's
        # result for its own and not run again.
        context["task_state_store"].delete(STORE_KEY)
        if event["status"] == "SUCCEEDED":
            return {"job_id": self._job_id, "status": "SUCCEEDED", **self._summary()}
        if event["status"] == "TIMEOUT":
            self._end_job(f"its task in Airflow took longer than {self.execution_timeout}")
            self._fail(context, f"job {self._job_id} was ended after {self.execution_timeout}")
        if not job:
            self._fail(context, f"Batch no longer knows job {self._job_id}")
        return self._ended_badly(context, job)

    def on_kill(self) -> None:
        """End the job when the task's process is told to end while it submits or collects."""
        if self._job_id:
            self._end_job("its task's process was ended")

    # ---- submitting

    def job_request(self) -> JobRequest:
        """Return the job for the plan; the manifest's key says stage, project and digest."""
        from seqharvest import batch, layout

        knobs = settings()
        stage, project, digest = layout.manifest_parts(self.plan["manifest"])
        return batch.JobRequest(
            name=batch.job_name(stage, project, digest),
            queue=getattr(knobs, self._queue()),
            definition=getattr(knobs, self.job_definition),
            command=("python", "-m", self.module, layout.uri(knobs.bucket, self.plan["manifest"])),
            key=f"{stage}/{project}/{digest}",
            vcpus=self.plan.get("vcpus", self.vcpus),
            memory_mb=self.plan.get("memory_mb", self.memory_mb),
            array_size=self._size() if self.array else 0,
            timeout_seconds=int(self.execution_timeout.total_seconds()),
            attempts=self.attempts,
        )

    def _queue(self) -> str:
        """Return the name of the setting that names the queue."""
        return str((self.plan or {}).get("queue", self.job_queue))

    def _size(self) -> int:
        """Return how many pieces of work the plan has; 1 when it has a manifest and no count."""
        plan = self.plan or {}
        if not plan.get("manifest"):
            return 0
        return int(plan.get("runs", plan.get("samples", 1)))

    def _stored(self, context: Any) -> str:
        """Return the job of an interrupted try, if it is still of use: live, or succeeded."""
        from seqharvest import aws, batch

        job_id = context["task_state_store"].get(STORE_KEY)
        if not job_id:
            return ""
        job = batch.describe(aws.client("batch"), [job_id]).get(job_id)
        if job and (batch.is_live(job) or job["status"] == "SUCCEEDED"):
            self.log.info("following job %s of an earlier try, it is %s", job_id, job["status"])
            return str(job_id)
        return ""

    def _submit(self, context: Any) -> str:
        from airflow.sdk.exceptions import AirflowFailException
        from airflow.sdk.execution_time.context import NEVER_EXPIRE

        from seqharvest import aws, batch

        request = self.job_request()
        try:
            job = batch.submit_or_attach(aws.client("batch"), request)
        except InputError as error:
            raise AirflowFailException(str(error)) from error
        context["task_state_store"].set(STORE_KEY, job.job_id, retention=NEVER_EXPIRE)
        self.log.info("job %s runs: %s", job.job_id, " ".join(request.command))
        return job.job_id

    def _wait(self) -> NoReturn:
        from seqharvest.triggers.batch import BatchJobTrigger

        trigger = BatchJobTrigger(
            job_id=self._job_id,
            queues=self._queues(),
            poll_seconds=settings().batch_poll_seconds,
            deadline=time.time() + self.execution_timeout.total_seconds(),
        )
        self.defer(trigger=trigger, method_name="execute_complete")
        raise AssertionError("defer() does not return")

    def _queues(self) -> list[str]:
        """Where the job and its workers may be."""
        knobs = settings()
        queues = (getattr(knobs, self._queue()), knobs.worker_queue, knobs.large_disk_queue)
        return [queue for queue in dict.fromkeys(queues) if queue]

    # ---- collecting

    def _summary(self) -> dict[str, Any]:
        """Return the counts of the outcome that the job left, if it left one; log its failures."""
        outcome = self._outcome()
        for name, why in sorted((outcome.get("failed") or {}).items()):
            reason = why.get("reason") if isinstance(why, Mapping) else why
            self.log.warning("%s failed: %s", name, reason)
        jobs = outcome.get("jobs") or {}
        if "done" in outcome:
            self.log.info(
                "%d samples complete, %d failed; worker jobs: %s",
                len(outcome["done"]),
                len(outcome.get("failed") or {}),
                ", ".join(f"{n} {name}" for name, n in jobs.items()) or "none",
            )
        return {name: outcome[name] for name in ("jobs", "rows") if name in outcome}

    def _outcome(self) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        from seqharvest import aws, layout

        stage, project, digest = layout.manifest_parts(self.plan["manifest"])
        key = layout.outcome_key(stage, project, digest)
        try:
            body = aws.client("s3").get_object(Bucket=settings().bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
                raise
            return {}
        outcome = json.loads(body)
        return outcome if isinstance(outcome, dict) else {}

    def _ended_badly(self, context: Any, job: Mapping[str, Any]) -> dict[str, Any]:
        from seqharvest import aws, batch
        from seqharvest.triggers.batch import KILLED

        if str(job.get("statusReason", "")).startswith(KILLED):
            # Clearing a deferred task starts the new try before the trigger's on_kill has ended
            # the old job: this try may have attached to it. It still has its own run to do.
            self.log.info("job %s was ended with an earlier try, submitting anew", self._job_id)
            self._job_id = self._submit(context)
            self._wait()
        if self.array and job.get("arrayProperties"):
            return self._array_ended_badly(context, job)
        tail = batch.log_tail(aws.client("logs"), dict(job), TAIL)
        reason = batch.failure(job, tail)
        self._summary()
        text = f"job {self._job_id} failed: {_words(reason)}"
        self._fail(context, text, tail, hopeless=self._hopeless(reason))

    def _hopeless(self, reason: Failure) -> bool:
        """Whether trying again cannot help."""
        return not _may_pass(reason)

    def _array_ended_badly(self, context: Any, job: Mapping[str, Any]) -> dict[str, Any]:
        """Go on with the children that succeeded, once trying again cannot help the others."""
        from seqharvest import aws, batch

        client, size = aws.client("batch"), int(job["arrayProperties"]["size"])
        children = batch.describe(client, [f"{self._job_id}:{n}" for n in range(size)])
        failed = {i: batch.failure(c) for i, c in children.items() if c["status"] == "FAILED"}
        for child, reason in sorted(failed.items()):
            self.log.warning("child %s failed: %s", child, _words(reason))
        worth_retry = [reason for reason in failed.values() if _may_pass(reason)]
        last_try = context["ti"].try_number > context["ti"].max_tries
        if len(failed) < size and (last_try or not worth_retry):
            return {"job_id": self._job_id, "status": "PARTIAL", "failed": len(failed)}
        first = next(iter(failed))
        tail = batch.log_tail(aws.client("logs"), children[first], TAIL)
        decisive = worth_retry[0] if worth_retry else failed[first]
        text = f"{len(failed)} of {size} children of job {self._job_id} failed: {_words(decisive)}"
        self._fail(context, text, tail, hopeless=not _may_pass(decisive))

    def _fail(
        self, context: Any, text: str, tail: Sequence[str] = (), *, hopeless: bool = False
    ) -> NoReturn:
        """Raise what Airflow retries, or what it does not when trying again cannot help."""
        from airflow.sdk.exceptions import AirflowException, AirflowFailException

        for line in tail:
            self.log.error("| %s", line)
        said = f"{text}; its log ends: {tail[-1].strip()}" if tail else text
        if hopeless or context["ti"].try_number > context["ti"].max_tries:
            # No try will come to attach to the workers of a dead head.
            self._end_job("its head job failed for good")
        raise AirflowFailException(said) if hopeless else AirflowException(said)

    def _end_job(self, why: str) -> None:
        from seqharvest import aws, batch
        from seqharvest.triggers.batch import KILLED

        batch.terminate_with_children(
            aws.client("batch"), self._job_id, self._queues(), f"{KILLED}: {why}"
        )

    def _set_log_address(self, job: Mapping[str, Any]) -> None:
        import os
        from urllib.parse import quote

        stream = job.get("container", {}).get("logStreamName", "")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""
        if stream and region:
            where = f"log-group/{quote('/aws/batch/job', '')}/log-events/{quote(stream, '')}"
            console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
            self.log_address = f"{console}#logsV2:{where.replace('%', '$25')}"


class SnakemakeBatchOperator(BatchJobOperator):
    """Run a Snakemake workflow by a head job, which submits its workers to the Spot queue.

    One task per shard: map over the plan's shards with `.expand(plan=...)`.
    """

    ui_color = "#9fc5e8"

    def __init__(self, *, plan: Any, module: str = "seqharvest.head", **kwargs: Any) -> None:
        super().__init__(plan=plan, module=module, **kwargs)

    def _hopeless(self, reason: Failure) -> bool:
        """Whether all that failed was the tools' word on their input, not the ground under them.

        A head that ended without an outcome, or without a failed job, may have lost S3.
        """
        if reason.kind != "user_error" or reason.exit_code == InputError.exit_code:
            return super()._hopeless(reason)
        kinds = {why.get("kind") for why in (self._outcome().get("failed") or {}).values()}
        return bool(kinds) and kinds <= FINAL


def _may_pass(reason: Failure) -> bool:
    """Whether trying again can help."""
    return reason.kind not in ("user_error", "terminated")


def _words(reason: Failure) -> str:
    code = f" (exit code {reason.exit_code})" if reason.exit_code is not None else ""
    return f"{reason.kind.value.replace('_', ' ')}: {reason.reason}{code}"
