"""One round of questions for all triggers of a process: hundreds wait, one asks."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: A triggerer that starts makes its triggers one after the other; the first round waits for them.
GATHER_SECONDS = 1.0


class Rounds:
    """Asks about everything that is waited for in one call per `most` ids, every `seconds`.

    Belongs to one event loop. Whoever comes between two rounds is answered in the next.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[str]], Mapping[str, Any]],
        most: int,
        seconds: float,
    ) -> None:
        self.ask = ask
        self.most = most
        self.seconds = seconds
        self._waiting: dict[str, list[asyncio.Future[Any]]] = {}
        self._rounds: asyncio.Task[None] | None = None
        self._asked = 0

    def __len__(self) -> int:
        """How many keys the last round asked about."""
        return self._asked

    async def answer(self, key: str) -> Any:
        """Return what the next round learns about a key, None when it is not known.

        Raises what asking raised; only those who were asked about in the same call are told.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._rounds is None or self._rounds.done():
            # A context of its own: what it does is not to appear in the log of the trigger that
            # happened to be first.
            self._rounds = asyncio.create_task(self._run(), context=contextvars.Context())
        return await future

    async def _run(self) -> None:
        await asyncio.sleep(min(GATHER_SECONDS, self.seconds))
        while self._waiting:
            await self._round()
            await asyncio.sleep(self.seconds)

    async def _round(self) -> None:
        waiting, self._waiting = self._waiting, {}
        # A trigger that was cancelled is not asked for any more.
        keys = [key for key, them in waiting.items() if not all(one.done() for one in them)]
        self._asked = len(keys)
        for start in range(0, len(keys), self.most):
            chunk = keys[start : start + self.most]
            try:
                found = await asyncio.to_thread(self.ask, chunk)
            except Exception as error:
                for key in chunk:
                    _tell(waiting[key], error=error)
            else:
                for key in chunk:
                    _tell(waiting[key], found.get(key))


def _tell(them: Sequence[asyncio.Future[Any]], answer: Any = None, error: Any = None) -> None:
    for one in them:
        if one.done():
            continue
        if error is None:
            one.set_result(answer)
        else:
            one.set_exception(error)
