"""The load stage: the manifest of a project's rows and Parquet files for the lake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqharvest.errors import LoadError
from seqharvest.layout import result_prefix
from seqharvest.registry import ProjectState, Registry, SampleState
from seqharvest.settings import settings
from seqharvest.stages import manifests
from seqharvest.stages.analysis import approved_samples, completeness
from seqharvest.stages.manifests import canonical
from seqharvest.workflows import ANALYSIS, QC, fingerprint

_TABLES = ("gene_quant", "transcript_quant", "junctions")


def plan_load(project: str, by: str) -> dict[str, Any]:
    """Store the load's manifest; return its key, `digest` and how many `samples` have results.

    Raises `LoadError` when no sample is analysed, or when results of one have gone.
    """
    registry = Registry()
    item = registry.move_project(project, ProjectState.ANALYSING, by=by)
    analysed = {
        name: sample
        for name, sample in approved_samples(registry, item).items()
        if sample["state"] == SampleState.ANALYSED
    }
    if gone := completeness(item, analysed).missing:
        name, why = next(iter(gone.items()))
        raise LoadError(
            f"results of {len(gone)} analysed samples of project {project} have gone,"
            f" first {name}: {'; '.join(why)}",
            "clear the analysis tasks",
        )
    if not analysed:
        raise LoadError(
            f"no sample of project {project} has been analysed",
            "see the samples' reasons, then clear the analysis tasks",
        )
    made_by = fingerprint(ANALYSIS, item["release"])
    content = {
        "stage": "load",
        "project": project,
        "release": item["release"],
        "bucket": settings().bucket,
        "fingerprint": made_by,
        "qc_fingerprint": fingerprint(QC, item["release"]),
        "samples": [_row(item, sample, made_by) for sample in registry.samples(project)],
        "tables": {
            table: [
                result_prefix(ANALYSIS.name, made_by, project, name) + f"{table}.parquet"
                for name in sorted(analysed)
            ]
            for table in _TABLES
        },
        "verdicts": item.get("verdicts_key", ""),
    }
    return {**manifests.write("load", project, content), "samples": len(analysed)}


def record_load(project: str, by: str) -> dict[str, Any]:
    """Move the project to `loaded`, which ends its round; return its state and next `round`."""
    item = Registry().finish(project, by=by)
    return {"state": item["state"], "round": item["round"]}


def _row(item: Mapping[str, Any], sample: Mapping[str, Any], made_by: str) -> dict[str, Any]:
    """Return a sample's row of the `samples` table."""
    runs = sample["runs"]
    return {
        "sample": sample["sample"],
        "title": sample.get("title", ""),
        "organism": sample.get("organism") or item.get("organism", ""),
        "taxid": sample.get("taxid") or item.get("taxid"),
        "layout": sample["layout"],
        "runs": ",".join(run["accession"] for run in runs),
        "spots": sum(int(run.get("spots") or 0) for run in runs),
        "source": sample.get("source") or item.get("source", ""),
        "state": sample["state"],
        "verdict": sample.get("verdict"),
        "metadata": canonical(sample.get("metadata") or {}).decode(),
        "fingerprint": made_by,
    }
