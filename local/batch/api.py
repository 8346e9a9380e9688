"""The HTTP side of the endpoint: AWS's operations, a health check and a fault switch."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.batch.config import Config
from local.batch.endpoint import Endpoint, Operation
from local.batch.protocol import ClientError, Protocol, ServiceError, UnsignedError

log = logging.getLogger(__name__)

JSON = "application/json"


def application(config: Config) -> Starlette:
    """Return the ASGI application; jobs run between its start and its end."""
    api = Api(config)
    return Starlette(
        routes=[
            Route("/health", api.health, methods=["GET"]),
            Route("/_local/terminate-host", api.terminate_host, methods=["POST"]),
            Route("/{path:path}", api.aws, methods=["GET", "POST", "PUT", "DELETE"]),
        ],
        lifespan=api.lifespan,
    )


class Api:
    """Answers HTTP requests; the endpoint behind it lives from the server's start to its end."""

    endpoint: Endpoint
    operations: dict[str, Operation]

    def __init__(self, config: Config) -> None:
        self._config = config
        self._protocol = Protocol()

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Take up what an earlier endpoint left; at the end, stop all jobs."""
        self.endpoint = Endpoint.build(self._config)
        self.operations = self.endpoint.operations()
        await self.endpoint.engine.recover()
        self.endpoint.shipper.wake()
        loops = [
            asyncio.ensure_future(_for_ever(self.endpoint.engine.run)),
            asyncio.ensure_future(_for_ever(self.endpoint.shipper.run)),
        ]
        log.info("ready at %s: %s", self._config.url, self.endpoint.health())
        yield
        await self.endpoint.engine.stop()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        self.endpoint.shipper.stop()
        self.endpoint.store.close()

    async def aws(self, request: Request) -> Response:
        """Serve one operation of the AWS API."""
        try:
            content = await self._serve(request)
        except ServiceError as error:
            return _error(error)
        except Exception as error:
            log.exception("%s %s failed", request.method, request.url.path)
            return _error(ServiceError(f"{type(error).__name__}: {error}"))
        return Response(content, media_type=JSON, headers=_request_id())

    async def health(self, request: Request) -> Response:
        """Say that the endpoint works, and what it does."""
        return JSONResponse(self.endpoint.health())

    async def terminate_host(self, request: Request) -> Response:
        """Take the host away under a job, for fault tests."""
        try:
            # A web page cannot send this type without asking first, so no page can do this.
            if request.headers.get("content-type") != JSON:
                raise ClientError(f"content-type must be {JSON}")
            job_id = json.loads(await request.body())["jobId"]
            host = self.endpoint.engine.lose_host(job_id)
        except (ValueError, KeyError, TypeError):
            return _error(ClientError('the body must be {"jobId": "…"}'))
        except ServiceError as error:
            return _error(error)
        return JSONResponse({"jobId": job_id, "instance": host})

    async def _serve(self, request: Request) -> bytes:
        # SubmitJob runs commands; a web page cannot send a signature without asking first.
        if not request.headers.get("authorization", "").startswith("AWS4-"):
            raise UnsignedError("Missing Authentication Token")
        # The raw path, because the ARNs in it hold encoded slashes.
        raw_path = request.scope["raw_path"].decode("ascii").split("?")[0]
        operation, params = self._protocol.parse(
            request.method, raw_path, request.url.query, await request.body()
        )
        if operation not in self.operations:
            raise ClientError(f"The local Batch endpoint does not have {operation}")
        return self._protocol.render(operation, self.operations[operation](params))


async def _for_ever(loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a loop again when one of its rounds fails: that must not be the end of all others."""
    while True:
        try:
            await loop()
            return
        except Exception:
            log.exception("%s failed; trying again", loop)
            await asyncio.sleep(1)


def _error(error: ServiceError) -> Response:
    headers = {**_request_id(), "x-amzn-ErrorType": error.code}
    return JSONResponse({"message": str(error)}, status_code=error.status, headers=headers)


def _request_id() -> dict[str, str]:
    return {"x-amzn-RequestId": str(uuid.uuid4())}
