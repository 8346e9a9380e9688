"""What both stubs have in common: they answer late, count what was asked, and fail when told to.

`GET /_count` gives the counts by operation, `POST /_reset` sets them to zero, `POST /_latency`
and `POST /_faults` take JSON (seconds; a list of `Fault`s that replaces the one before).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Fault:
    """Something to go wrong: `times` requests of an operation, after `after` good ones.

    `contains` limits it to requests whose address has this text in it.
    """

    operation: str
    kind: str  # throttle, error, denied, truncate (half the body), drop (no answer at all)
    after: int = 0
    times: int = 1
    contains: str = ""

    def strikes(self, operation: str, address: str) -> bool:
        """Tell whether this request is to fail, and remember that it was seen."""
        if operation != self.operation or self.contains not in address or self.times == 0:
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


class StubServer:
    """Latency, counts and faults around the handlers of a stub; subclasses name operations."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.counts: Counter[str] = Counter()
        self.times: dict[str, list[float]] = {}  # of the operations in `timed`
        self.timed: tuple[str, ...] = ()
        self.faults: list[Fault] = []

    def application(self) -> web.Application:
        """Return the application with the control routes and, behind them, the service."""
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/_count", self._count)
        app.router.add_get("/_times", self._times)
        app.router.add_post("/_reset", self._reset)
        app.router.add_post("/_latency", self._latency)
        app.router.add_post("/_faults", self._faults)
        self.add_routes(app)
        app.router.add_route("*", "/{rest:.*}", self._serve)
        return app

    def add_routes(self, app: web.Application) -> None:
        """Add a stub's own control routes."""

    def operation(self, request: web.Request) -> tuple[str, Handler]:
        """Return the name of what is asked, as AWS calls it, and who answers it."""
        raise NotImplementedError

    def failure(self, kind: str) -> web.Response:
        """Return the service's own words for a throttled, failed or denied request."""
        raise NotImplementedError

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        came = time.monotonic()
        name, handler = self.operation(request)
        self.counts[name] += 1
        if name in self.timed:
            self.times.setdefault(name, []).append(time.time())
        fault = next((f for f in self.faults if f.strikes(name, request.raw_path)), None)
        if fault and fault.kind in {"throttle", "error", "denied"}:
            response: web.StreamResponse = self.failure(fault.kind)
        else:
            try:
                response = await handler(request)
            except ConnectionResetError:  # a caller that was killed while it asked
                return web.Response()
        # What the handler took is part of the latency, so that a busy stub is no slower peer.
        await asyncio.sleep(max(0.0, self.latency - (time.monotonic() - came)))
        if fault and fault.kind in {"truncate", "drop"}:
            return await _break(request, response, fault.kind)
        return response

    async def _count(self, _request: web.Request) -> web.Response:
        return web.json_response(dict(self.counts))

    async def _times(self, _request: web.Request) -> web.Response:
        return web.json_response(self.times)

    async def _reset(self, _request: web.Request) -> web.Response:
        self.counts.clear()
        self.times.clear()
        return web.json_response({})

    async def _latency(self, request: web.Request) -> web.Response:
        self.latency = float(await request.json())
        return web.json_response({})

    async def _faults(self, request: web.Request) -> web.Response:
        self.faults = [Fault(**fault) for fault in await request.json()]
        return web.json_response({})


async def _break(
    request: web.Request, response: web.StreamResponse, kind: str
) -> web.StreamResponse:
    """Send half of an answer, or nothing, and hang up."""
    if kind == "truncate" and isinstance(response, web.Response):
        body = response.body if isinstance(response.body, bytes) else b""
        half = web.StreamResponse(status=response.status, headers=response.headers)
        half.content_length = len(body)
        await half.prepare(request)
        await half.write(body[: len(body) // 2])
    if request.transport:
        request.transport.abort()
    return response


def serve(server: StubServer, port: int) -> None:
    """Serve on loopback until SIGTERM or until the process that started this one is gone."""
    asyncio.run(_serve_until_ended(server, port))


async def _serve_until_ended(server: StubServer, port: int) -> None:
    runner = web.AppRunner(server.application(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    parent = os.getppid()
    while not ended.is_set() and os.getppid() == parent:
        try:
            await asyncio.wait_for(ended.wait(), 1)
        except TimeoutError:
            continue
    await runner.cleanup()


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of every stub."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency", type=float, default=0.02, help="seconds per request")
    return parser
