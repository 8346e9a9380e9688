"""A network between the archive and whoever asks: each answer late, each connection narrow."""

from __future__ import annotations

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Throttle:
    """Middleware: `latency` seconds before an answer, `rate` bytes/s for each (0: as it comes)."""

    def __init__(self, app: ASGIApp, rate: float, latency: float) -> None:
        self.app, self.rate, self.latency = app, rate, latency

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request as slowly as the network would."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await asyncio.sleep(self.latency)
        began, sent = time.monotonic(), 0

        async def slowly(message: Message) -> None:
            nonlocal sent
            sent += len(message.get("body", b""))
            ahead = sent / self.rate - (time.monotonic() - began) if self.rate else 0.0
            if ahead > 0.005:  # the clock is not finer
                await asyncio.sleep(ahead)
            await send(message)

        await self.app(scope, receive, slowly)
