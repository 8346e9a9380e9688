"""The executor: what Snakemake asks for, carried out by the modules beside it."""

import asyncio
import json
import shlex
import signal
import threading
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import cached_property
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.real import RealExecutor
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

from snakemake_executor_plugin_seqharvest_batch import (
    attach,
    bundle,
    failures,
    logs,
    naming,
    resources,
    status,
    submit,
)
from snakemake_executor_plugin_seqharvest_batch import cancel as cancelling
from snakemake_executor_plugin_seqharvest_batch.progress import Progress
from snakemake_executor_plugin_seqharvest_batch.settings import ExecutorSettings

#: Plugins are imported before the DAG is built, that is before any output is looked at.
STARTED = time.time()
#: Storage settings that must not travel in a job's environment, where anyone may read them.
SECRETS = ("ACCESS_KEY", "SECRET_KEY", "TOKEN", "PASSWORD")


class Executor(RemoteExecutor):
    """Runs Snakemake's jobs and group jobs as AWS Batch jobs."""

    def __post_init__(self) -> None:
        """Make the clients; called once, in the main thread."""
        self.settings: ExecutorSettings = self.executor_settings
        self.queue = str(self.settings.job_queue)
        self.prefix = naming.check_prefix(self.settings.name_prefix or self._default_prefix())
        patient = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10)
        self.batch = self._client("batch", patient)
        self.logs = self._client("logs", patient)
        self.s3 = self._client("s3", patient)
        # SubmitJob is not idempotent: botocore must not repeat it, `submit.submit` does.
        self.submitter = self._client(
            "batch",
            Config(
                retries={"total_max_attempts": 1},
                connect_timeout=10,
                max_pool_connections=self.settings.submit_threads,
            ),
        )
        self.cancelled = False
        self.trouble_since: float | None = None
        self.unknown_since: dict[str, float] = {}

    def run_jobs(self, jobs: list[Any]) -> None:
        """Submit, or find again, all jobs that are ready now; several calls in flight at once."""
        self._die_on_sigterm()
        pool = ThreadPoolExecutor(max_workers=self.settings.submit_threads)
        try:
            starting: dict[Future[str], Any] = {}
            for job in jobs:
                self.run_job_pre(job)
                try:
                    starting[self._start(pool, job)] = job
                except WorkflowError as error:
                    self._refused(job, error)
            for future in as_completed(starting):
                self._started(starting[future], future)
        finally:
            # An interrupt must not wait for submits that have not begun.
            pool.shutdown(cancel_futures=True)

    def run_job(self, job: Any) -> None:
        """Submit a single job."""
        self.run_jobs([job])

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that ended and yield the others; one round for all of them."""
        if not active_jobs or self.cancelled:
            return
        details = self._describe([info.external_jobid for info in active_jobs])
        if details is None:
            for info in active_jobs:
                yield info
            return
        ended = 0
        for info in active_jobs:
            if self._still_active(info, details.get(info.external_jobid)):
                yield info
            else:
                ended += 1
        states = [detail["status"] for detail in details.values()]
        self.progress.now_running(states.count("RUNNING") + states.count("STARTING"))
        self.pace.after(changed=ended > 0)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Terminate every job of this run, including those whose submit was interrupted."""
        self.cancelled = True
        known = [info.external_jobid for info in active_jobs]
        count = cancelling.cancel(
            self.batch, self.queue, self.prefix, known, "The workflow run was ended."
        )
        self.logger.info(f"Terminated {count} Batch jobs of {self.prefix}.")

    async def sleep(self) -> None:
        """Wait for the next round, or less when the run ends."""
        end = time.monotonic() + self.pace.seconds
        while self.wait and time.monotonic() < end:
            await asyncio.sleep(0.2)

    @cached_property
    def pace(self) -> status.Pace:
        """Return the wait between rounds."""
        return status.Pace(self.executor_settings.poll_seconds)

    @cached_property
    def progress(self) -> Progress:
        """Return the counts of this run; a group job counts as one."""
        needed = (job for job in self.dag.needrun_jobs() if not job.is_local)
        return Progress(total=len({id(self.dag.get_job_group(job) or job) for job in needed}))

    @cached_property
    def earlier(self) -> dict[str, str]:
        """Return the jobs an earlier life of this run left behind, id by name; listed once."""
        return attach.unfinished(self.batch, self.queue, self.prefix, STARTED)

    @cached_property
    def bundle(self) -> bundle.Bundle:
        """Return the place of the workers' common object."""
        storage = self.workflow.storage_settings.default_storage_prefix
        prefix = self.settings.bundle_prefix or (storage and f"{storage}/.snakemake-batch")
        if not prefix:
            raise WorkflowError("give --seqharvest-batch-bundle-prefix or --default-storage-prefix")
        return bundle.Bundle(self.s3, prefix)

    @cached_property
    def bundle_uri(self) -> str:
        """Write the workers' common object, once, and return where it is."""
        paths = [str(path) for path in self.workflow.overwrite_configfiles]
        paths += [path for path in (self.settings.worker_files or "").split(",") if path]
        general = self.workflow.spawned_job_args_factory.general_args(self.common_settings)
        arguments = [*shlex.split(general), "--mode", "remote"]
        return self.bundle.put(
            {
                "snakefile": str(self.workflow.main_snakefile),
                "files": bundle.read_files(paths),
                "scratch": self.settings.scratch_dir,
                "arguments": arguments,
            }
        )

    def _client(self, service: str, config: Config) -> Any:
        return boto3.client(service, region_name=self.settings.region, config=config)

    def _default_prefix(self) -> str:
        config = json.dumps(self.workflow.overwrite_config, sort_keys=True, default=str)
        storage = str(self.workflow.storage_settings.default_storage_prefix)
        return naming.default_prefix(str(self.workflow.main_snakefile), storage, config)

    def _die_on_sigterm(self) -> None:
        """Make SIGTERM end this run and its jobs; Snakemake would wait for them instead."""
        if threading.current_thread() is not threading.main_thread():
            return

        def interrupt(_signal: int, _frame: object) -> None:
            # A second signal must not interrupt the termination of the jobs.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGINT, interrupt)

    def _start(self, pool: ThreadPoolExecutor, job: Any) -> "Future[str]":
        request = self._request(job)
        if job_id := self.earlier.pop(request.name, None):
            self.logger.info(f"Following Batch job {job_id} ({request.name}), not submitted again.")
            self.progress.add(attached=1)
            found: Future[str] = Future()
            found.set_result(job_id)
            return found
        return pool.submit(
            submit.submit, self.submitter, request, self.settings.patience_seconds, time.sleep
        )

    def _request(self, job: Any) -> submit.Request:
        wanted = resources.of_job(job, self.settings.default_mem_mb)
        # Not the host's cores: a container sees all of them.
        arguments = RealExecutor.get_job_args(self, job, cores=wanted.vcpus)
        name = naming.job_name(self.prefix, job)
        return submit.Request(
            name=name,
            key=name,
            queue=self.queue,
            definition=str(self.settings.job_definition),
            command=self.bundle.command(self.bundle_uri, shlex.split(arguments)),
            resources=wanted,
            attempts=self.settings.attempts,
            environment=self._environment(),
            tags=dict(pair.split("=", 1) for pair in (self.settings.tags or "").split(",") if pair),
        )

    def _environment(self) -> dict[str, str]:
        given = self.envvars()
        secrets = [name for name in given if name.endswith(SECRETS)]
        if secrets:
            raise WorkflowError(
                f"{', '.join(secrets)} would be readable in every job's description: give the job "
                "definition a role instead"
            )
        return {name: str(value) for name, value in given.items()}

    def _started(self, job: Any, future: "Future[str]") -> None:
        try:
            job_id = future.result()
        except (ClientError, BotoCoreError) as error:
            self._refused(job, error)
            return
        self.report_job_submission(SubmittedJobInfo(job, external_jobid=job_id))
        self.progress.add(submitted=1)

    def _refused(self, job: Any, error: Exception) -> None:
        detail = {"jobName": naming.job_name(self.prefix, job), "jobId": ""}
        reason = f"not submitted: {error}"
        self._failed(SubmittedJobInfo(job), detail, failures.Kind.USER_ERROR, reason)

    def _describe(self, job_ids: Sequence[str]) -> dict[str, dict[str, Any]] | None:
        """Return what Batch knows, or None while it cannot be asked; raise when patience ends."""
        try:
            details = status.describe(self.batch, job_ids)
        except (ClientError, BotoCoreError) as error:
            now = time.monotonic()
            self.trouble_since = self.trouble_since or now
            if now - self.trouble_since > self.settings.patience_seconds:
                raise WorkflowError(f"Batch cannot be asked about its jobs: {error}") from error
            self.logger.warning(f"Batch does not answer, its jobs are left alone: {error}")
            return None
        self.trouble_since = None
        return details

    def _still_active(self, info: SubmittedJobInfo, detail: Mapping[str, Any] | None) -> bool:
        """Report a job that ended; return whether it has to be asked about again."""
        if detail is None:
            return self._still_awaited(info)
        self.unknown_since.pop(info.external_jobid, None)
        info.aux = {"seen": detail["status"]}
        if detail["status"] == "SUCCEEDED":
            self.progress.add(done=1)
            self.report_job_success(info)
        elif detail["status"] == "FAILED":
            self._failed(info, dict(detail))
        else:
            return True
        return False

    def _still_awaited(self, info: SubmittedJobInfo) -> bool:
        """Give a job Batch does not know some time to appear, then report it as lost."""
        now = time.monotonic()
        since = self.unknown_since.setdefault(info.external_jobid, now)
        if now - since < self.settings.lost_after_seconds:
            return True
        seen = (info.aux or {}).get("seen")
        told = f"Batch has forgotten it (last seen {seen})" if seen else "Batch never showed it"
        detail = {
            "jobName": naming.job_name(self.prefix, info.job),
            "jobId": info.external_jobid,
        }
        self._failed(info, detail, failures.Kind.LOST, told)
        return False

    def _failed(
        self,
        info: SubmittedJobInfo,
        detail: dict[str, Any],
        kind: failures.Kind | None = None,
        reason: str = "",
    ) -> None:
        """Say why a job failed, keep it in the failures file, and tell Snakemake."""
        job, exit_code, tail = info.job, None, []
        if kind is None:
            tail = logs.tail(
                self.logs, self.settings.log_group, detail, self.settings.log_tail_lines
            )
            kind, reason, exit_code = failures.classify(detail, tail)
        will_retry = kind not in failures.FINAL and job.restart_times > job.attempt - 1
        failure = failures.Failure(
            job=detail["jobName"],
            id=detail["jobId"],
            rules=sorted(job.rules),
            wildcards=naming.wildcards(job),
            kind=kind,
            reason=reason,
            exit_code=exit_code,
            attempt=job.attempt,
            will_retry=will_retry,
            summary=failures.summary(reason, exit_code, tail),
            log_stream=logs.stream(detail) or "",
            log=tail,
        )
        failures.record(self.settings.failures_file, failure)
        self._tell(job, failure)
        if not will_retry:
            self.progress.add(failed=1)
            # Snakemake repeats a job as long as its attempt is not above its retries.
            job.attempt = max(job.attempt, job.restart_times + 1)
        self.report_job_error(info, msg=f"{kind}: {reason} ")

    def _tell(self, job: Any, failure: failures.Failure) -> None:
        lines = [
            f"Batch job failed: {naming.describe(job)}: {failure.kind}: {failure.reason}"
            f" (exit code {failure.exit_code}, attempt {failure.attempt}, job {failure.id})",
            *(f"  | {line}" for line in failure.log),
        ]
        self.logger.error("\n".join(lines))
