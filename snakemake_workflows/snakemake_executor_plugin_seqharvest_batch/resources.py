"""What a job asks Batch for: vCPU, memory, time-out."""

import math
from dataclasses import dataclass
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

MIN_TIMEOUT = 60  # seconds, Batch's own lower bound for attemptDurationSeconds


@dataclass(frozen=True)
class Resources:
    """A job's share of a host; memory in MiB, `timeout` in seconds (0: none)."""

    vcpus: int
    memory: int
    timeout: int = 0


def of_job(job: Any, default_mem_mb: int) -> Resources:
    """Read threads, `mem_mb` and `runtime` of a job or group job.

    Raises `WorkflowError` naming the rules when a resource is not a positive number.
    """
    minutes = _number(job, "runtime", 0)
    return Resources(
        vcpus=max(1, int(job.threads)),
        memory=math.ceil(_number(job, "mem_mb", default_mem_mb)),
        timeout=max(MIN_TIMEOUT, math.ceil(minutes * 60)) if minutes else 0,
    )


def _number(job: Any, name: str, default: float) -> float:
    value = job.resources.get(name)
    if value is None or value == "":
        return default
    if isinstance(value, int | float) and value > 0:
        return value
    raise WorkflowError(
        f"rule {', '.join(sorted(job.rules))}: resource {name}={value!r} is not a positive number"
    )
