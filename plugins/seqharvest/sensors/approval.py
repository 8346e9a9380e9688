"""The review gate: a task that waits until a person has approved or rejected a project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.skipmixin import SkipMixin

from seqharvest.settings import settings

#: The project was approved, now or on an earlier pass through the gate.
PAST_THE_GATE = ("approved", "analysing", "loaded")


def look(project: str) -> dict[str, Any] | None:
    """Return how a project's review ended, None while it waits for a person.

    The answer has `decision` ("approved", "rejected", or "" when the project is not at the gate
    at all), `state`, `by`, `way` and `comment`. Raises `InputError` for an unknown project.
    """
    from seqharvest.registry import Registry

    registry = Registry()
    item = registry.adopt_decision(project) or registry.project(project)
    state = item["state"]
    if state == "awaiting_review":
        return None
    decision = "approved" if state in PAST_THE_GATE else "rejected" if state == "rejected" else ""
    if state == "failed":  # after the gate, if there is a decision
        decision = item.get("review_decision") or ""
    return {
        "decision": decision,
        "state": state,
        "by": item.get("reviewed_by", ""),
        "way": item.get("review_way", ""),
        "comment": item.get("review_comment", ""),
    }


class QCApprovalSensor(BaseSensorOperator, SkipMixin):
    """Wait for a person's decision about a project, however it is given.

    Ways to decide: editing the project's item in DynamoDB, `python -m seqharvest.registry
    approve|reject`, or marking this task success or failed in Airflow (the listener in
    `seqharvest.listeners` records that as the decision of who did it). Approved: downstream
    runs. Rejected: this task succeeds and what follows it is skipped.

    :param project: project id (templated)
    :param poll_seconds: how often the registry is asked; default SEQHARVEST_APPROVAL_POLL_SECONDS
    """

    template_fields: Sequence[str] = ("project",)
    ui_color = "#ffd966"
    ui_fgcolor = "#000000"

    def __init__(self, *, project: str, poll_seconds: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.poll_seconds = poll_seconds

    def execute(self, context: Any) -> Any:
        """Return at once when the decision is there, else say how to decide and wait."""
        outcome = look(self.project)
        if outcome is not None:
            return self.execute_complete(context, outcome)
        self._announce(context)
        from seqharvest.triggers.approval import ApprovalTrigger

        poll = self.poll_seconds or settings().approval_poll_seconds
        self.defer(
            trigger=ApprovalTrigger(self.project, poll),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Any, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Go on, or skip what follows, as was decided."""
        from airflow.sdk.exceptions import AirflowFailException

        outcome = event or {}
        if outcome.get("decision") == "approved":
            self._say(outcome)
            return outcome
        if outcome.get("decision") == "rejected":
            self._say(outcome)
            self._end_run(context, outcome)
        raise AirflowFailException(
            f"project {self.project} does not await review, it is {outcome.get('state')} → "
            f"clear the task qc.record of this run, or see "
            f"`python -m seqharvest.registry show {self.project}`"
        )

    def _say(self, outcome: Mapping[str, Any]) -> None:
        comment = f": {outcome['comment']}" if outcome.get("comment") else ""
        self.log.info(
            "project %s was %s by %s (%s)%s",
            self.project,
            outcome["decision"],
            outcome.get("by") or "unknown",
            outcome.get("way") or "unknown",
            comment,
        )

    def _end_run(self, context: Any, outcome: dict[str, Any]) -> None:
        """Skip the tasks directly behind this one; the others follow by their trigger rules."""
        instance = context["ti"]
        instance.xcom_push(key="return_value", value=outcome)
        self.skip(instance, context["task"].get_direct_relatives(upstream=False))

    def _announce(self, context: Any) -> None:
        from seqharvest import layout
        from seqharvest.registry import Registry

        knobs = settings()
        item = Registry().project(self.project)
        run_id = context["ti"].run_id
        report = str(item.get("verdicts_key") or "").rpartition("/")[0]
        counts = item.get("verdict_counts") or item.get("verdicts") or {}
        page = f"{knobs.review_url}/dags/{context['ti'].dag_id}/runs/{run_id}/tasks/{self.task_id}"
        self.log.info(
            "project %s waits for a person's review %s\n"
            "  report    %s\n"
            "  verdicts  %s\n"
            "  decide    mark this task success (approve) or failed (reject): %s\n"
            "            python -m seqharvest.registry approve|reject %s --by NAME\n"
            "            or set review_decision to approved or rejected in DynamoDB: table %s,"
            " pk=%s, sk=PROJECT",
            self.project,
            dict(counts) if isinstance(counts, Mapping) else counts,
            layout.uri(knobs.bucket, f"{report}/multiqc_report.html"),
            layout.uri(knobs.bucket, f"{report}/verdicts.json"),
            page,
            self.project,
            knobs.table,
            self.project,
        )
