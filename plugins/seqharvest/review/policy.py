"""A deployment's optional rule that approves projects nobody needs to look at; off by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seqharvest.registry import Registry
from seqharvest.settings import settings

ALL_PASS = "all-pass"
#: Raise it when a rule changes: it is written into the decisions.
VERSION = 1


def apply(registry: Registry, item: Mapping[str, Any]) -> bool:
    """Approve a project whose every sample passes, if SEQHARVEST_REVIEW_POLICY is `all-pass`."""
    counts = dict(item.get("verdict_counts") or {})
    passes = counts.pop("pass", 0) > 0 and not any(counts.values())
    waits = item["state"] == "awaiting_review" and not item.get("review_decision")
    if settings().review_policy != ALL_PASS or not passes or not waits:
        return False
    registry.decide(
        item["project"],
        "approved",
        by=f"policy {ALL_PASS} {VERSION}",
        way="policy",
        comment="every sample passes",
        seen=item.get("verdicts_hash"),
    )
    return True
