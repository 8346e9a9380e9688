"""The Snakemake workflows as Airflow sees them: version, declared outputs, fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from seqharvest.errors import InputError


@dataclass(frozen=True)
class Workflow:
    """One workflow: what it leaves behind for a sample and what decides its results."""

    name: str
    version: str  # raise when rules, tools or thresholds change what comes out
    outputs: tuple[str, ...]  # per sample, below its result prefix; all of them or not complete
    defaults: Mapping[str, object]  # the config keys that change results, with their defaults


QC = Workflow(
    name="qc",
    version="2",
    outputs=("fastp.json", "fastqc.zip", "Log.final.out", "counts.parquet", "metrics.json"),
    defaults={"subsample_reads": 100_000},
)
ANALYSIS = Workflow(
    name="analysis",
    version="1",
    outputs=(
        "fastp.json",
        "Log.final.out",
        "SJ.out.tab.gz",
        "quant.sf.gz",
        "gene_quant.parquet",
        "transcript_quant.parquet",
        "junctions.parquet",
        "versions.json",
    ),
    defaults={"keep_bam": False},
)
WORKFLOWS = {workflow.name: workflow for workflow in (QC, ANALYSIS)}


def fingerprint(
    workflow: Workflow, release: str, config: Mapping[str, object] | None = None
) -> str:
    """Hash what decides a workflow's output (version, release, config) to 12 hex digits.

    Raises `InputError` for a config key the workflow does not have.
    """
    given = dict(config or {})
    unknown = sorted(set(given) - set(workflow.defaults))
    if unknown:
        raise InputError(
            f"workflow {workflow.name} has no config key {', '.join(unknown)}",
            f"use one of {', '.join(sorted(workflow.defaults))}",
        )
    decides = {
        "workflow": workflow.name,
        "version": workflow.version,
        "outputs": workflow.outputs,
        "release": release,
        "config": {**workflow.defaults, **given},
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
