"""Wait in the triggerer until a person has decided about a project."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from weakref import WeakKeyDictionary

from airflow.triggers.base import BaseTrigger, TriggerEvent

from seqharvest.triggers.polling import not_too_early, patient_answers
from seqharvest.triggers.rounds import Rounds

_rounds: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, Rounds]] = WeakKeyDictionary()


def shared_rounds(seconds: float) -> Rounds:
    """Return the rounds that all approvals of this event loop with this interval share."""
    from seqharvest.review.outcome import AT_ONCE, look_at_all

    of_loop = _rounds.setdefault(asyncio.get_running_loop(), {})
    if seconds not in of_loop:
        of_loop[seconds] = Rounds(look_at_all, AT_ONCE, seconds)
    return of_loop[seconds]


class ApprovalTrigger(BaseTrigger):
    """Fire once with the decision of the registry: `{"decision", "by", "way", ...}`.

    Or with `{"remind": True}` when it is still not there at `remind_at` (seconds since the epoch,
    0 for never). A decision written into the project's DynamoDB item by hand is adopted here.
    There is nothing to end in `on_kill`: marking the task is itself a way to decide.
    """

    def __init__(self, project: str, poll_seconds: float, remind_at: float = 0.0) -> None:
        super().__init__()
        self.project = project
        self.poll_seconds = poll_seconds
        self.remind_at = remind_at

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger again."""
        return (
            "seqharvest.triggers.approval.ApprovalTrigger",
            {
                "project": self.project,
                "poll_seconds": self.poll_seconds,
                "remind_at": self.remind_at,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the registry until it holds a decision, or the project has left the gate."""
        started = time.monotonic()
        rounds = shared_rounds(self.poll_seconds)
        what = f"the decision about {self.project}"
        # The rounds have the pace: hundreds of projects wait, one question is asked.
        async for outcome in patient_answers(
            lambda: rounds.answer(self.project), what, 0.0, self.log
        ):
            if outcome is None and self.remind_at and time.time() >= self.remind_at:
                outcome = {"remind": True}
            if outcome is not None:
                await not_too_early(started)
                yield TriggerEvent(outcome)
                return
