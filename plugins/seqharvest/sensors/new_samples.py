"""Senses, by the registry's state index, that projects have samples to work on."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator

from seqharvest.settings import settings

#: Airflow maps over at most 1,024; what is left has its turn a minute later.
AT_ONCE = 1000


def as_dag_run(work: dict[str, Any]) -> dict[str, Any]:
    """Return the DAG run of a project's round: its id is the same however often it is asked for."""
    return {
        "trigger_run_id": f"{work['project']}__round{work['round']}",
        "conf": {"project": work["project"]},
    }


class NewSamplesSensor(BaseSensorOperator):
    """Return the projects with work, as soon as there is one: `[{"project", "round", "samples"}]`.

    Deferrable and level-triggered: it asks what is, not what happened, so nothing can be missed.
    After `wait` without work it returns none, so that no run lives for ever.

    :param wait: how long to wait for work
    :param poll_seconds: how often the index is asked; default SEQHARVEST_INTAKE_POLL_SECONDS
    """

    ui_color = "#b6d7a8"

    def __init__(
        self,
        *,
        wait: timedelta = timedelta(hours=1),
        poll_seconds: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait = wait
        self.poll_seconds = poll_seconds

    def execute(self, context: Any) -> Any:
        """Return the projects with work, or wait for one."""
        from seqharvest.registry import Registry
        from seqharvest.triggers.new_samples import NewSamplesTrigger

        projects = Registry().projects_with_work()
        if projects:
            return self.execute_complete(context, {"projects": projects})
        deadline = time.time() + self.wait.total_seconds()
        poll = self.poll_seconds or settings().intake_poll_seconds
        self.log.info("no project has new samples, asking every %.0f s for %s", poll, self.wait)
        self.defer(trigger=NewSamplesTrigger(poll, deadline), method_name="execute_complete")

    def execute_complete(
        self, context: Any, event: dict[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Return what the trigger saw."""
        projects = list((event or {}).get("projects") or [])[:AT_ONCE]
        for work in projects:
            self.log.info(
                "project %s: %s new samples, round %s",
                work["project"],
                work["samples"],
                work["round"],
            )
        return projects
