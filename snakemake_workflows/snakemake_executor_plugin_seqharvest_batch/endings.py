"""Say why a job failed and what comes next: in the log, in the failures file, in the ledger."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from snakemake_executor_plugin_seqharvest_batch import failures, logs, naming
from snakemake_executor_plugin_seqharvest_batch.failures import Failure, Kind
from snakemake_executor_plugin_seqharvest_batch.resources import Resources
from snakemake_executor_plugin_seqharvest_batch.retries import AGAIN, REMEDY, Ledger
from snakemake_executor_plugin_seqharvest_batch.settings import ExecutorSettings


@dataclass(frozen=True)
class Endings:
    """Tells failed jobs."""

    logs: Any
    settings: ExecutorSettings
    prefix: str
    ledger: Ledger
    logger: Any

    def failed(
        self,
        job: Any,
        detail: dict[str, Any],
        had: Resources | None,
        kind: Kind | None = None,
        reason: str = "",
    ) -> Failure:
        """Record a failed attempt and return it.

        `detail` is DescribeJobs', `had` what the job was submitted with, if this life did it. Kind
        and reason are found in the detail and the job's log when they are not given.
        """
        name, exit_code, tail = naming.job_name(self.prefix, job), None, []
        if kind is None:
            group, lines = self.settings.log_group, self.settings.log_tail_lines
            tail = logs.tail(self.logs, group, detail, lines)
            kind, reason, exit_code = failures.classify(detail, tail)
        self.ledger.failed(name, had or self._described(detail), kind)
        will_retry = self.ledger.goes_on(name, job)
        failure = Failure(
            job=name,
            id=detail["jobId"],
            rules=sorted(job.rules),
            wildcards=naming.wildcards(job),
            kind=kind,
            reason=reason,
            exit_code=exit_code,
            attempt=len(self.ledger.history(name)),
            will_retry=will_retry,
            action=AGAIN[kind] if will_retry else f"given up: {REMEDY[kind]}",
            summary=failures.summary(reason, exit_code, tail),
            log_stream=logs.stream(detail) or "",
            log=tail,
        )
        failures.record(self.settings.failures_file, failure)
        self._tell(job, failure)
        return failure

    def _described(self, detail: Mapping[str, Any]) -> Resources:
        """Return what a job that an earlier life submitted has, as Batch tells it."""
        needs = (detail.get("container") or {}).get("resourceRequirements") or []
        amounts = {need["type"]: int(float(need["value"])) for need in needs}
        return Resources(
            vcpus=amounts.get("VCPU", 1),
            memory=amounts.get("MEMORY", self.settings.default_mem_mb),
            timeout=(detail.get("timeout") or {}).get("attemptDurationSeconds", 0),
            gpus=amounts.get("GPU", 0),
            queue=str(detail.get("jobQueue", "")).rpartition("/")[2],
        )

    def _tell(self, job: Any, failure: Failure) -> None:
        lines = [
            f"Batch job failed: {naming.describe(job)}: {failure.kind}: {failure.reason}"
            f" (exit code {failure.exit_code}, attempt {failure.attempt}, job {failure.id}):"
            f" {failure.action}",
            *(f"  | {line}" for line in failure.log),
        ]
        self.logger.error("\n".join(lines))
