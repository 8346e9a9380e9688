"""Turns an accession into a project: its RNA-Seq samples, and each run left out with the reason."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

from seqharvest.archives import ena, geo
from seqharvest.archives.http import ArchiveClient, NoContentError
from seqharvest.archives.model import ResolvedProject, ResolvedSample, Run, Series
from seqharvest.errors import ArchiveError, InputError
from seqharvest.settings import settings

log = logging.getLogger(__name__)

STUDY = geo.STUDY
EXPERIMENT = re.compile(r"[SED]RX\d+")
BIOSAMPLE = re.compile(r"SAM[NED][A-Z]?\d+|[SED]RS\d+")

# Short-read platforms: STAR and salmon as we run them are wrong for long reads.
SHORT_READ_PLATFORMS = frozenset({"ILLUMINA", "BGISEQ", "DNBSEQ", "ELEMENT", "ULTIMA"})
# Below this mean length a read rarely spans a junction: small-RNA libraries, mostly.
SHORTEST_READ = 30
# A DynamoDB item holds 400 KB; a reason takes about 100 bytes.
MOST_LEFT_OUT = 1000


class ProjectRegistry(Protocol):
    """What registering needs of `seqharvest.registry.Registry`."""

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


def resolve(
    accession: str,
    *,
    ncbi: ArchiveClient | None = None,
    portal: ArchiveClient | None = None,
) -> ResolvedProject:
    """Look an accession up: a GEO series, a study, a biosample, an experiment or a run.

    A run stands for its whole experiment, since an experiment is one sample. Raises `InputError`
    when the accession is unknown or malformed, `ArchiveError` when an archive fails.
    """
    accession = accession.strip()
    if geo.GSE.fullmatch(accession):
        return resolve_series(geo.series(accession, ncbi), portal)
    if STUDY.fullmatch(accession):
        return _project(accession, "ena", _known_runs(accession, portal))
    if ena.RUN.fullmatch(accession):
        accession = _known_runs(accession, portal)[0].experiment or accession
    elif not (EXPERIMENT.fullmatch(accession) or BIOSAMPLE.fullmatch(accession)):
        raise InputError(
            f"{accession[:80]!r} is not an accession that can be resolved",
            "give a GEO series (GSE…), a study (PRJ…, SRP…, ERP…, DRP…), a sample (SAM…, SRS…),"
            " an experiment (SRX…) or a run (SRR…)",
        )
    runs = _known_runs(accession, portal)
    return _project(runs[0].study or accession, "ena", runs)


def resolve_series(series: Series, portal: ArchiveClient | None = None) -> ResolvedProject:
    """Resolve a series that GEO described; raises as `resolve` does."""
    if series.problem:
        raise ArchiveError(f"NCBI cannot describe {series.accession}: {series.problem}")
    if not series.studies:
        raise ArchiveError(
            f"GEO relates {series.accession} to no SRA study and no BioProject",
            "register its study (SRP… or PRJ…) by hand",
        )
    for study in series.studies:
        try:
            runs = ena.runs(study, portal)
        except NoContentError as error:
            log.warning("series %s: %s", series.accession, error)
            continue
        if runs:
            return _series_project(series, study, runs)
    raise ArchiveError(
        f"ENA has no public run of {' or '.join(series.studies)}, the study of {series.accession}",
        "they may be under controlled access (dbGaP), or not mirrored yet: register it again"
        " in some days",
    )


def register(
    registry: ProjectRegistry,
    accession: str,
    by: str,
    *,
    release: str = "",
    ncbi: ArchiveClient | None = None,
    portal: ArchiveClient | None = None,
) -> dict[str, Any]:
    """Resolve an accession and register what it stands for; doing it again adds what is new.

    Returns {"project", "new_project", "new_samples", "samples", "left_out"}. Raises `InputError`
    for an unknown accession or one without RNA-Seq, `ArchiveError` when an archive fails.
    """
    found = resolve(accession, ncbi=ncbi, portal=portal)
    if not found.samples:
        raise InputError(
            f"{accession} has no RNA-Seq run to take: {reasons(found.left_out)}",
            "register an accession that holds bulk short-read RNA-Seq",
        )
    return register_resolved(registry, found, by, release)


def register_resolved(
    registry: ProjectRegistry, found: ResolvedProject, by: str, release: str = ""
) -> dict[str, Any]:
    """Write a resolved project and its samples to the registry; what is there already stays."""
    new_project = registry.register_project(
        found.project,
        by=by,
        source=found.source,
        title=found.title,
        organism=found.organism,
        release=release or settings().release,
        taxid=found.taxid,
        study=found.study,
        left_out=list(found.left_out[:MOST_LEFT_OUT]),
        left_out_count=len(found.left_out),
    )
    new_samples = sum(
        registry.register_sample(
            found.project,
            sample.sample,
            by=by,
            layout=sample.layout,
            runs=[run.as_dict() for run in sample.runs],
            title=sample.title,
            organism=sample.runs[0].organism,
            metadata=sample.metadata,
        )
        for sample in found.samples
    )
    log.info(
        "project %s: %d samples, %d of them new, %d runs left out",
        found.project,
        len(found.samples),
        new_samples,
        len(found.left_out),
    )
    return {
        "project": found.project,
        "new_project": new_project,
        "new_samples": new_samples,
        "samples": len(found.samples),
        "left_out": len(found.left_out),
    }


def reasons(left_out: Iterable[Mapping[str, str]]) -> str:
    """Return the reasons with their counts, the most frequent first."""
    counts = Counter(entry["reason"] for entry in left_out)
    return "; ".join(f"{n} runs: {reason}" for reason, n in counts.most_common(5)) or "no runs"


def unfit(run: Run) -> str:
    """Say why a run is not bulk short-read RNA-Seq we can use; empty when it is."""
    checks = (
        (not run.experiment, "it has no experiment"),
        (run.strategy.upper() != "RNA-SEQ", f"library strategy is {run.strategy or 'not given'}"),
        (run.source.upper() != "TRANSCRIPTOMIC", f"library source is {run.source or 'not given'}"),
        (
            run.platform.upper() not in SHORT_READ_PLATFORMS,
            f"platform {run.platform or 'not given'} is not a short-read one",
        ),
        (run.selection.lower() == "size fractionation", "size-selected: small RNA"),
        (run.spots == 0, "it has no reads"),
        (not run.fastq and not run.sra_size, "neither FASTQ nor .sra is public"),
        (0 < mean_read_length(run) < SHORTEST_READ, f"mean read is under {SHORTEST_READ} bases"),
    )
    return next((reason for wrong, reason in checks if wrong), "")


def mean_read_length(run: Run) -> float:
    """Return the mean length of a read in bases, 0 when not published."""
    mates = 2 if run.layout == "paired" else 1
    return run.bases / (run.spots * mates) if run.spots else 0.0


def _known_runs(accession: str, portal: ArchiveClient | None) -> list[Run]:
    runs = ena.runs(accession, portal)
    if not runs:
        raise InputError(
            f"ENA has no public run of {accession}",
            "check the accession; it may be private, or not mirrored yet",
        )
    return runs


def _series_project(series: Series, study: str, runs: list[Run]) -> ResolvedProject:
    """Make the project of a series, without the runs of its study that are other series'."""
    own, others = runs, []
    if len(series.samples) >= series.sample_count > 0:  # else NCBI has not listed them all
        members = set(series.samples)
        others = [run for run in runs if _gsm(run) and _gsm(run) not in members]
        foreign = {run.accession for run in others}
        own = [run for run in runs if run.accession not in foreign]
    left_out = [
        {"run": run.accession, "reason": f"{_gsm(run)} is not a sample of {series.accession}"}
        for run in others
    ]
    return _project(series.accession, "geo", own, series, study, left_out)


def _gsm(run: Run) -> str:
    """Return the GEO sample a run says it belongs to, or an empty string."""
    for name in ("sample_alias", "experiment_alias"):
        match = geo.GSM.match(run.metadata.get(name, ""))
        if match:
            return match.group()
    return ""


def _project(
    project: str,
    source: Literal["geo", "ena"],
    runs: list[Run],
    series: Series | None = None,
    study: str = "",
    left_out: Iterable[dict[str, str]] = (),
) -> ResolvedProject:
    excluded = list(left_out)
    by_experiment: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.accession):
        reason = unfit(run)
        if reason:
            excluded.append({"run": run.accession, "reason": reason})
        else:
            by_experiment[run.experiment].append(run)
    samples = [_sample(name, group, excluded) for name, group in sorted(by_experiment.items())]
    described = [run for sample in samples for run in sample.runs] or runs
    organisms = Counter((run.organism, run.taxid) for run in described)
    (organism, taxid), _ = organisms.most_common(1)[0] if organisms else (("", 0), 0)
    return ResolvedProject(
        project=project,
        source=source,
        title=series.title if series else runs[0].metadata.get("study_title", ""),
        organism=organism or (series.organism if series else ""),
        taxid=taxid,
        study=study or next((run.study for run in described if run.study), ""),
        samples=tuple(samples),
        left_out=tuple(excluded),
    )


def _sample(experiment: str, runs: list[Run], left_out: list[dict[str, str]]) -> ResolvedSample:
    """Merge an experiment's runs; where layouts are mixed, the one with more bases is taken."""
    bases: Counter[str] = Counter()
    for run in runs:
        bases[run.layout] += run.bases
    layout = bases.most_common(1)[0][0]
    for run in runs:
        if run.layout != layout:
            reason = (
                f"{experiment} mixes layouts: its {layout} runs are taken, this is {run.layout}"
            )
            left_out.append({"run": run.accession, "reason": reason})
    taken = tuple(run for run in runs if run.layout == layout)
    return ResolvedSample(
        sample=experiment,
        layout=layout,
        runs=taken,
        title=taken[0].title,
        metadata=dict(taken[0].metadata),
    )
