"""Runs one attempt of a job as a process of its own session, and ends all of it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from local.batch.config import MIB

log = logging.getLogger(__name__)

PROC = Path("/proc")
MEMORY_CHECK_SECONDS = 2.0
KILLED = 128 + signal.SIGKILL
CLEANUP_SECONDS = 10.0  # how long processes may take to vanish after KILL (NFS, core dumps)


class Ending(Enum):
    """Why an attempt ended."""

    EXITED = auto()
    NOT_STARTED = auto()
    TIMEOUT = auto()
    TERMINATED = auto()
    MEMORY = auto()
    HOST_LOST = auto()
    SHUTDOWN = auto()  # the endpoint itself stops; the next one reports a lost host


@dataclass(frozen=True)
class Plan:
    """What to run, and within which bounds; seconds and bytes."""

    job_id: str
    command: Sequence[str]
    environment: Mapping[str, str]
    scratch: Path
    output: Path
    timeout: float | None
    grace: float
    memory_limit: int | None


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended; a process that a signal ended has 128 + signal as its code."""

    ending: Ending
    exit_code: int | None = None
    error: str = ""


class Attempt:
    """One attempt; `run` it once, `stop` it from anywhere."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._ending = Ending.TERMINATED

    def stop(self, ending: Ending, *, at_once: bool = False) -> None:
        """End the attempt: TERM, then KILL after the grace time, or KILL at once."""
        if not self._stop.is_set():
            self._ending = ending
            self._stop.set()
        if at_once:
            self._kill.set()

    async def start(self) -> asyncio.subprocess.Process | Outcome:
        """Start the process in a fresh scratch folder, or say why it did not start."""
        plan = self.plan
        if not plan.command:
            return Outcome(Ending.NOT_STARTED, error="No command specified")
        await asyncio.to_thread(shutil.rmtree, plan.scratch, ignore_errors=True)
        plan.scratch.mkdir(parents=True)
        with plan.output.open("ab") as output:
            try:
                return await asyncio.create_subprocess_exec(
                    _found(plan.command[0], plan),
                    *plan.command[1:],
                    cwd=plan.scratch,
                    env=dict(plan.environment),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                return Outcome(Ending.NOT_STARTED, error=f'exec: "{plan.command[0]}": {error}')

    async def run(self, process: asyncio.subprocess.Process) -> Outcome:
        """Wait for the end of the process; afterwards nothing that it started is left."""
        exited = asyncio.ensure_future(process.wait())
        stopped = asyncio.ensure_future(self._stop.wait())
        watch = asyncio.ensure_future(self._watch_memory(process.pid))
        try:
            await _first(exited, stopped, timeout=self.plan.timeout)
            ending = Ending.EXITED
            if not exited.done():
                ending = self._ending if self._stop.is_set() else Ending.TIMEOUT
                await self._end(process.pid, exited)
            code = await exited
        finally:
            stopped.cancel()
            watch.cancel()
        # As in a container: when the first process is gone, so are all the others.
        await kill_all(self.plan.job_id, process.pid)
        return Outcome(ending, code if code >= 0 else 128 - code)

    async def clean(self) -> None:
        """Remove the scratch folder."""
        await asyncio.to_thread(shutil.rmtree, self.plan.scratch, ignore_errors=True)

    async def _end(self, pid: int, exited: asyncio.Future[int]) -> None:
        if not self._kill.is_set():
            await asyncio.to_thread(signal_all, self.plan.job_id, pid, signal.SIGTERM)
            kill = asyncio.ensure_future(self._kill.wait())
            await _first(exited, kill, timeout=self.plan.grace)
            kill.cancel()
        await kill_all(self.plan.job_id, pid)

    async def _watch_memory(self, pid: int) -> None:
        limit = self.plan.memory_limit
        while limit is not None:
            await asyncio.sleep(MEMORY_CHECK_SECONDS)
            used = await asyncio.to_thread(resident_bytes, self.plan.job_id, pid)
            if used > limit:
                log.warning(
                    "job %s uses %d MiB, more than it asked for", self.plan.job_id, used // MIB
                )
                self.stop(Ending.MEMORY, at_once=True)
                return


async def _first(*futures: asyncio.Future[Any], timeout: float | None) -> None:
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)


async def kill_all(job_id: str, session: int | None) -> None:
    """Kill every process of a job, until none is left."""
    deadline = asyncio.get_running_loop().time() + CLEANUP_SECONDS
    while await asyncio.to_thread(signal_all, job_id, session, signal.SIGKILL):
        if asyncio.get_running_loop().time() > deadline:
            log.error("job %s: processes survive SIGKILL", job_id)
            return
        await asyncio.sleep(0.02)


def signal_all(job_id: str, session: int | None, number: signal.Signals) -> int:
    """Send a signal to every process of a job, and return how many there are."""
    found = members(job_id, session)
    for pid in found:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it ended by itself in the meantime
    return len(found)


def members(job_id: str, session: int | None = None) -> list[int]:
    """Return the living processes of a job: of its session, or with its id in their environment.

    The environment finds what made itself a session of its own (daemons, nested `setsid`), and
    what an endpoint that was killed left behind.
    """
    mark = f"AWS_BATCH_JOB_ID={job_id}".encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = _stat(entry)
            if fields[0] in (b"Z", b"X"):
                continue
            if int(fields[3]) == session or mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # gone in the meantime, or another user's
    return found


def resident_bytes(job_id: str, session: int) -> int:
    """Return the resident memory of a job's processes; pages they share count once for each."""
    total = 0
    for pid in members(job_id, session):
        try:
            total += int((PROC / str(pid) / "statm").read_bytes().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # gone in the meantime
    return total * os.sysconf("SC_PAGE_SIZE")


def _stat(entry: Path) -> list[bytes]:
    """Return the fields of /proc/<pid>/stat from the state on; the name before it may be any."""
    return (entry / "stat").read_bytes().rpartition(b")")[2].split()


def _found(program: str, plan: Plan) -> str:
    """Look a program up on the job's own PATH, not on the endpoint's."""
    path = plan.environment.get("PATH", os.defpath)
    found = shutil.which(program, path=path)
    if found is None:
        raise FileNotFoundError("executable file not found in $PATH")
    return found
