"""The QC stage: samples without QC results, the project's report, and its verdicts recorded."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from seqharvest import aws
from seqharvest.archives.harmonise import harmonise
from seqharvest.errors import BatchJobError, VerificationError
from seqharvest.inventory import Completeness, complete_samples
from seqharvest.layout import report_prefix, uri
from seqharvest.registry import Move, ProjectState, Registry, SampleState
from seqharvest.settings import settings
from seqharvest.stages import manifests
from seqharvest.stages.outcomes import failure, in_hand, read_json, reasons
from seqharvest.workflows import QC, fingerprint

_VERDICTS = {
    "pass": SampleState.QC_PASSED,
    "warn": SampleState.QC_WARNED,
    "fail": SampleState.QC_FAILED,
}
_STATES = (SampleState.FETCHED, *_VERDICTS.values(), SampleState.ANALYSED)
#: Part of the report; they cost nothing more.
_REPORTED = (*_STATES, SampleState.EXCLUDED)


def plan_qc(project: str, by: str) -> list[dict[str, Any]]:
    """Move the project to `qc`; return the shards of samples whose QC outputs are incomplete."""
    registry = Registry()
    item = registry.move_project(project, ProjectState.QC, by=by)
    samples = _samples(registry, item, _STATES)
    missing = _completeness(item, samples).missing
    return manifests.write_shards(QC, item, [samples[name] for name in missing])


def plan_report(project: str, by: str) -> dict[str, Any]:
    """Return the manifest of the report over all of the project's samples that have QC results.

    Samples without are recorded as failed. Raises `BatchJobError` when no sample has any.
    """
    registry = Registry()
    item = registry.project(project)
    samples = _samples(registry, item, _REPORTED)
    state = _completeness(item, samples)
    _record_failures(registry, item, samples, state, by)
    if not state.complete:
        first = next((s["reason"] for s in registry.samples(project) if s.get("reason")), "")
        raise BatchJobError(
            f"no sample of project {project} has QC results; the first: {first or 'no samples'}",
            "see the samples' reasons, then clear the QC or fetch tasks, or retry the project",
        )
    chosen = [
        {**samples[name], "recorded": _recorded(item, samples[name])}
        for name in sorted(state.complete)
    ]
    return manifests.write_workflow(QC, "report", "report", item, chosen)


def _recorded(item: Mapping[str, Any], sample: Mapping[str, Any]) -> dict[str, str]:
    """What submitters say of a sample, in our words, for the report to hold against the reads."""
    said = harmonise(sample.get("metadata") or {})
    taxid = str(sample.get("taxid") or item.get("taxid") or "")
    del said["terms"]
    return {**said, **({"taxid": taxid} if taxid else {})}


def record_qc(project: str, by: str) -> dict[str, Any]:
    """Record the report's verdicts on samples and project, which then awaits review.

    A decision that was taken on these very verdicts stands. Raises `VerificationError` when the
    report is absent or cannot be read.
    """
    registry = Registry()
    item = registry.project(project)
    key = report_prefix(fingerprint(QC, item["release"]), project) + "verdicts.json"
    verdicts = _read_verdicts(key)
    samples = _samples(registry, item, _REPORTED)
    state = _completeness(item, samples)
    for name in sorted(state.complete - verdicts["samples"].keys()):
        state.complete.discard(name)
        state.missing[name] = [f"no verdict in {key}"]
    _record_failures(registry, item, samples, state, by)
    judged = sorted(state.complete)
    registry.move_samples(
        [_judge(samples[name], verdicts["samples"][name]) for name in judged], by=by
    )
    counts = Counter(verdicts["samples"][name]["verdict"] for name in judged)
    failed = sum(s["state"] == SampleState.FAILED for s in registry.samples(project))
    verdict_counts = {**{verdict: counts[verdict] for verdict in _VERDICTS}, "failed": failed}
    item = registry.await_review(
        project,
        by=by,
        verdicts_hash=seen_hash(verdicts),
        verdicts_key=key,
        verdict_counts=verdict_counts,
        thresholds_version=verdicts.get("thresholds_version"),
    )
    return {"state": item["state"], "verdicts": key, "counts": verdict_counts}


def _samples(
    registry: Registry, item: Mapping[str, Any], states: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    return {
        sample["sample"]: sample
        for sample in registry.samples(item["project"])
        if in_hand(item, sample, states)
    }


def _completeness(item: Mapping[str, Any], samples: Mapping[str, Any]) -> Completeness:
    made_by = fingerprint(QC, item["release"])
    return complete_samples(settings().bucket, QC, made_by, item["project"], sorted(samples))


def _record_failures(
    registry: Registry,
    item: Mapping[str, Any],
    samples: Mapping[str, dict[str, Any]],
    state: Completeness,
    by: str,
) -> None:
    """Move samples without QC results to `failed`, with their job's reason; not excluded ones."""
    lost = [name for name in state.missing if samples[name]["state"] != SampleState.EXCLUDED]
    known = reasons("qc", item["project"], lost) if lost else {}
    moves = [
        failure(item, samples[name], known.get(name) or "QC is " + "; ".join(state.missing[name]))
        for name in lost
    ]
    registry.move_samples(moves, by=by)


def _judge(sample: Mapping[str, Any], verdict: Mapping[str, Any]) -> Move:
    """Return a sample's move to its verdict; excluded and soundly analysed ones stay."""
    to = _VERDICTS[verdict["verdict"]]
    stays = sample["state"] == SampleState.EXCLUDED or (
        sample["state"] == SampleState.ANALYSED and to != SampleState.QC_FAILED
    )
    fields = {
        "verdict": verdict["verdict"],
        "verdict_reasons": list(verdict.get("reasons", [])),
        "strandedness": verdict.get("strandedness", ""),
    }
    why = "; ".join(fields["verdict_reasons"])
    return Move(sample, sample["state"] if stays else to, why, fields)


def _read_verdicts(key: str) -> dict[str, Any]:
    s3 = aws.client("s3")
    try:
        verdicts = read_json(key)
    except s3.exceptions.NoSuchKey as error:
        raise VerificationError(
            f"the QC report left no {uri(settings().bucket, key)}", "clear the report task"
        ) from error
    judged = verdicts.get("samples")
    if not isinstance(judged, dict) or any(
        verdict.get("verdict") not in _VERDICTS for verdict in judged.values()
    ):
        raise VerificationError(
            f"{uri(settings().bucket, key)} has no verdict of pass, warn or fail for each sample",
            "clear the report task",
        )
    return verdicts


def seen_hash(verdicts: Mapping[str, Any]) -> str:
    """Hash what a reviewer decides on."""
    seen = ("thresholds_version", "fingerprint", "release", "samples", "project_verdict")
    return hashlib.sha256(
        manifests.canonical({name: verdicts.get(name) for name in seen})
    ).hexdigest()[:16]
