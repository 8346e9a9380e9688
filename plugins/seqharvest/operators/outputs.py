"""Short-circuits the analysis of a project whose outputs are all there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.bases.skipmixin import SkipMixin

from seqharvest.operators.stage import check_ours, hopeless_errors_fail


class S3OutputsExistShortCircuitOperator(BaseOperator, SkipMixin):
    """Pass on the shards of samples that lack outputs; skip the analysis when none does.

    What is missing comes from one listing of the project's prefix: an output counts when it
    exists, is not empty, and is not older than the sample's reads. Only the direct downstream
    tasks in `skips` are skipped, so the load still runs.

    :param project: project id (templated)
    :param skips: task ids to skip when nothing is missing
    """

    template_fields: Sequence[str] = ("project",)
    ui_color = "#d5a6bd"

    def __init__(self, *, project: str, skips: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.skips = tuple(skips)

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Return the shards to run, or skip the analysis."""
        from seqharvest import stages

        by = f"airflow:{context['ti'].dag_id}"
        with hopeless_errors_fail():
            check_ours(self.project, context["ti"].run_id)
            self._adopt_mark(by)
            shards = stages.plan_analysis(self.project, by=by)
        if shards:
            samples = sum(shard["samples"] for shard in shards)
            self.log.info(
                "project %s: %d samples lack outputs, %d shards", self.project, samples, len(shards)
            )
            return shards
        self.log.info("project %s: every output is there, nothing to run", self.project)
        context["ti"].xcom_push(key="return_value", value=[])
        behind = context["task"].get_direct_relatives(upstream=False)
        self.skip(context["ti"], [task for task in behind if task.task_id in self.skips])
        return []

    def _adopt_mark(self, by: str) -> None:
        """Record the approval of a person whose mark the listener could not record.

        Only a gate that was marked success lets this task run while the registry still waits.
        """
        from seqharvest.registry import Registry

        registry = Registry()
        if registry.project(self.project)["state"] == "awaiting_review":
            self.log.warning(
                "project %s: the review task was marked success, but by whom was not recorded; "
                "see Airflow's audit log",
                self.project,
            )
            registry.decide(
                self.project, "approved", by=f"{by} (see its audit log)", way="airflow mark"
            )
