"""The project that the benchmarks plan: its samples, and the objects that each of them has in S3.

Eleven objects a sample, as in the measured baseline: two raw reads, and nine results of six rules.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

WORKFLOW, PROJECT, RELEASE, BUCKET = "bench", "bench", "bench-1", "bench"
FINGERPRINT = "bb4c510d8ace"  # of `bench.planner`'s workflow and this release
RUN = "R1"
RAW = (f"{RUN}_1.fastq.gz", f"{RUN}_2.fastq.gz")
#: What `bench/workflow/Snakefile` declares for a sample; workflow and planner are given this list.
OUTPUTS = (
    "fastp.json",
    "Log.final.out",
    "quant.sf.gz",
    "SJ.out.tab.gz",
    "junctions.parquet",
    "gene_quant.parquet",
    "transcript_quant.parquet",
    "metrics.json",
    "versions.json",
)
RAW_BYTES, OUTPUT_BYTES = 1_000_000, 1_000
RAW_WRITTEN, OUTPUT_WRITTEN = 1_767_225_600, 1_767_312_000  # 1 and 2 January 2026


class Made(NamedTuple):
    """An object to be: key, size in bytes, and when it was written (epoch seconds)."""

    key: str
    size: int
    modified: int


def samples(count: int) -> list[str]:
    """Return the ids of a project of so many samples, in order."""
    return [f"SRX{10_000_000 + number}" for number in range(count)]


def unfinished(count: int, complete: float) -> list[str]:
    """Return the samples that have no results yet: a seeded choice, spread over the project."""
    chosen = random.Random(3).sample(samples(count), round(count * (1 - complete)))
    return sorted(chosen)


def raw_prefix(sample: str) -> str:
    """Return where a sample's reads are."""
    return f"raw/project={PROJECT}/sample={sample}/"


def result_prefix(sample: str) -> str:
    """Return where a sample's results are."""
    return f"{WORKFLOW}/fingerprint={FINGERPRINT}/project={PROJECT}/sample={sample}/"


def objects(count: int, complete: float) -> Iterator[Made]:
    """Yield every object of the project, in no order."""
    without = set(unfinished(count, complete))
    for sample in samples(count):
        for name in RAW:
            yield Made(raw_prefix(sample) + name, RAW_BYTES, RAW_WRITTEN)
        if sample not in without:
            for key in results(sample):
                yield Made(key, OUTPUT_BYTES, OUTPUT_WRITTEN)


def results(sample: str) -> list[str]:
    """Return the keys of a sample's results."""
    return [result_prefix(sample) + name for name in OUTPUTS]
