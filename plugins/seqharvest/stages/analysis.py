"""The analysis stage: approved samples without results, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqharvest.inventory import Completeness, complete_samples
from seqharvest.registry import Move, ProjectState, Registry, SampleState
from seqharvest.settings import settings
from seqharvest.stages import manifests
from seqharvest.stages.outcomes import failure, in_hand, reasons
from seqharvest.workflows import ANALYSIS, fingerprint

_STATES = (SampleState.QC_PASSED, SampleState.QC_WARNED, SampleState.ANALYSED)


def plan_analysis(project: str, by: str) -> list[dict[str, Any]]:
    """Move an approved project to `analysing`; return the shards of samples without results.

    Samples whose results are complete are recorded as analysed; `[]` when all are.
    """
    registry = Registry()
    item = registry.move_project(project, ProjectState.ANALYSING, by=by)
    registry.apply_exclusions(item, by=by)  # in case the decision was cut short
    samples = approved_samples(registry, item)
    state = completeness(item, samples)
    _record_complete(registry, samples, state, by)
    return manifests.write_shards(ANALYSIS, item, [samples[name] for name in state.missing])


def record_analysis(project: str, by: str) -> dict[str, Any]:
    """Move samples with complete results to `analysed`, others to `failed`; return the counts."""
    registry = Registry()
    item = registry.project(project)
    samples = approved_samples(registry, item)
    state = completeness(item, samples)
    _record_complete(registry, samples, state, by)
    known = reasons(ANALYSIS.name, project, state.missing) if state.missing else {}
    lost = [
        failure(item, samples[name], known.get(name) or "analysis is " + "; ".join(why))
        for name, why in state.missing.items()
    ]
    registry.move_samples(lost, by=by)
    return {"analysed": len(state.complete), "failed": len(state.missing)}


def approved_samples(registry: Registry, item: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the samples the decision lets into the analysis.

    A sample that failed QC is among them only when the reviewer named it in `include`.
    """
    excluded, included = set(item.get("excluded") or ()), set(item.get("include") or ())
    chosen = {}
    for sample in registry.samples(item["project"]):
        name = sample["sample"]
        states = (*_STATES, SampleState.QC_FAILED) if name in included else _STATES
        if name not in excluded and in_hand(item, sample, states):
            chosen[name] = sample
    return chosen


def completeness(item: Mapping[str, Any], samples: Mapping[str, Any]) -> Completeness:
    """Say which samples have all results of the analysis of the project's release."""
    made_by = fingerprint(ANALYSIS, item["release"])
    return complete_samples(settings().bucket, ANALYSIS, made_by, item["project"], sorted(samples))


def _record_complete(
    registry: Registry,
    samples: Mapping[str, dict[str, Any]],
    state: Completeness,
    by: str,
) -> None:
    moves = [Move(samples[name], SampleState.ANALYSED) for name in sorted(state.complete)]
    registry.move_samples(moves, by=by)
