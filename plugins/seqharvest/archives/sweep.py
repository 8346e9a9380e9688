"""Sweeps GEO for series published in some days, each registered or listed with its reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from seqharvest.archives import geo, resolve
from seqharvest.archives.http import ArchiveClient
from seqharvest.archives.model import Series
from seqharvest.errors import SeqharvestError

log = logging.getLogger(__name__)

DEFAULT_ORGANISMS = ("Homo sapiens",)
# Series appear in the index up to a day after the date they carry.
OVERLAP = timedelta(days=1)


def sweep(
    start: date,
    end: date,
    registry: resolve.ProjectRegistry,
    organisms: Sequence[str] = DEFAULT_ORGANISMS,
    minimum_samples: int = 1,
    quota: int = 100,
    dry_run: bool = False,
    by: str = "geo_sweep",
    release: str = "",
    *,
    ncbi: ArchiveClient | None = None,
    portal: ArchiveClient | None = None,
) -> list[dict[str, Any]]:
    """Register the series published from `start` to `end`, and those of the day before.

    Returns a row per series: {"series", "title", "organism", "samples", "new_samples", "action",
    "reason"}, action being registered, known, failed or left out ("would register" in a dry run).
    At most `quota` new projects are registered, for a reference
    release (default: the settings'). Raises `ArchiveError` only when the search fails.
    """
    if ncbi is None:
        with geo.ncbi_client() as own:
            return sweep(
                start, end, registry, organisms, minimum_samples, quota, dry_run, by, release,
                ncbi=own, portal=portal,
            )  # fmt: skip
    if portal is None:
        with ArchiveClient() as own:
            return sweep(
                start, end, registry, organisms, minimum_samples, quota, dry_run, by, release,
                ncbi=ncbi, portal=own,
            )  # fmt: skip
    rows: list[dict[str, Any]] = []
    for series in geo.search(start - OVERLAP, end, organisms, ncbi):
        new = sum(row["action"] in ("registered", "would register") for row in rows)
        row = _row(series)
        if not series.problem and series.sample_count < minimum_samples:
            row |= _left_out(f"{series.sample_count} samples, fewer than {minimum_samples}")
        elif new >= quota:
            row |= _left_out(f"the quota of {quota} new projects is used up")
        else:
            row |= _take(series, registry, dry_run, by, release, portal)
        log.info("series %s: %s %s", row["series"], row["action"], row["reason"])
        rows.append(row)
    return rows


def _row(series: Series) -> dict[str, Any]:
    return {
        "series": series.accession,
        "title": series.title,
        "organism": series.organism,
        "samples": series.sample_count,
        "new_samples": 0,
        "action": "",
        "reason": "",
    }


def _left_out(reason: str) -> dict[str, Any]:
    return {"action": "left out", "reason": reason}


def _take(
    series: Series,
    registry: resolve.ProjectRegistry,
    dry_run: bool,
    by: str,
    release: str,
    portal: ArchiveClient,
) -> dict[str, Any]:
    """Register one series; whatever goes wrong with it becomes its reason, never the sweep's."""
    try:
        found = resolve.resolve_series(series, portal)
        if not found.samples:
            return _left_out(f"no RNA-Seq run to take: {resolve.reasons(found.left_out)}")
        if dry_run:
            return {"action": "would register", "new_samples": len(found.samples)}
        result = resolve.register_resolved(registry, found, by, release)
    except SeqharvestError as error:
        return _failed(series, registry, dry_run, by, str(error))
    return {
        "action": "registered" if result["new_project"] else "known",
        "new_samples": result["new_samples"],
    }


def _failed(
    series: Series, registry: resolve.ProjectRegistry, dry_run: bool, by: str, reason: str
) -> dict[str, Any]:
    """Put a series that cannot be resolved on record, so that it is not dropped silently."""
    row = {"action": "failed", "reason": reason}
    if dry_run:
        return row
    try:
        new = registry.register_project(
            series.accession,
            by=by,
            source="geo",
            title=series.title,
            organism=series.organism,
        )
        # A project that was registered before keeps its state: its samples are not in doubt.
        if new:
            registry.move_project(series.accession, "failed", by=by, why=reason, reason=reason)
    except SeqharvestError as error:
        log.error("series %s: cannot record its failure: %s", series.accession, error)
        row["reason"] += f" (and the registry refused the record: {error})"
    return row
