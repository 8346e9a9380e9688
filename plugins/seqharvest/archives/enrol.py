"""Writes what accessions stand for into the registry: projects, samples, and what failed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from seqharvest.archives.attributes import describe
from seqharvest.archives.http import PassingError
from seqharvest.archives.model import ResolvedProject, ResolvedSample, Series
from seqharvest.archives.resolve import Archives, reasons
from seqharvest.errors import SeqharvestError, StateConflict
from seqharvest.settings import settings

log = logging.getLogger(__name__)

# A DynamoDB item holds 400 KB; a reason takes about 100 bytes.
MOST_LEFT_OUT = 1000
#: A sample in one of these can still get a run: no job works on it, no result is of it.
OPEN = ("registered", "failed")

Row = dict[str, Any]


class ProjectRegistry(Protocol):
    """What registering needs of `seqharvest.registry.Registry`."""

    def project(self, project: str) -> dict[str, Any]:
        """Return the PROJECT item; raise `InputError` when there is none."""

    def samples(self, project: str) -> list[dict[str, Any]]:
        """Return the project's SAMPLE items."""

    def register_project(
        self, project: str, *, by: str, source: str, title: str, organism: str, **fields: Any
    ) -> bool:
        """Return True when the project is new."""

    def register_sample(
        self,
        project: str,
        sample: str,
        *,
        by: str,
        layout: str,
        runs: list[dict[str, Any]],
        **fields: Any,
    ) -> bool:
        """Return True when the sample is new."""

    def move_project(
        self, project: str, to: str, *, by: str, why: str = "", **fields: Any
    ) -> Mapping[str, Any]:
        """Move the project to another state."""

    def move_sample(
        self, project: str, sample: str, to: str, *, by: str, why: str = "", **fields: Any
    ) -> Mapping[str, Any]:
        """Move the sample to another state."""


def row(name: str, **values: Any) -> Row:
    """Return a line of the table of what became of each series or accession."""
    texts = dict.fromkeys(("title", "organism", "action", "reason"), "")
    return {"series": name, **texts, "samples": 0, "new_samples": 0, **values}


def left_out(reason: str) -> Row:
    """Return the part of a row that says why something was left."""
    return {"action": "left out", "reason": reason}


def failed(error: SeqharvestError) -> Row:
    """Return the part of a row that says what failed; `again` when it may pass by itself."""
    found: Row = {"action": "failed", "reason": str(error)}
    return found | {"again": True} if isinstance(error, PassingError) else found


def enrol(
    registry: ProjectRegistry, found: ResolvedProject, archives: Archives, by: str, release: str
) -> Row:
    """Register a resolved project and its samples; of what is known already, add what is new.

    Returns a row's `action`, `reason`, `samples` and `new_samples`. A project whose runs are all
    under controlled access is recorded as failed, and marked; one without RNA-Seq is left out.
    """
    if found.controlled and not found.samples:
        reason = f"controlled access: {found.controlled}"
        about = {"controlled": found.controlled, "study": found.study, "taxid": found.taxid}
        return record_failure(
            registry, found.project, by, reason, found.source, found.title, found.organism, **about
        )
    if not found.samples:
        return left_out(f"no RNA-Seq run to take: {reasons(found.left_out)}")
    new_project = registry.register_project(
        found.project,
        by=by,
        source=found.source,
        title=found.title,
        organism=found.organism,
        release=release or settings().release,
        taxid=found.taxid,
        study=found.study,
        **_remarks(found),
    )
    known = {} if new_project else {s["sample"]: s for s in registry.samples(found.project)}
    found = _described(registry, found, known, archives, by, new_project)
    new = [_put_sample(registry, found, sample, known, by) for sample in found.samples]
    notes = [note for _, note in new if note]
    if found.problem:
        notes.append(f"metadata not complete: {found.problem}")
    count = sum(is_new for is_new, _ in new)
    log.info(
        "project %s: %d samples, %d of them new, %d runs left out",
        found.project, len(found.samples), count, len(found.left_out),
    )  # fmt: skip
    return {
        "action": "registered" if new_project else "known",
        "samples": len(found.samples),
        "new_samples": count,
        "reason": "; ".join(notes),
    }


def record_failure(
    registry: ProjectRegistry,
    project: str,
    by: str,
    reason: str,
    source: str = "geo",
    title: str = "",
    organism: str = "",
    **about: Any,
) -> Row:
    """Put what cannot be resolved on record as failed, so that nothing is dropped silently."""
    found = {"action": "failed", "reason": reason}
    try:
        new = registry.register_project(
            project, by=by, source=source, title=title, organism=organism, **about
        )
        # A project that was registered before keeps its state: its samples are not in doubt.
        if new:
            registry.move_project(project, "failed", by=by, why=reason, reason=reason)
    except SeqharvestError as error:
        log.error("project %s: cannot record its failure: %s", project, error)
        found["reason"] += f" (and the registry refused the record: {error})"
    return found


def record_series_failure(registry: ProjectRegistry, series: Series, by: str, reason: str) -> Row:
    """Put a series that cannot be resolved on record as failed."""
    return record_failure(
        registry, series.accession, by, reason, "geo", series.title, series.organism
    )


def _remarks(found: ResolvedProject) -> dict[str, Any]:
    """What the project's item says of the runs that were left."""
    return {
        "left_out": list(found.left_out[:MOST_LEFT_OUT]),
        "left_out_count": len(found.left_out),
    }


def _described(
    registry: ProjectRegistry,
    found: ResolvedProject,
    known: Mapping[str, Mapping[str, Any]],
    archives: Archives,
    by: str,
    new_project: bool,
) -> ResolvedProject:
    """Ask for the samples' metadata where some lack it, and note on the project what is new."""
    lacking = any(not known.get(each.sample, {}).get("harmonised") for each in found.samples)
    if lacking:
        found = describe(found, archives.ncbi)
    fields: dict[str, Any] = {} if new_project else _remarks(found)
    if lacking:
        fields["metadata_problem"] = found.problem or None
    if new_project and not found.problem:
        return found
    item = registry.project(found.project)
    if any(item.get(name) != value for name, value in fields.items()):
        _amend(lambda: registry.move_project(
            found.project, registry.project(found.project)["state"], by=by,
            why="registered again", **fields,
        ))  # fmt: skip
    return found


def _put_sample(
    registry: ProjectRegistry,
    found: ResolvedProject,
    sample: ResolvedSample,
    known: Mapping[str, dict[str, Any]],
    by: str,
) -> tuple[bool, str]:
    """Register a sample, or bring a known one up to date; whether it is new, and what to note."""
    about = {"metadata": sample.metadata, "harmonised": sample.harmonised}
    if sample.sample not in known:
        new = registry.register_sample(
            found.project,
            sample.sample,
            by=by,
            layout=sample.layout,
            runs=[run.as_dict() for run in sample.runs],
            title=sample.title,
            organism=sample.runs[0].organism,
            taxid=sample.taxid,
            **about,
        )
        return new, ""
    item = known[sample.sample]
    fields, note = _late_runs(item, sample)
    if sample.harmonised and not item.get("harmonised"):
        fields |= about
    if fields:
        why = note or "metadata added"
        _amend(lambda: registry.move_sample(
            found.project, sample.sample, item["state"], by=by, why=why, **fields
        ))  # fmt: skip
    return False, note


def _late_runs(item: Mapping[str, Any], sample: ResolvedSample) -> tuple[dict[str, Any], str]:
    """Return what changes for runs that came after a sample was registered, and a note of them.

    They join a sample that nothing works on yet. Later, that would change reads, QC or results
    under a job or a reviewer, so they are recorded as `late_runs` and the sample stays as it is.
    """
    there = {run["accession"] for run in item.get("runs", [])}
    late = [run for run in sample.runs if run.accession not in there]
    noted = {run["accession"] for run in item.get("late_runs", [])}
    names = ", ".join(run.accession for run in late)
    if not late or item.get("owned_by"):
        return {}, ""
    if item["layout"] != sample.layout or item["state"] not in OPEN:
        if noted >= {run.accession for run in late}:
            return {}, ""
        why = f"{names} came when {sample.sample} was {item['state']}: recorded, not added"
        return {"late_runs": [run.as_dict() for run in late]}, why
    added = [*item.get("runs", []), *(run.as_dict() for run in late)]
    return {"runs": added}, f"{names} added to {sample.sample}"


def _amend(write: Any) -> None:
    """Write to an item that another may be moving; the next registering brings what was lost."""
    try:
        write()
    except StateConflict as error:
        log.warning("not amended now: %s", error)
