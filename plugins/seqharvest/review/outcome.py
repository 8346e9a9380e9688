"""How a project's review ended, read from the registry: for one project or for all that wait."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqharvest import aws
from seqharvest.registry import Registry

#: The project was approved, now or on an earlier pass through the gate.
PAST_THE_GATE = ("approved", "analysing", "loaded")
AT_ONCE = 100  # BatchGetItem takes at most 100 keys


def look(project: str) -> dict[str, Any] | None:
    """Return how a project's review ended, None while it waits for a person.

    The answer has `decision` ("approved", "rejected", or "" when the project is not at the gate
    at all), `state`, `by`, `way` and `comment`. Raises `InputError` for an unknown project.
    """
    registry = Registry()
    return _outcome(registry, registry.project(project))


def look_at_all(projects: Sequence[str]) -> Mapping[str, dict[str, Any]]:
    """Return the outcomes of those projects (at most `AT_ONCE`) that no longer wait."""
    registry = Registry(client=aws.brief_client("dynamodb"))
    found = {item["project"]: _outcome(registry, item) for item in registry.projects(projects)}
    return {project: outcome for project, outcome in found.items() if outcome is not None}


def _outcome(registry: Registry, item: Mapping[str, Any]) -> dict[str, Any] | None:
    if item["state"] == "awaiting_review":
        typed = item.get("review_decision")  # by hand, into the item
        item = (registry.adopt_decision(item["project"]) if typed else None) or item
    state = item["state"]
    if state == "awaiting_review":
        return None
    decision = "approved" if state in PAST_THE_GATE else "rejected" if state == "rejected" else ""
    if state == "failed":  # after the gate, if there is a decision
        decision = item.get("review_decision") or ""
    return {
        "decision": decision,
        "state": state,
        "by": item.get("reviewed_by", ""),
        "way": item.get("review_way", ""),
        "comment": item.get("review_comment", ""),
    }
