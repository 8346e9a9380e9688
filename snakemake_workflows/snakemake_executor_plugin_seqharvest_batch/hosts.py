"""What the hosts behind a job queue have: vCPUs, memory, scratch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Host:
    """An instance type as AWS advertises it: memory in MiB, instance store in GB (10⁹ bytes)."""

    name: str
    vcpus: int
    memory: int
    store: int = 0
    gpus: int = 0


@dataclass(frozen=True)
class Queue:
    """A job queue and the instance types its jobs may land on; none: they are not known."""

    name: str
    hosts: tuple[Host, ...] = ()
    #: MiB of scratch a host has, if that is not its instance store (an EBS volume of each host).
    scratch: int = 0
    #: MiB that the reference cache takes of each host's scratch.
    cache: int = 0


def read(
    batch: Any,
    name: str,
    *,
    instance_types: str = "",
    scratch_gib: float = 0,
    cache_gib: float = 0,
    say: Callable[[str], None] = print,
) -> Queue:
    """Return what Batch tells of a queue, or what `instance_types` (comma-separated) says.

    Raises `WorkflowError` when the queue does not exist, is disabled or not valid.
    """
    return Queue(name)
