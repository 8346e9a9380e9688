"""Put ready jobs of one rule and one shape together in array jobs."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

from snakemake_executor_plugin_seqharvest_batch.resources import Resources

T = TypeVar("T")

MAX_SIZE = 10_000  # SubmitJob's limit
TIME_STEPS = 8  # as for memory: an array's time-out is at most an eighth longer than asked


def shape(resources: Resources) -> Resources:
    """Return what an array asks for its members: their resources, the time-out rounded up.

    Scratch is left out: it has decided memory and queue already.
    """
    return replace(resources, timeout=_step_up(resources.timeout), disk=0)


def grouped(jobs: Iterable[tuple[str, Resources, T]], size: int) -> Iterator[list[T]]:
    """Yield jobs, given with label and resources, in groups for one SubmitJob each."""
    alike: dict[Any, list[T]] = {}
    for label, resources, job in jobs:
        alike.setdefault((label, shape(resources)), []).append(job)
    step = max(1, min(size, MAX_SIZE))
    for members in alike.values():
        for start in range(0, len(members), step):
            yield members[start : start + step]


def parent(job_id: str) -> str:
    """Return the array a child belongs to; the id itself of any other job."""
    return job_id.partition(":")[0]


def child(array_id: str, index: int) -> str:
    """Return the id of an array's child."""
    return f"{array_id}:{index}"


def _step_up(seconds: int) -> int:
    step = max(1, 2 ** (max(seconds, 1).bit_length() - 1) // TIME_STEPS)
    return -(-seconds // step) * step
