"""The executor: what Snakemake asks for, carried out by the modules beside it."""

import asyncio
import json
import shlex
import signal
import threading
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
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
    endings,
    failures,
    hosts,
    naming,
    patience,
    records,
    resources,
    retries,
    skip,
    status,
    usage,
)
from snakemake_executor_plugin_seqharvest_batch import cancel as cancelling
from snakemake_executor_plugin_seqharvest_batch.progress import Progress
from snakemake_executor_plugin_seqharvest_batch.settings import ExecutorSettings
from snakemake_executor_plugin_seqharvest_batch.submission import Ready, Submission

#: Plugins are imported before the DAG is built, that is before any output is looked at.
STARTED = time.time()
#: Storage settings that must not travel in a job's environment, where anyone may read them.
SECRETS = ("ACCESS_KEY", "SECRET_KEY", "TOKEN", "PASSWORD")


class Executor(RemoteExecutor):
    """Runs Snakemake's jobs and group jobs as AWS Batch jobs."""

    def __post_init__(self) -> None:
        """Make the clients and check that all can run; called once, in the main thread."""
        self.settings: ExecutorSettings = self.executor_settings
        self.queue = str(self.settings.job_queue)
        self.prefix = naming.check_prefix(self.settings.name_prefix or self._default_prefix())
        patient = Config(
            retries={"mode": "standard", "max_attempts": 5},
            connect_timeout=10,
            max_pool_connections=max(status.THREADS, self.settings.submit_threads),
        )
        self.batch = self._client("batch", patient)
        self.logs = self._client("logs", patient)
        self.s3 = self._client("s3", patient)
        self.stopping = threading.Event()
        self.rounds = status.Rounds(self.batch)
        self.ledger = retries.Ledger()
        self.endings = endings.Endings(
            self.logs, self.settings, self.prefix, self.ledger, self.logger
        )
        self.skipped: set[Any] = set()
        self.asked: dict[str, resources.Resources] = {}
        self.trouble_since: float | None = None
        self.unknown_since: dict[str, float] = {}
        self._look_around()

    def run_jobs(self, jobs: list[Any]) -> None:
        """Submit, or find again, all jobs that are ready now; several calls in flight at once."""
        self._die_on_sigterm()
        try:
            unknown = [job for job in jobs if not self._follow(job)]
            ready = self._ready(self._without_done(unknown))
            for group, future in self.submission.submit(ready):
                self._started(group, future)
        except Exception as error:
            self._give_up(error)

    def run_job(self, job: Any) -> None:
        """Submit a single job."""
        self.run_jobs([job])

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Report the jobs that ended and yield the others; one round for all of them."""
        if not active_jobs or self.stopping.is_set():
            return
        details = self._describe([info.external_jobid for info in active_jobs])
        if details is None:
            for info in active_jobs:
                yield info
            return
        ended = 0
        self._look_at_outputs(info for info in active_jobs if _succeeded(details, info))
        for info in active_jobs:
            if info.external_jobid not in details:
                info.aux = {"seen": "in a live array"}
                yield info  # nothing ended there
            elif await self._still_active(info, details[info.external_jobid]):
                yield info
            else:
                ended += 1
        self.progress.now_running(self.rounds.running)
        self.pace.after(changed=ended > 0 or self.rounds.more)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Terminate every job of this run, including those whose submit was interrupted."""
        self.stopping.set()
        known = [info.external_jobid for info in active_jobs]
        count = cancelling.cancel(
            self.batch, self._queues(), self.prefix, known, "The workflow run was ended."
        )
        self.logger.info(f"Terminated {count} Batch jobs of {self.prefix}.")

    def shutdown(self) -> None:
        """End the status rounds, and say what the jobs used of what they asked for."""
        super().shutdown()
        if not self.stopping.is_set() and self.asked:
            failures_file = self.settings.failures_file
            usage.report(
                self.s3,
                self.bundle.prefix,
                self.prefix,
                path=Path(failures_file).with_name("efficiency.json") if failures_file else None,
                say=self.logger.info,
            )

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
        return Progress(total=len(self._remote_jobs()))

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
        configs = [str(path) for path in self.workflow.overwrite_configfiles]
        others = [path for path in (self.settings.worker_files or "").split(",") if path]
        general = self.workflow.spawned_job_args_factory.general_args(self.common_settings)
        arguments = [*shlex.split(general), "--mode", "remote"]
        return self.bundle.put(
            {
                "snakefile": str(self.workflow.main_snakefile),
                "files": {**bundle.read_configs(configs), **bundle.read_files(others)},
                "scratch": self.settings.scratch_dir,
                "usage": self.bundle.prefix,
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
            self.stopping.set()  # submits that wait for an API in trouble end now
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGINT, interrupt)

    def _look_around(self) -> None:
        """See what the jobs can be placed on, and what an earlier life left; submit nothing yet.

        An error here ends the run before anything was touched.
        """
        seconds = self.settings.patience_seconds
        try:
            self.plan = patience.patiently(self._plan, seconds)
            jobs = self._remote_jobs()
            resources.check_all(jobs, self.settings.default_mem_mb, self.plan)
            self.earlier = attach.Earlier()
            if jobs:
                self.earlier = patience.patiently(self._earlier, seconds)
        except (ClientError, BotoCoreError) as error:
            raise WorkflowError(f"AWS Batch cannot be used: {error}") from error

    def _earlier(self) -> attach.Earlier:
        return attach.earlier(self.batch, self._queues(), self.prefix, STARTED, self.bundle.members)

    def _plan(self) -> resources.Plan:
        """Return what the jobs are placed on; raise `WorkflowError` for a queue out of use."""
        chosen = self.settings
        say = self.logger.info
        large = chosen.large_disk_queue and hosts.read(
            self.batch, chosen.large_disk_queue, scratch_gib=chosen.large_disk_gib, say=say
        )
        queue = hosts.read(
            self.batch,
            self.queue,
            instance_types=chosen.instance_types or "",
            scratch_gib=chosen.scratch_gib,
            reserved_gib=chosen.reserved_gib,
            say=say,
        )
        return resources.Plan(queue, large or None, say)

    def _queues(self) -> list[str]:
        return [queue.name for queue in (self.plan.queue, self.plan.large) if queue]

    def _remote_jobs(self) -> list[Any]:
        """Return the jobs of this run that are Batch's, a group as one."""
        needed = (job for job in self.dag.needrun_jobs() if not job.is_local)
        return list(
            {id(job): job for job in (self.dag.get_job_group(j) or j for j in needed)}.values()
        )

    def _follow(self, job: Any) -> bool:
        """Follow the job an earlier life left behind, if there is one."""
        name = naming.job_name(self.prefix, job)
        job_id = self.earlier.following.pop(name, None)
        if job_id is None:
            return False
        self.logger.info(f"Following Batch job {job_id} ({name}), not submitted again.")
        self._on_batch(job, job_id)
        self.progress.add(attached=1)
        return True

    def _without_done(self, jobs: list[Any]) -> list[Any]:
        """Report the jobs whose outputs are all there, and return the others."""
        everything = time.time() - STARTED > self.settings.recheck_seconds
        candidates = {
            job: files
            for job in jobs
            if (everything or naming.job_name(self.prefix, job) in self.earlier.doubtful)
            and (files := skip.may_be_done(self.dag, job, self.skipped))
        }
        if not candidates:
            return jobs
        skip.look_again(candidates.values())

        async def done() -> set[Any]:
            return {job for job, files in candidates.items() if await skip.is_done(files)}

        there = self.workflow.async_run(done())
        for job in there:
            self.skipped.update(job.jobs if job.is_group() else [job])
            self.logger.info(f"All outputs are there: {naming.describe(job)}, not submitted.")
            self._report_done(SubmittedJobInfo(job))
        self.progress.add(skipped=len(there))
        return [job for job in jobs if job not in there]

    def _ready(self, jobs: list[Any]) -> list[Ready]:
        """Say what each job is to do, and with what; report those that no host can run."""
        ready = []
        for job in jobs:
            name = naming.job_name(self.prefix, job)
            try:
                # Snakemake counts every failure; only some call for more (retries.TOO_LITTLE).
                if job.attempt != (attempt := self.ledger.attempt(name)):
                    job.attempt = attempt
                wanted = resources.of_job(
                    job, self.settings.default_mem_mb, self.plan, self.ledger.history(name)
                )
                # Not the host's cores: a container sees all of them.
                arguments = RealExecutor.get_job_args(self, job, cores=wanted.vcpus)
            except WorkflowError as error:
                self._refused(job, error)
                continue
            self.asked[name] = wanted
            about = usage.about(job, wanted)
            record = records.record(name, shlex.split(arguments), about)
            ready.append(Ready(job, name, wanted, record))
        return ready

    def _pause(self, seconds: float) -> None:
        if self.stopping.wait(seconds):
            raise WorkflowError("the run was ended")

    @cached_property
    def submission(self) -> Submission:
        """Return what submits."""
        # SubmitJob is not idempotent: botocore must not repeat it, `submit.submit` does.
        config = Config(
            retries={"total_max_attempts": 1},
            connect_timeout=10,
            max_pool_connections=self.settings.submit_threads,
        )
        return Submission(
            self._client("batch", config),
            self.settings,
            self.prefix,
            self.bundle,
            self.bundle_uri,
            self._environment(),
            self._pause,
        )

    def _environment(self) -> dict[str, str]:
        """Return the environment every job gets; raise `WorkflowError` if it holds a secret."""
        given = self.envvars()
        secrets = [name for name in given if name.endswith(SECRETS)]
        if secrets:
            raise WorkflowError(
                f"{', '.join(secrets)} would be readable in every job's description: give the job "
                "definition a role instead"
            )
        return {name: str(value) for name, value in given.items()}

    def _started(self, group: list[Ready], future: "Future[list[str]]") -> None:
        try:
            job_ids = future.result()
        except (ClientError, BotoCoreError) as error:
            if patience.is_denied(error):
                raise
            for each in group:
                self._refused(each.job, error)
            return
        for each, job_id in zip(group, job_ids, strict=True):
            self._on_batch(each.job, job_id)
        self.progress.add(submitted=len(group))

    def _on_batch(self, job: Any, job_id: str) -> None:
        # Only now: the words on a thousand chains take seconds that their submit need not wait.
        self.run_job_pre(job)
        # Unregistered: a mark that outputs are incomplete would stop the head that follows a
        # killed one in the same folder. An S3 object is whole or absent.
        info = SubmittedJobInfo(job, external_jobid=job_id)
        self.report_job_submission(info, register_job=False)

    def _refused(self, job: Any, error: Exception) -> None:
        detail = {"jobName": naming.job_name(self.prefix, job), "jobId": ""}
        reason = f"not submitted: {error}"
        self._failed(SubmittedJobInfo(job), detail, failures.Kind.USER_ERROR, reason)

    def _give_up(self, error: Exception) -> None:
        """End the run but leave its jobs alone: the next run of the same prefix finds them."""
        self.stopping.set()
        told = WorkflowError(
            f"{error}\nNothing more is submitted; the jobs on Batch were left alone, and the next "
            "run of the same name prefix finds them."
        )
        # Raised here, Snakemake would cancel all jobs first.
        self.workflow.scheduler.executor_error_callback(told)

    def _describe(self, job_ids: Sequence[str]) -> dict[str, dict[str, Any] | None] | None:
        """Return what Batch knows, or None while it cannot be asked; raise when patience ends."""
        try:
            details = self.rounds.ask(job_ids)
        except (ClientError, BotoCoreError) as error:
            now = time.monotonic()
            self.trouble_since = self.trouble_since or now
            patient = now - self.trouble_since <= self.settings.patience_seconds
            if patience.is_denied(error) or not patient:
                raise WorkflowError(
                    f"Batch cannot be asked about its jobs, which were left alone: {error}"
                ) from error
            self.logger.warning(f"Batch does not answer, its jobs are left alone: {error}")
            return None
        self.trouble_since = None
        return details

    def _look_at_outputs(self, infos: Iterable[SubmittedJobInfo]) -> None:
        """Learn of new outputs in bulk; Snakemake is about to ask for them one by one."""
        files = [found for info in infos if (found := skip.files_of(info.job))]
        try:
            skip.look_again(skip.Files(each.outputs, ()) for each in files)
        except Exception as error:
            self.logger.warning(f"Outputs will be looked at one by one: {error}")

    async def _still_active(self, info: SubmittedJobInfo, detail: Mapping[str, Any] | None) -> bool:
        """Report a job that ended; return whether it has to be asked about again."""
        if detail is None:
            return await self._still_awaited(info)
        self.unknown_since.pop(info.external_jobid, None)
        info.aux = {"seen": detail["status"]}
        if detail["status"] == "SUCCEEDED":
            self._succeeded(info)
        elif detail["status"] == "FAILED":
            self._failed(info, dict(detail))
        else:
            return True
        return False

    async def _still_awaited(self, info: SubmittedJobInfo) -> bool:
        """Give a job Batch does not know some time to appear, then judge it by its outputs."""
        now = time.monotonic()
        since = self.unknown_since.setdefault(info.external_jobid, now)
        if now - since < self.settings.lost_after_seconds:
            return True
        seen = (info.aux or {}).get("seen")
        files = skip.files_of(info.job) if seen else None
        if files:
            self._look_at_outputs([info])
            if await skip.is_done(files):
                self.logger.info(f"Batch has forgotten {info.external_jobid}; it is done.")
                self._succeeded(info)
                return False
        told = f"Batch has forgotten it (last seen {seen})" if seen else "Batch never showed it"
        detail = {
            "jobName": naming.job_name(self.prefix, info.job),
            "jobId": info.external_jobid,
        }
        self._failed(info, detail, failures.Kind.LOST, told)
        return False

    def _succeeded(self, info: SubmittedJobInfo) -> None:
        self.progress.add(done=1)
        self._report_done(info)

    def _report_done(self, info: SubmittedJobInfo) -> None:
        job = info.job
        if job.is_group():
            # Snakemake sleeps 0.1 s between a group's levels, job after job, so that what it
            # touches gets distinct times. It touches nothing here, and a thousand ended chains
            # of five rules would hold it up for seven minutes.
            job.toposorted = [list(job)]
        self.report_job_success(info)

    def _failed(
        self,
        info: SubmittedJobInfo,
        detail: dict[str, Any],
        kind: failures.Kind | None = None,
        reason: str = "",
    ) -> None:
        """Tell Snakemake of a failed job, and whether it is to be repeated."""
        job = info.job
        had = self.asked.get(naming.job_name(self.prefix, job))
        failure = self.endings.failed(job, detail, had, kind, reason)
        if not failure.will_retry:
            self.progress.add(failed=1)
            # Snakemake repeats a job as long as its attempt is not above its retries.
            job.attempt = max(job.attempt, job.restart_times + 1)
        self.report_job_error(info, msg=f"{failure.kind}: {failure.reason} ")


def _succeeded(details: Mapping[str, dict[str, Any] | None], info: SubmittedJobInfo) -> bool:
    detail = details.get(info.external_jobid)
    return detail is not None and detail["status"] == "SUCCEEDED"
