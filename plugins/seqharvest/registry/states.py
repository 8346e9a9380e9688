"""The states of projects and samples: which move is allowed from where."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from seqharvest.errors import StateConflict


class ProjectState(StrEnum):
    """Where a project is on its way from the archive to the lake."""

    REGISTERED = "registered"
    FETCHING = "fetching"
    QC = "qc"
    AWAITING_REVIEW = "awaiting_review"
    APPROVED = "approved"
    REJECTED = "rejected"
    ANALYSING = "analysing"
    LOADED = "loaded"
    FAILED = "failed"


class SampleState(StrEnum):
    """Where a sample is on its way through its project's stages."""

    REGISTERED = "registered"
    FETCHING = "fetching"
    FETCHED = "fetched"
    QC_PASSED = "qc_passed"
    QC_WARNED = "qc_warned"
    QC_FAILED = "qc_failed"
    ANALYSED = "analysed"
    EXCLUDED = "excluded"
    FAILED = "failed"


P, S = ProjectState, SampleState
QC_DONE = (S.QC_PASSED, S.QC_WARNED, S.QC_FAILED)
#: A project in one of these is in the hands of a DAG run.
ACTIVE = (P.FETCHING, P.QC, P.AWAITING_REVIEW, P.APPROVED, P.ANALYSING)

#: The way forward. Besides: anything may fail; what failed may go where it could have gone
#: before, or be registered anew by an explicit retry; and a stage that is run again (a task
#: cleared in Airflow) takes its project or sample back, never further ahead.
FORWARD: Mapping[str, tuple[str, ...]] = {
    P.REGISTERED: (P.FETCHING,),
    P.FETCHING: (P.QC,),
    P.QC: (P.AWAITING_REVIEW,),
    P.AWAITING_REVIEW: (P.APPROVED, P.REJECTED),
    P.APPROVED: (P.ANALYSING,),
    P.REJECTED: (),
    P.ANALYSING: (P.LOADED,),
    P.LOADED: (),
}
SAMPLE_FORWARD: Mapping[str, tuple[str, ...]] = {
    S.REGISTERED: (S.FETCHING,),
    S.FETCHING: (S.FETCHED,),
    S.FETCHED: QC_DONE,
    **{state: (*QC_DONE, S.ANALYSED, S.EXCLUDED) for state in QC_DONE},
    S.ANALYSED: (*QC_DONE, S.EXCLUDED),
    S.EXCLUDED: QC_DONE,
}
#: States a stage that is run again goes back to, by their place on the way.
_STAGES = {P.FETCHING: 1, P.QC: 2, P.AWAITING_REVIEW: 3, P.ANALYSING: 5}
_PLACES = {P.REGISTERED: 0, **_STAGES, P.APPROVED: 4, P.REJECTED: 4, P.LOADED: 6}
_SAMPLE_STAGES = {S.FETCHING: 1, S.FETCHED: 2}
_SAMPLE_PLACES = {
    S.REGISTERED: 0,
    **_SAMPLE_STAGES,
    **dict.fromkeys((*QC_DONE, S.ANALYSED, S.EXCLUDED), 3),
}


def check_move(item: Mapping[str, Any], to: str) -> None:
    """Raise `StateConflict` when the project or sample may not go to this state from its own."""
    if not allowed(item, to):
        whose = f"sample {item['sample']} of " if "sample" in item else ""
        was = f" (it was {item['failed_from']})" if item["state"] == "failed" else ""
        raise StateConflict(
            f"{whose}project {item['project']} cannot go to {to}: it is {item['state']}{was}",
            "run the stages in order; see `python -m seqharvest.registry show`",
        )


def allowed(item: Mapping[str, Any], to: str) -> bool:
    """Whether the transition map lets this PROJECT or SAMPLE item go to a state."""
    sample = "sample" in item
    forward = SAMPLE_FORWARD if sample else FORWARD
    stages: Mapping[Any, int] = _SAMPLE_STAGES if sample else _STAGES
    places: Mapping[Any, int] = _SAMPLE_PLACES if sample else _PLACES
    current = item["state"]
    if to in ("failed", current):
        return True
    if current == "failed":
        current = item.get("failed_from", "registered")
        if to in (current, "registered"):
            return True
    return to in forward[current] or (to in stages and stages[to] < places[current])


def goes_back(current: str, to: str) -> bool:
    """Whether a project's or sample's move is a stage run again or a retry."""
    if "failed" in (current, to):
        return current == "failed"
    places: dict[Any, int] = {**_PLACES, **_SAMPLE_PLACES}
    return places[to] < places[current]
