"""Adds to samples what GEO and BioSample know of them, as given and in our words."""

from __future__ import annotations

import logging
from dataclasses import replace

from seqharvest.archives import biosample, geo, soft
from seqharvest.archives.harmonise import harmonise
from seqharvest.archives.http import ArchiveClient
from seqharvest.archives.model import ResolvedProject, ResolvedSample, Run
from seqharvest.errors import ArchiveError

log = logging.getLogger(__name__)


def describe(found: ResolvedProject, ncbi: ArchiveClient) -> ResolvedProject:
    """Return the project with its samples' metadata; `problem` says what could not be had.

    GEO's characteristics where the project is a series, BioSample's attributes for the rest:
    GEO hands its characteristics on to BioSample, so asking both would tell nothing new.
    """
    given: dict[str, dict[str, str]] = {}
    problems = []
    try:
        if geo.GSE.fullmatch(found.project):
            given |= _from_geo(found, ncbi)
    except ArchiveError as error:
        problems.append(str(error))
    rest = [each for each in found.samples if each.sample not in given]
    try:
        told = biosample.attributes({_biosample(each) for each in rest}, ncbi)
        given |= {each.sample: told.get(_biosample(each), {}) for each in rest}
    except ArchiveError as error:
        problems.append(str(error))
    if problems:
        log.warning("project %s: metadata not complete: %s", found.project, "; ".join(problems))
    samples = (
        each if problems and each.sample not in given else _described(each, given[each.sample])
        for each in found.samples
    )
    return replace(found, samples=tuple(samples), problem="; ".join(problems))


def gsm(run: Run) -> str:
    """Return the GEO sample a run says it belongs to, or an empty string."""
    for name in ("sample_alias", "experiment_alias"):
        match = geo.GSM.match(run.metadata.get(name, ""))
        if match:
            return match.group()
    return ""


def _from_geo(found: ResolvedProject, ncbi: ArchiveClient) -> dict[str, dict[str, str]]:
    described = {}
    for entity in soft.samples(found.project, ncbi):
        described[entity.accession] = entity.described
        described[entity.experiment or entity.accession] = entity.described
    by_sample = {
        each.sample: described.get(each.sample) or described.get(gsm(each.runs[0]))
        for each in found.samples
    }
    return {sample: values for sample, values in by_sample.items() if values}


def _biosample(sample: ResolvedSample) -> str:
    return sample.runs[0].biosample


def _described(sample: ResolvedSample, given: dict[str, str]) -> ResolvedSample:
    metadata = {**sample.metadata, **given}
    return replace(sample, metadata=metadata, harmonised=harmonise(metadata))
