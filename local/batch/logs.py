"""Ships what jobs print to CloudWatch Logs, about once a second, from spool files on disk."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from local.batch.store import Store

log = logging.getLogger(__name__)

GROUP = "/aws/batch/job"
INTERVAL_SECONDS = 1.0
MAX_PAUSE_SECONDS = 15.0  # between tries while Logs is down
CHUNK_BYTES = 256 * 1024  # far below PutLogEvents' 1 MiB, also with 26 bytes more per event
MAX_EVENTS = 10_000  # of one PutLogEvents
PATIENCE_SECONDS = 2.0  # how long a job's end waits for its last lines, if Logs is up


@dataclass
class Spool:
    """One stream's file and how much of it has been sent."""

    stream: str
    path: Path
    offset: int = 0
    ended: bool = False
    created: bool = False  # the stream exists at Logs, as far as this process knows


class LogShipper:
    """Sends each attempt's output to its own stream; while Logs is down it waits on disk."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._client = _client()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="logs")
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._failing = False
        self._spools = {
            stream: Spool(stream, Path(path), offset, ended)
            for stream, path, offset, ended in store.spool()
        }

    @property
    def pending(self) -> int:
        """How many streams are open or not sent to their end."""
        return len(self._spools)

    def open(self, stream: str) -> Path:
        """Return the file to write a new stream's output to."""
        path = self._folder / f"{stream.rsplit('/', 1)[-1]}.log"
        path.touch()
        self._spools[stream] = Spool(stream, path)
        self._store.save_spool(stream, str(path), 0, False)
        self._wake.set()
        return path

    async def close(self, stream: str) -> None:
        """Send the rest of a stream now if Logs is up; otherwise it is sent later."""
        spool = self._spools.get(stream)
        if spool is None:
            return
        spool.ended = True
        self._store.save_spool(stream, str(spool.path), spool.offset, True)
        if self._client is None or self._failing:
            return
        sending = asyncio.ensure_future(self._ship(spool))
        await asyncio.wait({sending}, timeout=PATIENCE_SECONDS)

    async def run(self) -> None:
        """Send for ever."""
        if self._client is None:
            log.warning("no AWS_ENDPOINT_URL: job output stays in %s", self._folder)
            return
        pause = INTERVAL_SECONDS
        while True:
            await self._wake.wait()
            for spool in list(self._spools.values()):
                await self._ship(spool)
                if self._failing:
                    break
            pause = min(pause * 2, MAX_PAUSE_SECONDS) if self._failing else INTERVAL_SECONDS
            if not self._spools:
                self._wake.clear()
            await asyncio.sleep(pause)

    def stop(self) -> None:
        """Let go of the sending thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Start sending what an earlier endpoint left, if anything."""
        if self._spools:
            self._wake.set()

    async def _ship(self, spool: Spool) -> None:
        """Send all whole lines of one stream, and forget it after its end."""
        async with self._lock:
            if spool.stream not in self._spools:
                return
            # Asked before reading: a job may print and end while its earlier lines are sent.
            ended = spool.ended
            try:
                while await self._ship_chunk(spool):
                    pass
            except (BotoCoreError, ClientError) as error:
                spool.created = False
                if not self._failing:
                    log.warning("CloudWatch Logs does not take job output (kept): %s", error)
                self._failing = True
                return
            if self._failing:
                log.info("CloudWatch Logs takes job output again")
            self._failing = False
            if ended:
                del self._spools[spool.stream]
                self._store.drop_spool(spool.stream)
                spool.path.unlink(missing_ok=True)

    async def _ship_chunk(self, spool: Spool) -> bool:
        """Send one chunk; return whether there may be another."""
        if spool.created and not _has_more(spool):
            return False
        data = _read(spool)
        events = _events(data)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._send, spool, events)
        spool.offset += len(data)
        if data:
            self._store.save_spool(spool.stream, str(spool.path), spool.offset, spool.ended)
        return bool(data)

    def _send(self, spool: Spool, events: list[dict[str, Any]]) -> None:
        logs = self._client
        if not spool.created:
            _create(logs.create_log_group, logGroupName=GROUP)
            _create(logs.create_log_stream, logGroupName=GROUP, logStreamName=spool.stream)
            spool.created = True
        for start in range(0, len(events), MAX_EVENTS):
            some = events[start : start + MAX_EVENTS]
            logs.put_log_events(logGroupName=GROUP, logStreamName=spool.stream, logEvents=some)


def _client() -> Any:
    """Return a Logs client, or None without a local endpoint: output must not go to real AWS."""
    if not (os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL_LOGS")):
        return None
    settings = ClientConfig(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1})
    return boto3.client("logs", config=settings)


def _create(call: Any, **names: str) -> None:
    try:
        call(**names)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
            raise


def _has_more(spool: Spool) -> bool:
    return spool.path.exists() and spool.path.stat().st_size > spool.offset


def _read(spool: Spool) -> bytes:
    """Read the next whole lines; a line without an end waits for it, until it fills a chunk."""
    if not spool.path.exists():
        return b""
    with spool.path.open("rb") as file:
        file.seek(spool.offset)
        data = file.read(CHUNK_BYTES)
    end = data.rfind(b"\n") + 1
    return data if spool.ended or (end == 0 and len(data) == CHUNK_BYTES) else data[:end]


def _events(data: bytes) -> list[dict[str, Any]]:
    # Logs refuses empty messages, and Docker's driver drops empty lines too.
    now = time.time_ns() // 1_000_000
    lines = (line.rstrip(b"\r") for line in data.split(b"\n"))
    return [{"timestamp": now, "message": x.decode(errors="replace")} for x in lines if x]
