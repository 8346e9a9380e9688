"""Records how a project's DAG run ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator

#: XCom key under which a task that failed for good leaves its reason.
FAILURE = "failure"
#: States that a run is meant to end in.
ENDED = ("loaded", "rejected")


def keep_reason(context: Any) -> None:
    """Leave the reason of a failed task for `ConcludeOperator`; an `on_failure_callback`."""
    context["ti"].xcom_push(key=FAILURE, value=str(context.get("exception"))[:2000])


class ConcludeOperator(BaseOperator):
    """End the run as its project ended: well when loaded or rejected, else failed with a reason.

    The only leaf of its DAG, with trigger rule `all_done`: the run's own state is this task's.
    Moves a project that another run has not taken over to `failed`.

    :param project: project id (templated)
    """

    template_fields: Sequence[str] = ("project",)
    ui_color = "#cccccc"

    def __init__(self, *, project: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = project

    def execute(self, context: Any) -> dict[str, Any]:
        """Record the failure if there is one, and raise it, so that the run is marked failed."""
        from airflow.sdk.exceptions import AirflowFailException

        from seqharvest.errors import InputError
        from seqharvest.registry import Registry

        reasons = self._reasons(context)
        said = "; ".join(reasons)
        registry = Registry()
        try:
            item = registry.project(self.project)
        except InputError as error:
            raise AirflowFailException(said or str(error)) from error
        why = said or f"the run ended while the project was {item['state']}"
        if (item.get("run_id") or item.get("last_run_id")) != context["ti"].run_id:
            raise AirflowFailException(f"{why} (project {self.project} is not in this run's hands)")
        if item["state"] in ENDED:
            return self._tell_end(registry, item, reasons)
        if item["state"] != "failed":
            by = f"airflow:{context['ti'].dag_id}"
            registry.move_project(self.project, "failed", by=by, why=why)
        raise AirflowFailException(f"project {self.project} failed: {why}")

    def _reasons(self, context: Any) -> list[str]:
        """Return "task: message" of each task that failed in this run."""
        instance = context["ti"]
        states = instance.get_task_states(dag_id=instance.dag_id, run_ids=[instance.run_id])
        reasons = []
        for name, state in sorted(states.get(instance.run_id, {}).items()):
            if state == "failed" and not name.startswith(self.task_id):
                task_id, index = _split(name, context["dag"].task_dict)
                said = instance.xcom_pull(task_ids=task_id, key=FAILURE, map_indexes=index)
                reasons.append(f"{name}: {said}" if said else f"{name} failed")
        return reasons

    def _tell_end(self, registry: Any, item: dict[str, Any], reasons: list[str]) -> dict[str, Any]:
        counts = registry.counts(self.project)
        summary = ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))
        self.log.info("project %s is %s; samples: %s", self.project, item["state"], summary)
        for reason in reasons:
            self.log.warning("went on without: %s", reason)
        for sample in registry.samples(self.project):
            if sample["state"] == "failed":
                self.log.warning(
                    "project %s sample %s failed: %s",
                    self.project,
                    sample["sample"],
                    sample.get("reason"),
                )
        return {"state": item["state"], "samples": counts}


def _split(name: str, tasks: Any) -> tuple[str, int]:
    """Split `task_id_3` into a mapped task's id and index; index -1 when it is not mapped."""
    if name in tasks:
        return name, -1
    task_id, _, index = name.rpartition("_")
    return task_id, int(index)
