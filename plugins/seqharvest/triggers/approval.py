"""Wait in the triggerer until a person has decided about a project."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from seqharvest.triggers.polling import answers, not_too_early


class ApprovalTrigger(BaseTrigger):
    """Fire once with the decision of the registry: `{"decision", "by", "way", ...}`.

    A decision written into the project's DynamoDB item by hand is adopted here. There is
    nothing to end in `on_kill`: marking the task is itself a way to decide.
    """

    def __init__(self, project: str, poll_seconds: float) -> None:
        super().__init__()
        self.project = project
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger again."""
        return (
            "seqharvest.triggers.approval.ApprovalTrigger",
            {"project": self.project, "poll_seconds": self.poll_seconds},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the registry until it holds a decision, or the project has left the gate."""
        started = time.monotonic()
        what = f"the decision about {self.project}"
        async for outcome in answers(self._look, what, self.poll_seconds, self.log):
            if outcome is not None:
                await not_too_early(started)
                yield TriggerEvent(outcome)
                return

    def _look(self) -> dict[str, Any] | None:
        from seqharvest.sensors.approval import look

        return look(self.project)
