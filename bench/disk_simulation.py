"""Hosts whose jobs need more scratch than they have: without a disk plan, and with the executor's.

Batch is simulated as it packs: by vCPU and memory only, first fit, on an instance type it chooses
among those that the queue names. All jobs of a host are at their peak together.

    python -m bench.disk_simulation [--samples 20000] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from sys import path as import_path
from types import SimpleNamespace

import_path.insert(0, str(Path(__file__).resolve().parent.parent / "snakemake_workflows"))

from bench.table import Table
from snakemake_executor_plugin_seqharvest_batch.hosts import FAMILIES, Host, Queue
from snakemake_executor_plugin_seqharvest_batch.resources import (
    Plan,
    Resources,
    WorkflowError,
    of_job,
)

GB_IN_MIB = 1e9 / (1 << 20)
#: FASTQ of 1,000 public runs: median 11.2 GB (7 × 1.6 of .sra), p95 54 GB, the largest 156 GB.
MEDIAN, P95, LARGEST = 11.2, 54.0, 156.0
SIGMA = log(P95 / MEDIAN) / 1.645
GZIP = 4.5  # times smaller
RESERVED = 40 * 1024  # MiB of every host: the reference cache (GRCh38: STAR 30 GB, salmon, GTF)
LOOK_AHEAD = 50  # jobs of the queue that Batch looks at for a host's last free corner
QUEUES = {
    "r5d": ("r5d",),
    "m5d": ("m5d",),
    "c5d": ("c5d",),
    "r5d m5d c5d": ("r5d", "m5d", "c5d"),
    "r6id m6id c6id": ("r6id", "m6id", "c6id"),
}


@dataclass(frozen=True)
class Rules:
    """The workflows' needs as their configuration sets them: one job is a sample's chain."""

    name: str
    threads: int
    star_mem_mb: int


RULES = (Rules("human", 8, 34_000), Rules("defaults", 2, 3_000))


@dataclass
class Packing:
    """What became of a queue's jobs on their hosts."""

    hosts: int = 0
    overfilled: int = 0
    fullest: float = 0.0
    vcpus: int = 0  # of all hosts: what a placement costs


def main() -> None:
    """Print a table for reads as plain FASTQ, and one for gzipped reads."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--samples", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    for title, smaller in (("plain", 1.0), ("gzipped", GZIP)):
        table = Table(
            f"Scratch of {given.samples:,} analysis chains, {title} FASTQ",
            *("queue", "rules", "hosts", "overfilled", "fullest", "hosts", "overfilled"),
            *("fullest", "raised", "by", "to large disk", "vCPUs rented"),
        )
        for queue, families in QUEUES.items():
            for rules in RULES:
                jobs = list(chains(given.samples, rules, smaller, random.Random(given.seed)))
                table.add(queue, rules.name, *compare(families, jobs, given.seed))
        table.show(
            "Left: no disk plan (stock: vCPU and memory as asked). Right: ours. Fullest: the "
            "scratch asked for on the worst host, by what it has. By: how much more memory the "
            "raised jobs got. vCPUs rented: ours by stock's, the large-disk queue's included. QC "
            "chains, which read the head of a file, ask for 2 GB and are left out."
        )


def chains(samples: int, rules: Rules, smaller: float, rng: random.Random) -> Iterator[Resources]:
    """Return what the chains of so many samples ask for, in the order they become ready."""
    for size in sizes(samples, rng):
        # analysis/workflow/rules/trim.smk: 3.5 times the reads
        disk = int(3.5 * size / smaller * GB_IN_MIB) + 500
        yield Resources(rules.threads, rules.star_mem_mb, disk=disk)


def sizes(samples: int, rng: random.Random) -> Iterator[float]:
    """Return FASTQ sizes in GB, as public runs have them."""
    made = 0
    while made < samples:
        size = rng.lognormvariate(log(MEDIAN), SIGMA)
        if size <= LARGEST:
            made += 1
            yield size


def compare(families: Sequence[str], jobs: Sequence[Resources], seed: int) -> Iterable[object]:
    """Return a row: hosts, overfilled and fullest without a plan and with ours, and its price."""
    types = tuple(host for family in families for host in FAMILIES[family])
    queue = Queue("spot", types, reserved=RESERVED)
    large = Queue("large", FAMILIES["r5"])
    plan = Plan(queue, large, say=lambda _: None)
    ours = [placed(job, plan) for job in jobs]
    stock = pack(queue, jobs, random.Random(seed))
    planned = pack(queue, [job for job in ours if not job.queue], random.Random(seed))
    moved = [job for job in ours if job.queue]
    elsewhere = pack(large, moved, random.Random(seed))
    raised = [
        after.memory / before.memory
        for before, after in zip(jobs, ours, strict=True)
        if not after.queue and after.memory > before.memory * 1.125  # more than a step
    ]
    return (
        *(stock.hosts, stock.overfilled, f"{stock.fullest:.0%}"),
        *(planned.hosts, planned.overfilled, f"{planned.fullest:.0%}"),
        f"{len(raised) / len(jobs):.1%}",
        f"{sum(raised) / len(raised):.1f} ×" if raised else "",
        f"{len(moved) / len(jobs):.1%}",
        f"{(planned.vcpus + elsewhere.vcpus) / stock.vcpus:.2f} ×",
    )


def placed(asked: Resources, plan: Plan) -> Resources:
    """Return what the executor gives a job that asks for so much."""
    job = SimpleNamespace(
        threads=asked.vcpus,
        resources={"mem_mb": asked.memory, "disk_mb": asked.disk},
        rules=["sample"],
    )
    try:
        return of_job(job, asked.memory, plan)
    except WorkflowError as error:
        raise SystemExit(str(error)) from error


def pack(queue: Queue, jobs: Sequence[Resources], rng: random.Random) -> Packing:
    """Fill hosts as Batch does, each to all the memory it is advertised with."""
    found = Packing()
    waiting = deque(jobs)
    while waiting:
        host = rng.choice(queue.fitting(waiting[0].vcpus, waiting[0].memory))
        used = fill(host, waiting)
        found.hosts += 1
        found.vcpus += host.vcpus
        if queue.plans_disk:
            full = used / queue.scratch_of(host)
            found.fullest = max(found.fullest, full)
            found.overfilled += full > 1
    return found


def fill(host: Host, waiting: deque[Resources]) -> int:
    """Take the jobs that fit a host off the queue, and return the scratch they need."""
    vcpus, memory, disk = host.vcpus, host.memory, 0
    passed: list[Resources] = []
    while waiting and vcpus and len(passed) < LOOK_AHEAD:
        job = waiting.popleft()
        if job.vcpus <= vcpus and job.memory <= memory:
            vcpus, memory, disk = vcpus - job.vcpus, memory - job.memory, disk + job.disk
        else:
            passed.append(job)
    waiting.extendleft(reversed(passed))
    return disk


if __name__ == "__main__":
    main()
