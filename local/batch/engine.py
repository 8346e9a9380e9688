"""Moves jobs from state to state: places them, runs their attempts, and settles how they end."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import deque
from collections.abc import Sequence
from typing import Any

from local.batch.capacity import Capacity
from local.batch.config import Config
from local.batch.environments import Environments
from local.batch.jobs import ON_HOST, UNFINISHED, WAITING, Job, Status, now_ms
from local.batch.launch import new_container, new_process, plan
from local.batch.logs import LogShipper
from local.batch.process import KILLED, Attempt, Ending, Outcome, kill_all
from local.batch.protocol import ClientError
from local.batch.retry import should_retry
from local.batch.store import Store

log = logging.getLogger(__name__)

EXITED = "Essential container in task exited"
NOT_STARTED = "Task failed to start"
TIMED_OUT = "Job attempt duration exceeded timeout"
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"
TOO_LARGE = (
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement (vCPU/memory/GPU) is "
    "higher than that can be met by the CE(s) attached to the job queue."
)
STOP_GRACE_SECONDS = 3.0  # for jobs, when the endpoint itself is stopped
KEEP_MS = 7 * 24 * 3600 * 1000  # AWS forgets finished jobs after seven days


class Engine:
    """The state machine; everything here runs in the event loop's thread."""

    def __init__(
        self, store: Store, environments: Environments, shipper: LogShipper, config: Config
    ) -> None:
        self._store = store
        self._environments = environments
        self._shipper = shipper
        self._config = config
        self.capacity = Capacity(config.vcpus, config.memory_mib)
        self._attempts: dict[str, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False

    # From the API

    def admit(self, job_id: str) -> None:
        """Let a submitted job (and its children) go on to PENDING and RUNNABLE."""
        self._admit(job_id)
        self.wake()

    def wake(self) -> None:
        """Look for jobs that can be placed."""
        self._wake.set()

    def cancel(self, job: Job, reason: str) -> None:
        """CancelJob: ends what has not started; what has started goes on."""
        self._end(job, "isCancelled", reason, (*WAITING,))

    def terminate(self, job: Job, reason: str) -> None:
        """TerminateJob: ends the job whatever its state; ended jobs stay as they are."""
        self._end(job, "isTerminated", reason, UNFINISHED)

    def terminate_queue(self, queue: str) -> None:
        """End what is left in a deleted queue."""
        marks = ", ".join("?" * len(UNFINISHED))
        where = f"j.queue = ? AND j.parent IS NULL AND j.status IN ({marks})"
        for job in list(self._store.select(where, (queue, *UNFINISHED))):
            self.terminate(job, "Job queue was deleted")

    def lose_host(self, job_id: str) -> str:
        """Take the host away under a running job, and return the host's name."""
        job = self._store.job(job_id)
        attempt = self._attempts.get(job_id)
        if job is None or attempt is None:
            raise ClientError(f"Job {job_id} is not on a host")
        attempt.stop(Ending.HOST_LOST, at_once=True)
        return str(job.state["process"]["host"])

    # Life of the endpoint

    async def recover(self) -> None:
        """Report jobs that an earlier endpoint left running as lost hosts, and admit the rest."""
        self._store.forget_finished_before(now_ms() - KEEP_MS)
        left = list(self._store.select("j.status IN (?, ?)", ON_HOST))
        for job in left:
            log.warning("job %s (%s) ran when the endpoint ended: its host is lost", *_names(job))
            # By its mark only: the number of its session may be another's by now.
            await kill_all(job.id, None)
            await self._shipper.close(job.state["container"]["logStreamName"])
            self._settle(job, Outcome(Ending.HOST_LOST))
        scratch = self._config.state / "scratch"
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
        self._admit()
        self.wake()

    async def run(self) -> None:
        """Place jobs whenever something has changed."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._place()

    async def stop(self) -> None:
        """End all jobs' processes; their state is kept for the next endpoint to report."""
        self._stopping = True
        for attempt in self._attempts.values():
            attempt.stop(Ending.SHUTDOWN)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_GRACE_SECONDS)
        for attempt in self._attempts.values():
            attempt.stop(Ending.SHUTDOWN, at_once=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Placing

    def _place(self) -> None:
        """Start what fits: queues by priority, and in each queue the oldest job first.

        The first job of a queue that has to wait holds back its own queue only. Otherwise a head
        job that waits for room could hold back the workers of a head job that already runs.
        """
        if self._stopping:
            return
        for queue in self._environments.queues():
            limits = self._environments.limits(queue)
            if not limits:
                continue  # all its compute environments are disabled
            for job in self._store.runnable(queue["jobQueueName"]):
                if not self._try(job, limits):
                    break

    def _try(self, job: Job, limits: list[tuple[str, float | None]]) -> bool:
        """Start the job if it fits; return whether the queue's next job may be tried."""
        for environment, max_vcpus in limits:
            if self.capacity.fits(job, environment, max_vcpus):
                self._start(job, environment)
                return True
        if any(self.capacity.could_ever_fit(job, most) for _, most in limits):
            return False
        if job.state.get("statusReason") != TOO_LARGE:
            log.warning("job %s (%s) asks for more than there is", *_names(job))
            job.state["statusReason"] = TOO_LARGE
            self._store.save(job)
        return True

    def _start(self, job: Job, environment: str) -> None:
        self.capacity.claim(job, environment)
        container = new_container(job, self._config)
        output = self._shipper.open(container["logStreamName"])
        job.state["container"] = container
        job.state["process"] = new_process(job, environment)
        job.state.pop("statusReason", None)
        self._move(job, Status.STARTING)
        attempt = Attempt(plan(job, self._config, environment, output))
        self._attempts[job.id] = attempt
        task = asyncio.ensure_future(self._attempt(job, attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # One attempt

    async def _attempt(self, job: Job, attempt: Attempt) -> None:
        try:
            outcome = await self._run(job, attempt)
            await attempt.clean()
            await self._shipper.close(job.state["container"]["logStreamName"])
        except Exception as error:
            # Only one attempt is at fault, so the others go on.
            log.exception("job %s (%s): its attempt broke", *_names(job))
            await kill_all(job.id, None)
            outcome = Outcome(Ending.NOT_STARTED, error=f"{type(error).__name__}: {error}")
        finally:
            del self._attempts[job.id]
            self.capacity.release(job.id)
        if outcome.ending is not Ending.SHUTDOWN:
            self._settle(self._fresh(job), outcome)
        self.wake()

    async def _run(self, job: Job, attempt: Attempt) -> Outcome:
        process = await attempt.start()
        if isinstance(process, Outcome):
            return process
        fresh = self._fresh(job)
        fresh.state["process"].update(pid=process.pid, startedAt=now_ms())
        fresh.state["startedAt"] = fresh.state["process"]["startedAt"]
        self._move(fresh, Status.RUNNING)
        self._mark_parent_started(fresh)
        outcome = await attempt.run(process)
        fresh = self._fresh(job)
        fresh.state["process"]["stoppedAt"] = now_ms()
        self._store.save(fresh)
        return outcome

    def _fresh(self, job: Job) -> Job:
        """Read a job again: it may have been terminated or tagged while something was awaited."""
        return self._store.job(job.id) or job

    def _settle(self, job: Job, outcome: Outcome) -> None:
        """Write down how an attempt ended, and decide what comes next."""
        status_reason, reason = _reasons(job, outcome)
        process = job.state.pop("process")
        container: dict[str, Any] = dict(job.state["container"])
        if outcome.exit_code is not None and outcome.ending is not Ending.HOST_LOST:
            container["exitCode"] = outcome.exit_code
        if reason:
            container["reason"] = reason
        job.state["container"] = container
        stopped = process.get("stoppedAt") or now_ms()
        job.attempts.append(
            {
                "container": container,
                "startedAt": process["startedAt"],
                "stoppedAt": stopped,
                "statusReason": status_reason,
            }
        )
        if self._is_retried(job, outcome, status_reason, reason):
            job.state["statusReason"] = status_reason
            self._move(job, Status.RUNNABLE)
            return
        succeeded = outcome.ending is Ending.EXITED and outcome.exit_code == 0
        self._finish(job, Status.SUCCEEDED if succeeded else Status.FAILED, status_reason, stopped)

    def _is_retried(
        self, job: Job, outcome: Outcome, status_reason: str, reason: str | None
    ) -> bool:
        if outcome.ending is Ending.EXITED and outcome.exit_code == 0:
            return False
        # AWS retries neither what a person ended nor what ran out of time.
        if job.state.get("isTerminated") or outcome.ending is Ending.TIMEOUT:
            return False
        return should_retry(
            job.spec["retryStrategy"],
            len(job.attempts),
            status_reason=status_reason,
            reason=reason,
            exit_code=outcome.exit_code if outcome.ending is not Ending.HOST_LOST else None,
        )

    # Ends

    def _admit(self, job_id: str | None = None) -> None:
        with self._store.transaction():
            for ended in self._store.ended_dependencies():
                for waiting, status, reason in self._release_dependents(ended):
                    self._finish(waiting, status, reason)
            self._store.admit(job_id)

    def _end(self, job: Job, flag: str, reason: str, which: Sequence[Status]) -> None:
        """Cancel or terminate a job: for an array, its children that are in a given state."""
        members = [job]
        with self._store.transaction():
            if job.is_array and job.status in UNFINISHED:
                self._flag(job, flag, reason)
                members = list(self._store.children(job.id, which))
            for old in members:
                # The end of one child may have ended the next, which waited for it.
                member = self._fresh(old)
                if member.status not in which:
                    continue
                self._flag(member, flag, reason)
                if member.status in WAITING:
                    self._finish(member, Status.FAILED, reason)
                elif member.id in self._attempts:
                    self._attempts[member.id].stop(Ending.TERMINATED)
        self.wake()

    def _flag(self, job: Job, flag: str, reason: str) -> None:
        """Keep that it was ended on purpose: an endpoint killed meanwhile must not retry it."""
        job.state[flag] = True
        job.state["endReason"] = reason
        self._store.save(job)

    def _finish(self, job: Job, status: Status, reason: str, stopped: int | None = None) -> None:
        """End a job, then what waits for it, then its array; long chains, so without recursion."""
        ends = deque([(job, status, reason)])
        with self._store.transaction():
            while ends:
                ending, status, reason = ends.popleft()
                ending.state["statusReason"] = reason
                ending.state["stoppedAt"] = stopped or now_ms()
                self._store.drop_waits_of(ending.id)
                self._move(ending, status)
                ends.extend(self._release_dependents(ending))
                parent = self._ended_array(ending.parent) if ending.parent else None
                if parent:
                    ends.append(parent)

    def _release_dependents(self, job: Job) -> list[tuple[Job, Status, str]]:
        """Free what waited for an ended job, and return what ends with it."""
        ends = []
        for waiting_id in self._store.stop_waiting_for(job.id):
            waiting = self._store.job(waiting_id)
            if waiting is None or waiting.status not in WAITING:
                continue
            if job.status == Status.FAILED:
                self._store.drop_waits_of(waiting_id)  # so that it ends once only
                ends.append((waiting, Status.FAILED, "Dependent Job failed"))
            elif waiting.status == Status.PENDING and not self._store.is_waiting(waiting_id):
                self._move(waiting, Status.RUNNABLE)
        return ends

    def _ended_array(self, parent_id: str) -> tuple[Job, Status, str] | None:
        parent = self._store.job(parent_id)
        if parent is None or self._store.has_unfinished_children(parent_id):
            return None
        if Status.FAILED not in self._store.count_by_status(parent_id):
            return parent, Status.SUCCEEDED, ""
        return parent, Status.FAILED, parent.state.get("endReason", "Array Child Job failed")

    def _mark_parent_started(self, job: Job) -> None:
        parent = self._store.job(job.parent) if job.parent else None
        if parent and "startedAt" not in parent.state:
            parent.state["startedAt"] = job.state["startedAt"]
            self._store.save(parent)

    def _move(self, job: Job, status: Status) -> None:
        log.info("job %s (%s): %s → %s", job.id, job.name, job.status, status)
        job.status = status
        self._store.save(job)


def _reasons(job: Job, outcome: Outcome) -> tuple[str, str | None]:
    """Return the attempt's statusReason and its container's reason, in AWS's words."""
    if outcome.ending is Ending.EXITED and outcome.exit_code == 0:
        return EXITED, None
    if outcome.ending is Ending.HOST_LOST:
        return f"Host EC2 (instance {job.state['process']['host']}) terminated.", None
    if job.state.get("isTerminated"):
        return job.state.get("endReason", ""), None
    if outcome.ending is Ending.TIMEOUT:
        return TIMED_OUT, None
    if outcome.ending is Ending.NOT_STARTED:
        return NOT_STARTED, f"CannotStartContainerError: {outcome.error}"
    # Nothing here sent that KILL, so the kernel did, for the machine's memory.
    killed = outcome.ending is Ending.EXITED and outcome.exit_code == KILLED
    if killed or outcome.ending is Ending.MEMORY:
        return EXITED, OUT_OF_MEMORY
    return EXITED, None


def _names(job: Job) -> tuple[str, str]:
    return job.id, job.name
