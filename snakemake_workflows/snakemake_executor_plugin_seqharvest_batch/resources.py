"""What a job asks Batch for: vCPU, memory, GPUs, time-out, and the queue that has its scratch."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_seqharvest_batch.failures import Kind
from snakemake_executor_plugin_seqharvest_batch.hosts import Queue

MIN_TIMEOUT = 60  # seconds, Batch's own lower bound for attemptDurationSeconds


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

    queue: Queue = Queue("")
    large: Queue | None = None
    say: Callable[[str], None] = print


#: An earlier attempt: what the job had, and how it failed.
Attempt = tuple[Resources, Kind]


def of_job(
    job: Any, default_mem_mb: int, plan: Plan | None = None, history: Sequence[Attempt] = ()
) -> Resources:
    """Return what a job or group job gets on its next attempt.

    Reads threads, `mem_mb`, `disk_mb`, `runtime` and `gpu` or `nvidia_gpu`. Raises `WorkflowError`
    naming the rules when a resource is not a positive number or no host of the queues has it.
    """
    minutes = _number(job, "runtime", 0)
    return Resources(
        vcpus=max(1, int(job.threads)),
        memory=math.ceil(_number(job, "mem_mb", default_mem_mb)),
        timeout=max(MIN_TIMEOUT, math.ceil(minutes * 60)) if minutes else 0,
    )


def check_all(jobs: Iterable[Any], default_mem_mb: int, plan: Plan) -> None:
    """Raise one `WorkflowError` that names every rule among the jobs that no host can run."""


def _number(job: Any, name: str, default: float) -> float:
    value = job.resources.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, int | float) and value > 0:
        return value
    raise WorkflowError(
        f"rule {', '.join(sorted(job.rules))}: resource {name}={value!r} is not a positive number"
    )
