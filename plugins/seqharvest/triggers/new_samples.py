"""Wait in the triggerer until some project has samples to work on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from seqharvest.triggers.polling import answers, not_too_early


class NewSamplesTrigger(BaseTrigger):
    """Fire once with `{"projects": [...]}`: what has work now, or nothing at `deadline`.

    Level-triggered: the registry's state index is the truth, so no event can be missed.
    """

    def __init__(self, poll_seconds: float, deadline: float) -> None:
        super().__init__()
        self.poll_seconds = poll_seconds
        self.deadline = deadline  # seconds since the epoch

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to make this trigger again."""
        return (
            "seqharvest.triggers.new_samples.NewSamplesTrigger",
            {"poll_seconds": self.poll_seconds, "deadline": self.deadline},
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Poll the state index until a project has work."""
        started = time.monotonic()
        async for projects in answers(self._look, "the registry", self.poll_seconds, self.log):
            if projects or time.time() > self.deadline:
                await not_too_early(started)
                yield TriggerEvent({"projects": projects})
                return

    def _look(self) -> list[dict[str, Any]]:
        from seqharvest.registry import Registry

        return Registry().projects_with_work()
