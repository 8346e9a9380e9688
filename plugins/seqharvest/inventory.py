"""What exists under an S3 prefix, and which samples are complete, from LIST pages alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from seqharvest import aws
from seqharvest.layout import raw_prefix, result_prefix
from seqharvest.workflows import Workflow


@dataclass(frozen=True)
class Entry:
    """One object as LIST shows it; `size` in bytes."""

    key: str
    size: int
    modified: datetime


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


def entries(bucket: str, prefix: str, s3: Any = None) -> Iterator[Entry]:
    """Yield every object below a prefix, a thousand a request, in the order of the keys."""
    pages = (s3 or aws.client("s3")).get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            yield Entry(found["Key"], found["Size"], found["LastModified"])


def complete_samples(
    bucket: str,
    workflow: Workflow,
    fingerprint: str,
    project: str,
    samples: Sequence[str],
    s3: Any = None,
) -> Completeness:
    """Say which samples have all of a workflow's outputs, and why the others have not.

    An output counts when it exists, is not empty, and is not older than the sample's reads.
    Two LISTs answer for the whole project: its results and its raw reads.
    """
    results = result_prefix(workflow.name, fingerprint, project)
    found = {
        entry.key.removeprefix(results): entry for entry in entries(bucket, results + "sample=", s3)
    }
    fresh_from = _reads_written(bucket, project, s3)
    answer = Completeness()
    for sample in samples:
        reasons = [
            reason
            for output in workflow.outputs
            if (reason := _flaw(found, sample, output, fresh_from))
        ]
        if reasons:
            answer.missing[sample] = reasons
        else:
            answer.complete.add(sample)
    return answer


def raw_runs(bucket: str, project: str, s3: Any = None) -> dict[tuple[str, str], RawRun]:
    """Return what is stored of a project's runs, by sample and run, from one LIST."""
    runs: dict[tuple[str, str], RawRun] = {}
    for entry in entries(bucket, raw_prefix(project), s3):
        where, _, name = entry.key.rpartition("/")
        sample = where.rpartition("/sample=")[2]
        if name.endswith(".json"):
            runs.setdefault((sample, name[: -len(".json")]), RawRun()).provenance = entry
        elif name.endswith(mates := ("_1.fastq.gz", "_2.fastq.gz")):
            run, mate = name[: -len(mates[0])], int(name[-len("1.fastq.gz")])
            runs.setdefault((sample, run), RawRun()).reads[mate] = entry
    return runs


def fetched_runs(bucket: str, project: str, s3: Any = None) -> set[tuple[str, str]]:
    """Return the (sample, run) whose provenance and reads exist and are not empty.

    Whether mate 2 should exist is for the caller to know: a run said to be paired may turn out
    to have one mate.
    """
    return {name for name, run in raw_runs(bucket, project, s3).items() if is_fetched(run)}


def is_fetched(run: RawRun) -> bool:
    """Whether a run has its provenance and at least mate 1, and no file of it is empty."""
    if run.provenance is None or run.provenance.size == 0:
        return False
    return 1 in run.reads and all(reads.size > 0 for reads in run.reads.values())


def _reads_written(bucket: str, project: str, s3: Any) -> dict[str, datetime]:
    """Return when each sample's newest reads were stored."""
    written: dict[str, datetime] = {}
    for (sample, _), run in raw_runs(bucket, project, s3).items():
        for reads in run.reads.values():
            written[sample] = max(reads.modified, written.get(sample, reads.modified))
    return written


def _flaw(
    found: Mapping[str, Entry], sample: str, output: str, reads: Mapping[str, datetime]
) -> str:
    """Return what is wrong with a sample's output, or nothing."""
    entry = found.get(f"sample={sample}/{output}")
    if entry is None:
        return f"absent: {output}"
    if entry.size == 0:
        return f"empty: {output}"
    if sample in reads and entry.modified < reads[sample]:
        return f"older than its reads: {output}"
    return ""
