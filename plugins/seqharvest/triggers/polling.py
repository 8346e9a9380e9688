"""How every trigger of ours asks AWS again and again: patiently, never in the event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

#: A task that resumes within the worker's heartbeat of deferring may be failed by the scheduler
#: (apache/airflow #72716), so no event before this many seconds.
FIRST_EVENT_AFTER = 2.0

#: While a service is away, say so once a minute and not at every poll.
REPORT_EVERY_SECONDS = 60.0


def answers(
    ask: Callable[[], Any], what: str, seconds: float, log: logging.Logger
) -> AsyncIterator[Any]:
    """Yield what `ask`, called in a thread, returns; every `seconds`, with the patience below."""
    return patient_answers(lambda: asyncio.to_thread(ask), what, seconds, log)


async def patient_answers(
    ask: Callable[[], Awaitable[Any]], what: str, seconds: float, log: logging.Logger
) -> AsyncIterator[Any]:
    """Yield what `ask` returns, every `seconds`; an error is logged and asked again, for ever.

    The task that waits is worth more than the minute a service is down: errors never end this.
    """
    failing_since = reported = 0.0
    while True:
        try:
            answer = await ask()
        except Exception as error:
            now = time.monotonic()
            failing_since = failing_since or now
            if not reported or now - reported >= REPORT_EVERY_SECONDS:
                reported = now
                log.warning("cannot look at %s, will look again: %s", what, error)
        else:
            if failing_since:
                log.info("%s answers again after %.0f s", what, time.monotonic() - failing_since)
            failing_since = reported = 0.0
            yield answer
        await asyncio.sleep(seconds)


async def not_too_early(started: float) -> None:
    """Sleep until an event may be sent by a trigger that started at `time.monotonic()`."""
    await asyncio.sleep(max(0.0, started + FIRST_EVENT_AFTER - time.monotonic()))
