"""The review gate: a task that waits until a person has approved or rejected a project."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.bases.skipmixin import SkipMixin

from seqharvest.review.links import ReviewLink, page_of
from seqharvest.settings import settings


class QCApprovalSensor(BaseSensorOperator, SkipMixin):
    """Wait for a person's decision about a project, however it is given.

    Ways to decide: the review page; Airflow's Required Actions; editing the project's item in
    DynamoDB; marking this task success or failed in Airflow (the listener in
    `seqharvest.listeners` records that as the decision of who did it); `make approve`, which is
    `python -m seqharvest.registry approve|reject`. Approved: downstream runs. Rejected: this task
    succeeds and what follows it is skipped.

    :param project: project id (templated)
    :param poll_seconds: how often the registry is asked; default SEQHARVEST_APPROVAL_POLL_SECONDS
    """

    template_fields: Sequence[str] = ("project",)
    operator_extra_links = (ReviewLink(),)
    ui_color = "#ffd966"
    ui_fgcolor = "#000000"

    def __init__(self, *, project: str, poll_seconds: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project = project
        self.poll_seconds = poll_seconds

    def execute(self, context: Any) -> Any:
        """Return at once when the decision is there, else say how to decide and wait."""
        from seqharvest.registry import Registry
        from seqharvest.review import notify, policy, required_action
        from seqharvest.review.outcome import look

        registry = Registry()
        item = registry.project(self.project)
        policy.apply(registry, item)
        outcome = look(self.project)
        if outcome is not None:
            return self.execute_complete(context, outcome)
        self._announce(context, item)
        required_action.ask(context, item)
        notify.tell(context, item)
        return self._wait(item.get("verdicts_hash"))

    def execute_complete(
        self, context: Any, event: dict[str, Any] | None = None, seen: str | None = None
    ) -> Any:
        """Go on, or skip what follows, as was decided.

        An answer to the Required Action is about the verdicts that were there when it was asked
        for, whose hash is `seen`.
        """
        from seqharvest.review import required_action

        outcome = event or {}
        if outcome.get("remind"):
            outcome = required_action.answered_meanwhile(context) or outcome
        if "chosen_options" in outcome:
            return self._take_answer(context, outcome, seen)
        if outcome.get("remind"):
            return self._remind(context, seen)
        return self._conclude(context, outcome)

    def _take_answer(self, context: Any, answer: dict[str, Any], seen: str | None) -> Any:
        """Record an answer; whoever was first in another way has decided all the same."""
        from seqharvest.errors import SeqharvestError
        from seqharvest.registry import Registry
        from seqharvest.review import required_action
        from seqharvest.review.outcome import look

        try:
            Registry().decide(self.project, **required_action.decision_of(answer), seen=seen)
        except SeqharvestError as error:
            self.log.warning("the answer to the Required Action changed nothing: %s", error)
        outcome = look(self.project)
        # It may name a sample that is not there, or be about old verdicts: ask anew.
        return self.execute(context) if outcome is None else self._conclude(context, outcome)

    def _remind(self, context: Any, seen: str | None) -> Any:
        from seqharvest.registry import Registry
        from seqharvest.review import notify

        notify.tell(context, Registry().project(self.project), reminder=True)
        return self._wait(seen)

    def _wait(self, seen: str | None) -> Any:
        from seqharvest.review import notify
        from seqharvest.triggers.approval import ApprovalTrigger

        knobs = settings()
        every = 3600 * knobs.review_reminder_hours
        self.defer(
            trigger=ApprovalTrigger(
                self.project,
                self.poll_seconds or knobs.approval_poll_seconds,
                time.time() + every if every and notify.configured() else 0.0,
            ),
            method_name="execute_complete",
            kwargs={"seen": seen},
        )

    def _conclude(self, context: Any, outcome: dict[str, Any]) -> dict[str, Any]:
        from airflow.sdk.exceptions import AirflowFailException

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

    def _announce(self, context: Any, item: Mapping[str, Any]) -> None:
        from seqharvest import layout

        knobs = settings()
        run_id = context["ti"].run_id
        report = str(item.get("verdicts_key") or "").rpartition("/")[0]
        counts = item.get("verdict_counts") or item.get("verdicts") or {}
        page = f"{knobs.review_url}/dags/{context['ti'].dag_id}/runs/{run_id}/tasks/{self.task_id}"
        self.log.info(
            "project %s waits for a person's review %s\n"
            "  report    %s\n"
            "  verdicts  %s\n"
            "  decide    on the review page: %s\n"
            "            answer the Required Action of this task\n"
            "            mark this task success (approve) or failed (reject): %s\n"
            "            python -m seqharvest.registry approve|reject %s --by NAME\n"
            "            or set review_decision to approved or rejected in DynamoDB: table %s,"
            " pk=%s, sk=PROJECT",
            self.project,
            dict(counts) if isinstance(counts, Mapping) else counts,
            layout.uri(knobs.bucket, f"{report}/multiqc_report.html"),
            layout.uri(knobs.bucket, f"{report}/verdicts.json"),
            page_of(self.project),
            page,
            self.project,
            knobs.table,
            self.project,
        )
