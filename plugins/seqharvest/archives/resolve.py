"""Turns an accession into a project: its RNA-Seq samples, and each run left out with the reason."""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from seqharvest.archives import ena, geo, runinfo
from seqharvest.archives.assay import unfit
from seqharvest.archives.attributes import gsm
from seqharvest.archives.eutils import ncbi_client
from seqharvest.archives.http import ArchiveClient, NoContentError
from seqharvest.archives.model import ResolvedProject, ResolvedSample, Run, Series
from seqharvest.errors import ArchiveError, InputError

log = logging.getLogger(__name__)

STUDY = geo.STUDY
EXPERIMENT = geo.EXPERIMENT
BIOSAMPLE = re.compile(r"SAM[NED][A-Z]?\d+|[SED]RS\d+")


@dataclass(frozen=True)
class Archives:
    """The clients of the archives; days of a sweep and accessions of a list share them."""

    ncbi: ArchiveClient
    portal: ArchiveClient

    @property
    def asked(self) -> str:
        """How many requests were made, by service."""
        counts = self.ncbi.asked + self.portal.asked
        parts = [f"{name} {count}" for name, count in sorted(counts.items())]
        return f"{counts.total()} requests ({', '.join(parts) or 'none'})"


@contextmanager
def open_archives() -> Iterator[Archives]:
    """Give clients for NCBI, at its pace, and for ENA's portal."""
    with ncbi_client() as ncbi, ArchiveClient() as portal:
        yield Archives(ncbi, portal)


def resolve(accession: str, archives: Archives) -> ResolvedProject:
    """Look up a GEO series or sample, a study, a biosample, an experiment or a run.

    A run stands for its whole experiment, since an experiment is one sample. Raises `InputError`
    when the accession is unknown or malformed, `ArchiveError` when an archive fails.
    """
    accession = accession.strip()
    if geo.GSE.fullmatch(accession):
        return resolve_series(geo.series(accession, archives.ncbi), archives)
    if geo.GSM.fullmatch(accession):
        return _geo_sample(accession, archives)
    if STUDY.fullmatch(accession):
        return _project(accession, "ena", _known_runs(accession, archives))
    if ena.RUN.fullmatch(accession):
        accession = _known_runs(accession, archives)[0].experiment or accession
    elif not (EXPERIMENT.fullmatch(accession) or BIOSAMPLE.fullmatch(accession)):
        raise InputError(
            f"{accession[:80]!r} is not an accession that can be resolved",
            "give a GEO series or sample (GSE…, GSM…), a study (PRJ…, SRP…, ERP…, DRP…), a sample"
            " (SAM…, SRS…), an experiment (SRX…) or a run (SRR…)",
        )
    runs = _known_runs(accession, archives)
    return _project(runs[0].study or accession, "ena", runs)


def resolve_series(
    series: Series, archives: Archives, organisms: Sequence[str] = ()
) -> ResolvedProject:
    """Resolve a series that GEO described, but no superseries; raises as `resolve` does.

    Runs of other than the wanted organisms are left out; without organisms, all are wanted.
    """
    if series.problem:
        raise ArchiveError(f"NCBI cannot describe {series.accession}: {series.problem}")
    study, runs = _from_ena(series, archives)
    if _wants_second_source(series, runs):
        theirs = _from_sra(series, study, archives)
        runs = runinfo.reconcile(runs, theirs)
        study = study or next((run.study for run in runs), "")
    if not runs:
        named = " and ".join(series.studies) or "no study"
        raise ArchiveError(
            f"neither ENA nor NCBI has a public run of {series.accession}; GEO names {named}",
            "it may not be mirrored yet: register it again in some days, or its study (SRP…, PRJ…)"
            " by hand",
        )
    return _series_project(series, study, runs, organisms)


def resolvable(text: str) -> bool:
    """Whether a text has the form of an accession that `resolve` takes."""
    kinds = (geo.GSE, geo.GSM, STUDY, EXPERIMENT, BIOSAMPLE, ena.RUN)
    return any(kind.fullmatch(text) for kind in kinds)


def reasons(left_out: Iterable[Mapping[str, str]]) -> str:
    """Return the reasons with their counts, the most frequent first."""
    counts = Counter(entry["reason"] for entry in left_out)
    return "; ".join(f"{n} runs: {reason}" for reason, n in counts.most_common(5)) or "no runs"


def _from_ena(series: Series, archives: Archives) -> tuple[str, list[Run]]:
    """Return the first of a series' studies that ENA has runs of, and these."""
    for study in series.studies:
        runs = _ena_runs(study, archives)
        if runs:
            return study, runs
    return "", []


def _ena_runs(accession: str, archives: Archives) -> list[Run]:
    try:
        return ena.runs(accession, archives.portal)
    except NoContentError as error:
        # Under controlled access, or not mirrored yet: NCBI tells which.
        log.warning("%s: %s", accession, error)
        return []


def _wants_second_source(series: Series, runs: Sequence[Run]) -> bool:
    """Whether ENA lacks runs, samples or spots that NCBI may know of."""
    samples = {gsm(run) for run in runs}
    # Without GEO's names at ENA nothing can be said of who is missing.
    missing = bool(samples - {""}) and not samples >= set(series.samples)
    return not runs or missing or any(not run.spots for run in runs)


def _from_sra(series: Series, study: str, archives: Archives) -> list[Run]:
    """Return the runs NCBI has of a series, looked up by its study, else by its own accession."""
    named = [study] if study else list(series.studies)
    for term in named:
        if runs := runinfo.runs(term, archives.ncbi):
            return runs
    runs = runinfo.mentions(series.accession, archives.ncbi)
    own = [run for run in runs if gsm(run) in series.samples]
    studies = {run.study for run in runs}
    # A text search may also find runs that merely mention the series.
    return own or (runs if len(studies) == 1 else [])


def _geo_sample(name: str, archives: Archives) -> ResolvedProject:
    """Resolve one GEO sample, as part of its series where it has only one."""
    experiment, groups = geo.sample(name, archives.ncbi)
    term = experiment or name
    runs = _ena_runs(term, archives) if experiment else []
    runs = runs or runinfo.runs(term, archives.ncbi)
    if not runs:
        raise InputError(
            f"neither ENA nor NCBI has a public run of {name}",
            "check the accession; it may be private, or not RNA-Seq",
        )
    if len(groups) == 1:
        return _project(groups[0], "geo", runs)
    return _project(runs[0].study or experiment, "ena", runs)


def _known_runs(accession: str, archives: Archives) -> list[Run]:
    runs = _ena_runs(accession, archives) or runinfo.runs(accession, archives.ncbi)
    if not runs:
        raise InputError(
            f"neither ENA nor NCBI has a public run of {accession}",
            "check the accession; it may be private, or not published yet",
        )
    return runs


def _series_project(
    series: Series, study: str, runs: list[Run], organisms: Sequence[str]
) -> ResolvedProject:
    """Make the project of a series, without the runs of its study that are other series'."""
    own, others = runs, []
    if len(series.samples) >= series.sample_count > 0:  # else NCBI has not listed them all
        members = set(series.samples)
        others = [run for run in runs if gsm(run) and gsm(run) not in members]
        foreign = {run.accession for run in others}
        own = [run for run in runs if run.accession not in foreign]
    left_out = [
        {"run": run.accession, "reason": f"{gsm(run)} is not a sample of {series.accession}"}
        for run in others
    ]
    return _project(series.accession, "geo", own, series, study, left_out, organisms)


def _project(
    project: str,
    source: Literal["geo", "ena"],
    runs: list[Run],
    series: Series | None = None,
    study: str = "",
    left_out: Iterable[dict[str, str]] = (),
    organisms: Sequence[str] = (),
) -> ResolvedProject:
    excluded = list(left_out)
    by_experiment: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.accession):
        reason = unfit(run, organisms)
        if reason:
            excluded.append({"run": run.accession, "reason": reason})
        else:
            by_experiment[run.experiment].append(run)
    samples = [_sample(name, group, excluded) for name, group in sorted(by_experiment.items())]
    described = [run for sample in samples for run in sample.runs] or runs
    kinds = Counter((run.organism, run.taxid) for run in described)
    (organism, taxid), _ = kinds.most_common(1)[0] if kinds else (("", 0), 0)
    title = next((run.metadata["study_title"] for run in runs if "study_title" in run.metadata), "")
    return ResolvedProject(
        project=project,
        source=source,
        title=series.title if series else title,
        organism=organism or (series.organism if series else ""),
        taxid=taxid,
        study=study or next((run.study for run in described if run.study), ""),
        samples=tuple(samples),
        left_out=tuple(excluded),
        controlled=_controlled(runs),
    )


def _controlled(runs: Sequence[Run]) -> str:
    """Say who controls the access to all of the runs; empty when one is public."""
    if not all(run.controlled for run in runs):
        return ""
    return "; ".join(sorted({run.controlled for run in runs}))


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
        taxid=taken[0].taxid,
        metadata=dict(taken[0].metadata),
    )
