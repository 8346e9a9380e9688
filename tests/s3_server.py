"""The bench's S3 in this process, so that tests see its objects, counts and faults directly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from aiohttp import web

from bench.project import Made
from bench.s3_store import Bucket
from bench.s3_stub import S3Stub
from bench.stub_server import Fault


@dataclass
class S3Server:
    """A running S3 with one bucket, `bucket`."""

    stub: S3Stub
    url: str

    def fill(self, objects: Iterable[Made | str]) -> None:
        """Have these objects and no others; of a key alone, a byte of 2026."""
        bucket = self.stub.buckets["bucket"] = Bucket()
        bucket.preload(
            Made(one, 1, 1_767_225_600) if isinstance(one, str) else one for one in objects
        )
        self.stub.counts.clear()
        self.stub.faults.clear()

    def fail(self, kind: str, after: int = 0, times: int = 1, contains: str = "") -> None:
        """Let LIST requests fail, after so many good ones; -1 times is for ever."""
        self.stub.faults.append(Fault("ListObjectsV2", kind, after, times, contains))

    @property
    def lists(self) -> int:
        """How many LIST requests came."""
        return self.stub.counts["ListObjectsV2"]

    def client(self, page: int = 1000) -> Any:
        """Return a client that asks for so many keys a page."""
        s3 = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        s3.meta.events.register(
            "provide-client-params.s3.ListObjectsV2",
            lambda params, **_: {**params, "MaxKeys": page},
        )
        return s3


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Serve on a free port for as long as the block lasts."""
    stub = S3Stub(latency=0)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(stub.application(), access_log=None)
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", 0).start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield S3Server(stub, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        loop.close()
