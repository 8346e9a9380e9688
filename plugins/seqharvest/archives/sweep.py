"""Sweeps GEO for series published in some days, each registered or listed with its reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from seqharvest.archives import geo, resolve
from seqharvest.archives.enrol import (
    ProjectRegistry,
    Row,
    enrol,
    failed,
    left_out,
    record_series_failure,
    row,
)
from seqharvest.archives.model import ResolvedProject, Series
from seqharvest.archives.resolve import Archives
from seqharvest.errors import InputError, SeqharvestError

log = logging.getLogger(__name__)

# Series appear in the index up to a day after the date they carry.
OVERLAP = timedelta(days=1)


@dataclass(frozen=True)
class Wanted:
    """Which series a sweep takes; the quota counts projects by the day they were published."""

    organisms: Sequence[str] = ("Homo sapiens",)
    assays: Sequence[str] = geo.ASSAYS
    minimum_samples: int = 1
    quota: int = 100


def sweep(
    start: date,
    end: date,
    registry: ProjectRegistry,
    archives: Archives,
    wanted: Wanted | None = None,
    *,
    dry_run: bool = False,
    by: str = "geo_sweep",
    release: str = "",
) -> list[Row]:
    """Register the series published from `start` to `end`, and those of the day before.

    Returns a row per series: {"series", "title", "organism", "samples", "new_samples", "action",
    "reason"}, action being registered, known, failed or left out ("would register" in a dry run).
    A failure that may pass has `again` set: the archive was down, and sweeping the days again
    mends it. New projects are for a reference release (default: the settings'). Raises
    `ArchiveError` only when the search fails.
    """
    take = _Sweep(registry, archives, wanted or Wanted(), dry_run, by, release)
    wish = take.wanted
    listed = geo.search(start - OVERLAP, end, wish.organisms, archives.ncbi, wish.assays)
    rows = [row for series in listed if series.superseries for row in take.replace(series)]
    children = [series for series in take.children if not _in(series, listed)]
    ordinary = [series for series in listed if not series.superseries]
    rows += take.all([*ordinary, *children])
    for each in rows:
        log.info("series %s: %s %s", each["series"], each["action"], each["reason"])
    return rows


class _Sweep:
    """One sweep's rules, and how many projects of each day it has taken."""

    def __init__(
        self,
        registry: ProjectRegistry,
        archives: Archives,
        wanted: Wanted,
        dry_run: bool,
        by: str,
        release: str,
    ) -> None:
        self.registry, self.archives, self.wanted = registry, archives, wanted
        self.dry_run, self.by, self.release = dry_run, by, release
        self.children: list[Series] = []
        self.taken: Counter[str] = Counter()

    def replace(self, found: Series) -> list[Row]:
        """Put a superseries' subseries in its place."""
        try:
            names = geo.subseries(found, self.archives.ncbi)
            self.children += geo.several(names, self.archives.ncbi)
        except SeqharvestError as error:
            return [_row(found) | self._failed(found, error)]
        return [_row(found) | left_out(f"superseries: taken as {', '.join(names)}")]

    def all(self, listed: Sequence[Series]) -> list[Row]:
        """Take every series, but new ones only as far as their day's quota goes."""
        known = {each.accession: self._known(each) for each in listed}
        for each in listed:
            # What an earlier sweep of the day took counts, so that sweeping again adds nothing.
            self.taken[each.published] += not _fresh(known[each.accession])
        return [_row(each) | self._one(each, known[each.accession]) for each in listed]

    def _known(self, series: Series) -> dict[str, Any] | None:
        try:
            return self.registry.project(series.accession)
        except InputError:
            return None

    def _one(self, series: Series, item: dict[str, Any] | None) -> Row:
        fresh = _fresh(item)
        if item and item.get("controlled"):
            return {"action": "known", "reason": item.get("reason", "")}  # asking again is vain
        if reason := self._unwanted(series):
            return left_out(reason)
        if fresh and self.taken[series.published] >= self.wanted.quota:
            return left_out(f"the quota of {self.wanted.quota} new projects a day is used up")
        outcome = self._take(series, known=item is not None)
        # "known": the sweep of a neighbouring day was faster.
        if fresh and outcome["action"] in ("registered", "would register", "known"):
            self.taken[series.published] += 1
        return outcome

    def _unwanted(self, series: Series) -> str:
        """Say why a series is not to be taken; what NCBI could not describe is tried."""
        if series.problem:
            return ""
        if series.sample_count < self.wanted.minimum_samples:
            return f"{series.sample_count} samples, fewer than {self.wanted.minimum_samples}"
        kinds = series.kind.lower()
        if kinds and not any(assay.lower() in kinds for assay in self.wanted.assays):
            return f"its type is {series.kind}"  # a subseries need not be like its superseries
        return ""

    def _take(self, series: Series, known: bool) -> Row:
        """Register one series; what goes wrong with it becomes its reason, not the sweep's."""
        try:
            found = resolve.resolve_series(series, self.archives, self.wanted.organisms)
            if self.dry_run:
                return _preview(found, known)
            return enrol(self.registry, found, self.archives, self.by, self.release)
        except SeqharvestError as error:
            return self._failed(series, error)

    def _failed(self, series: Series, error: SeqharvestError) -> Row:
        if self.dry_run:
            return failed(error)
        recorded = record_series_failure(self.registry, series, self.by, str(error))
        return failed(error) | recorded


def _fresh(item: Mapping[str, Any] | None) -> bool:
    """Whether a series is no project yet, or one that could never be resolved."""
    if item is None:
        return True
    return item["state"] == "failed" and item.get("failed_from") == "registered"


def _preview(found: ResolvedProject, known: bool) -> Row:
    """Say what registering would do, without doing it."""
    if found.samples:
        action = "known" if known else "would register"
        return {"action": action, "new_samples": 0 if known else len(found.samples)}
    if found.controlled:
        return {"action": "failed", "reason": f"controlled access: {found.controlled}"}
    return left_out(f"no RNA-Seq run to take: {resolve.reasons(found.left_out)}")


def _row(series: Series) -> Row:
    return row(
        series.accession, title=series.title, organism=series.organism, samples=series.sample_count
    )


def _in(series: Series, listed: Sequence[Series]) -> bool:
    return any(each.accession == series.accession for each in listed)
