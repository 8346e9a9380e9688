"""What a job asks Batch for: vCPU, memory, GPUs, time-out, and the queue that has its scratch.

Batch fills a host by vCPU and memory; it knows nothing of disk. So scratch is tied to memory: a job
of m MiB may use m × (a host's scratch / its memory), on the leanest host it might land on. Whatever
jobs a host then gets, their memory is at most the host's, and so is their scratch.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_seqharvest_batch.failures import Kind
from snakemake_executor_plugin_seqharvest_batch.hosts import Host, Queue

MIN_TIMEOUT = 60  # seconds, Batch's own lower bound for attemptDurationSeconds
#: Above 1 GiB memory goes up to the next sixteenth of a power of two, so that jobs whose needs
#: differ a little have one shape and can share an array: at most 12.5 % are wasted, 6 % on average.
#: Of powers less 5 %, as hosts of 16 GiB and more leave at least that: two halves still fit one.
STEPS, LESS = 16, 0.95
EXACT = 1024  # MiB up to which memory is a figure somebody wrote, not one computed from sizes
#: Resources of which a rule may well ask for nothing.
NONE_AT_ALL = frozenset({"disk_mb", "gpu", "nvidia_gpu"})
#: Memory is raised up to so many times for the sake of scratch; a large-disk queue is cheaper then.
MAX_RAISE = 4


@dataclass(frozen=True)
class Resources:
    """A job's share of a host; memory and disk in MiB, `timeout` in seconds (0: none).

    `queue` is the queue the job must go to; empty: the run's own.
    """

    vcpus: int
    memory: int
    timeout: int = 0
    gpus: int = 0
    disk: int = 0
    queue: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run's jobs are placed on: the worker queue, and one for what needs a large disk."""

    queue: Queue
    large: Queue | None = None
    say: Callable[[str], None] = print
    _said: set[str] = field(default_factory=set, compare=False)

    def once(self, message: str) -> None:
        """Say something that is true of many jobs one time."""
        if message not in self._said:
            self._said.add(message)
            self.say(message)


#: An earlier attempt of a job: what it had, and how it failed.
Attempt = tuple[Resources, Kind]


def of_job(
    job: Any, default_mem_mb: int, plan: Plan | None = None, history: Sequence[Attempt] = ()
) -> Resources:
    """Return what a job or group job gets on its next attempt.

    Reads threads, `mem_mb`, `disk_mb`, `runtime` and `gpu` (or `nvidia_gpu`), all of them lower
    bounds: memory and time that `history` shows to be too little are doubled unless the rule asks
    for more by itself, a disk that was full is followed by twice its share, then by the large-disk
    queue. Raises `WorkflowError` naming the rules when a resource is not a positive number or no
    host has it.
    """
    minutes = _number(job, "runtime", 0)
    asked = Resources(
        vcpus=max(1, int(job.threads)),
        memory=math.ceil(_number(job, "mem_mb", default_mem_mb)),
        timeout=max(MIN_TIMEOUT, math.ceil(minutes * 60)) if minutes else 0,
        gpus=math.ceil(_number(job, "gpu", 0) or _number(job, "nvidia_gpu", 0)),
        disk=math.ceil(_number(job, "disk_mb", 0)),
    )
    if plan is None:
        return replace(asked, memory=_step_up(asked.memory))
    return _place(_learned(asked, plan, history), _rules(job), plan, history)


def check_all(jobs: Iterable[Any], default_mem_mb: int, plan: Plan) -> None:
    """Raise one `WorkflowError` that names every rule among the jobs that no host can run.

    One job of each rule or group is looked at: to evaluate the resources of all takes Snakemake a
    millisecond a job. One that is too big by the size of its own input is refused by `of_job`.
    """
    first: dict[str, Any] = {}
    for job in jobs:
        first.setdefault(_rules(job), job)
    refused = []
    for job in first.values():
        try:
            of_job(job, default_mem_mb, plan)
        except WorkflowError as error:
            refused.append(str(error))
        finally:
            # Forget what was evaluated: an input that this run makes was of no size yet, and a
            # group keeps its resources for good (snakemake/jobs.py, GroupJob.resources).
            job.attempt = job.attempt
    if refused:
        raise WorkflowError("\n".join(refused))


def scratch_share(queue: Queue, wanted: Resources) -> int | None:
    """Return the MiB of scratch that are a job's whatever host it lands on; None: not known."""
    hosts = queue.fitting(wanted.vcpus, wanted.memory, wanted.gpus)
    if not hosts or not queue.plans_disk:
        return None
    return int(wanted.memory * _leanest(queue, hosts))


def _learned(asked: Resources, plan: Plan, history: Sequence[Attempt]) -> Resources:
    """Return what was asked for, raised to what earlier attempts showed to be needed."""
    for had, kind in history:
        if kind is Kind.OUT_OF_MEMORY:
            # A job that failed on half of the largest host gets all of it before it is given up.
            most = max((host.free_memory for host in _hosts(plan, had)), default=0)
            memory = min(2 * had.memory, most) if most > had.memory else 2 * had.memory
            asked = replace(asked, memory=max(asked.memory, memory))
        elif kind is Kind.TIMEOUT and had.timeout:
            asked = replace(asked, timeout=max(asked.timeout, 2 * had.timeout))
        elif kind is Kind.DISK_FULL:
            share = scratch_share(_queue(plan, had), had) or 0
            asked = replace(asked, disk=max(asked.disk, 2 * max(had.disk, share)))
    return asked


def _place(asked: Resources, rules: str, plan: Plan, history: Sequence[Attempt]) -> Resources:
    queue, large = plan.queue, plan.large
    placed = _on(queue, asked, rules, plan)
    if large and _too_lean(queue, asked, placed, history):
        told = f"rule {rules}: {_gib(asked.disk)} of scratch: to the large-disk queue {large.name}"
        plan.once(told)
        placed = _on(large, asked, rules, plan)
        placed = placed and replace(placed, queue=large.name)
    if placed is None:
        raise WorkflowError(_no_disk(asked, rules, plan))
    if placed.memory > _step_up(asked.memory, _fitting_free(queue, asked)):
        share = scratch_share(_queue(plan, placed), placed) or 0
        plan.once(
            f"rule {rules}: memory raised from {asked.memory} to {placed.memory} MiB, whose share "
            f"of a host's disk is {_gib(share)} of scratch"
        )
    return placed


def _too_lean(
    queue: Queue, asked: Resources, placed: Resources | None, history: Sequence[Attempt]
) -> bool:
    """Tell whether a job is better off on the large-disk queue."""
    filled = sum(kind is Kind.DISK_FULL for _, kind in history)
    if filled > 1 or (filled and not queue.plans_disk):
        return True
    return placed is None or placed.memory > MAX_RAISE * max(asked.memory, EXACT)


def _on(queue: Queue, asked: Resources, rules: str, plan: Plan) -> Resources | None:
    """Return what a job gets on a queue, its memory raised for its scratch; None: no host has that.

    Raises `WorkflowError` when no host has the vCPUs, memory or GPUs to begin with.
    """
    if not queue.hosts:
        return replace(asked, memory=_step_up(asked.memory))
    sizes = _fitting_free(queue, asked)
    if not sizes:
        raise WorkflowError(_no_host(queue, asked, rules))
    if not asked.disk:
        return replace(asked, memory=_step_up(asked.memory, sizes))
    if not queue.plans_disk:
        if queue is plan.queue:
            plan.once(
                f"Queue {queue.name}: the scratch of its hosts is not known, disk_mb is not "
                "planned. --seqharvest-batch-scratch-gib can tell it."
            )
        return replace(asked, memory=_step_up(asked.memory, sizes))
    memory = _memory_for_disk(queue, asked)
    if memory is None:
        return None
    sizes = _fitting_free(queue, replace(asked, memory=memory))
    return replace(asked, memory=_step_up(memory, sizes)) if sizes else None


def _memory_for_disk(queue: Queue, asked: Resources) -> int | None:
    """Return the least memory whose share of scratch is enough; more memory rules out lean hosts.

    None when there is none.
    """
    below = asked.memory - 1
    for host in queue.fitting(asked.vcpus, asked.memory, asked.gpus):
        # More than `below`, at most this host's: this one and all larger ones might be chosen.
        share = _leanest(queue, queue.fitting(asked.vcpus, host.memory, asked.gpus))
        memory = max(below + 1, math.ceil(asked.disk / share)) if share else math.inf
        if memory <= host.memory:
            return int(memory)
        below = host.memory
    return None


def _leanest(queue: Queue, hosts: Sequence[Host]) -> float:
    # By all the memory advertised: were it by what is surely free, a host that has a little more
    # could be given a little more than its scratch.
    return min(queue.scratch_of(host) / host.memory for host in hosts)


def _fitting_free(queue: Queue, asked: Resources) -> list[int]:
    """Return the free memory of the hosts that surely have room for a job, ascending."""
    hosts = queue.fitting(asked.vcpus, asked.memory, asked.gpus)
    return sorted(host.free_memory for host in hosts if host.free_memory >= asked.memory)


def _step_up(memory: int, sizes: Sequence[int] = ()) -> int:
    """Round memory up to a step, but not past the room of a host that it fits."""
    if memory <= EXACT:
        return memory
    whole = memory / LESS
    step = (1 << math.ceil(math.log2(whole))) / STEPS
    stepped = max(memory, int(math.ceil(whole / step) * step * LESS))
    return min([stepped, *sizes[:1]])


def _queue(plan: Plan, had: Resources) -> Queue:
    return plan.large if plan.large and had.queue == plan.large.name else plan.queue


def _hosts(plan: Plan, had: Resources) -> Iterator[Host]:
    queue = _queue(plan, had)
    return (host for host in queue.hosts if host.vcpus >= had.vcpus and host.gpus >= had.gpus)


def _no_host(queue: Queue, asked: Resources, rules: str) -> str:
    largest = max(queue.hosts, key=lambda host: (host.free_memory, host.vcpus))
    gpus = f", {asked.gpus} GPUs" if asked.gpus else ""
    most = f", {most_gpus} GPUs" if (most_gpus := max(host.gpus for host in queue.hosts)) else ""
    return (
        f"rule {rules}: no host of queue {queue.name} has {asked.vcpus} vCPUs, {asked.memory} MiB"
        f"{gpus}; the largest, {largest.name}, leaves jobs {largest.vcpus} vCPUs, "
        f"{largest.free_memory} MiB{most}: lower the rule's threads or mem_mb, or give a queue "
        "with larger instance types"
    )


def _no_disk(asked: Resources, rules: str, plan: Plan) -> str:
    queues = [queue for queue in (plan.queue, plan.large) if queue and queue.plans_disk]
    most = "; ".join(
        f"a host of {queue.name} has at most {_gib(max(map(queue.scratch_of, queue.hosts)))}"
        for queue in queues
    )
    remedy = "" if plan.large else " or give --seqharvest-batch-large-disk-queue"
    return (
        f"rule {rules}: {_gib(asked.disk)} of scratch for one job is more than any host gives it "
        f"({most}): lower disk_mb{remedy}"
    )


def _gib(mib: float) -> str:
    return f"{mib / 1024:.0f} GiB"


def _rules(job: Any) -> str:
    return ", ".join(sorted(job.rules))


def _number(job: Any, name: str, default: float) -> float:
    value = job.resources.get(name)
    # Snakemake's "to be determined" is a string that is false.
    if value is None or (isinstance(value, str) and not value):
        return default
    least = 0 if name in NONE_AT_ALL else math.ulp(0)
    if isinstance(value, int | float) and value >= least:
        return value
    raise WorkflowError(f"rule {_rules(job)}: resource {name}={value!r} is not a positive number")
