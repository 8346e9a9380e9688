"""What exists under an S3 prefix, and which samples are complete, from LIST pages alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from seqharvest.layout import raw_prefix, result_prefix
from seqharvest.listing import Entry, below, entries
from seqharvest.workflows import Workflow

_READS = ("_1.fastq.gz", "_2.fastq.gz")


@dataclass
class Completeness:
    """The samples whose every declared output is there, and what the others lack."""

    complete: set[str] = field(default_factory=set)
    missing: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class RawRun:
    """What is stored of one run: its FASTQ files by mate, and its provenance."""

    reads: dict[int, Entry] = field(default_factory=dict)
    provenance: Entry | None = None


def complete_samples(
    bucket: str,
    workflow: Workflow,
    fingerprint: str,
    project: str,
    samples: Sequence[str],
    s3: Any = None,
) -> Completeness:
    """Say which samples have all of a workflow's outputs, and why the others have not.

    An output counts when it exists, is not empty, and is not older than the sample's reads; both
    times are S3's own. Two passes over the samples' folders, of reads and of results, answer for
    all of them; no more is kept of a sample than a few numbers. Raises `ListingError` when any
    page of them could not be had.
    """
    stock = _Stock(workflow.outputs, samples)
    for sample, name, entry in _of_samples(bucket, raw_prefix(project), samples, s3):
        stock.see_reads(sample, name, entry)
    results = result_prefix(workflow.name, fingerprint, project)
    for sample, name, entry in _of_samples(bucket, results, samples, s3):
        stock.see_output(sample, name, entry)
    answer = Completeness()
    for sample in samples:
        if reasons := stock.flaws(sample):
            answer.missing[sample] = reasons
        else:
            answer.complete.add(sample)
    return answer


def raw_runs(bucket: str, project: str, s3: Any = None) -> dict[tuple[str, str], RawRun]:
    """Return what is stored of a project's runs, by sample and run, from one LIST."""
    runs: dict[tuple[str, str], RawRun] = {}
    for entry in entries(bucket, raw_prefix(project), s3=s3):
        where, _, name = entry.key.rpartition("/")
        sample = where.rpartition("/sample=")[2]
        if name.endswith(".json"):
            runs.setdefault((sample, name[: -len(".json")]), RawRun()).provenance = entry
        elif name.endswith(_READS):
            run, mate = name[: -len(_READS[0])], int(name[-len("1.fastq.gz")])
            runs.setdefault((sample, run), RawRun()).reads[mate] = entry
    return runs


def is_fetched(run: RawRun) -> bool:
    """Whether a run has its provenance and at least mate 1, and no file of it is empty.

    Whether mate 2 should exist is for the caller to know: a run said to be paired may turn out
    to have one mate.
    """
    if run.provenance is None or run.provenance.size == 0:
        return False
    return 1 in run.reads and all(reads.size > 0 for reads in run.reads.values())


def _of_samples(
    bucket: str, prefix: str, samples: Sequence[str], s3: Any
) -> Iterator[tuple[str, str, Entry]]:
    """Yield sample, name below its folder, and entry, of all that samples have below a prefix."""
    start = len(f"{prefix}sample=")
    for entry in below(bucket, [f"{prefix}sample={sample}/" for sample in samples], s3=s3):
        sample, _, name = entry.key[start:].partition("/")
        yield sample, name, entry


class _Stock:
    """What is seen of samples' outputs while a listing goes by: a bit an output in each number."""

    def __init__(self, outputs: Sequence[str], samples: Sequence[str]) -> None:
        self.bits = {output: 1 << place for place, output in enumerate(outputs)}
        self.there = dict.fromkeys(samples, 0)
        self.empty: Counter[str] = Counter()
        self.stale: Counter[str] = Counter()
        self.folder: Counter[str] = Counter()
        self.read: dict[str, datetime] = {}
        self._told: dict[tuple[int, int, int, int], list[str]] = {}

    def see_reads(self, sample: str, name: str, entry: Entry) -> None:
        """Take in when a sample's newest reads were stored."""
        if name.endswith(_READS) and "/" not in name:
            self.read[sample] = max(entry.modified, self.read.get(sample, entry.modified))

    def see_output(self, sample: str, name: str, entry: Entry) -> None:
        """Take in one object; the reads must all have been seen."""
        bit = self.bits.get(name)
        if bit is None:
            self.folder[sample] |= self.bits.get(name.partition("/")[0], 0)
            return
        self.there[sample] |= bit
        if entry.size == 0:
            self.empty[sample] |= bit
        elif sample in self.read and entry.modified < self.read[sample]:
            self.stale[sample] |= bit

    def flaws(self, sample: str) -> list[str]:
        """Return what is wrong with a sample's outputs, in their order; not to be changed."""
        masks = (
            self.there[sample],
            self.empty[sample],
            self.stale[sample],
            self.folder[sample],
        )
        # Thousands of samples lack the same; one list serves them all.
        if masks not in self._told:
            self._told[masks] = list(self._reasons(*masks))
        return self._told[masks]

    def _reasons(self, there: int, empty: int, stale: int, folder: int) -> Iterator[str]:
        for output, bit in self.bits.items():
            if not there & bit:
                only = " (there is a folder of that name)" if folder & bit else ""
                yield f"absent: {output}{only}"
            elif empty & bit:
                yield f"empty: {output}"
            elif stale & bit:
                yield f"older than its reads: {output}"
