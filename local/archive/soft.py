"""Answers as GEO's accession display does, in SOFT text: a series, or the samples of one."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from local.archive.catalogue import Catalogue
from local.archive.series import Run, Series

_LINK = "https://www.ncbi.nlm.nih.gov"


def soft(catalogue: Catalogue, request: Request) -> Response:
    """Reply to /geo/query/acc.cgi; an unknown accession is a web page, as GEO's is."""
    ask = request.query_params
    accession = ask.get("acc", "")
    if ask.get("form") == "text":
        for series in catalogue.series():
            lines = _lines(series, accession, ask.get("targ", "self"))
            if lines:
                return PlainTextResponse("\r\n".join(lines) + "\r\n", media_type="geo/text")
    return HTMLResponse(f"<html><body>Could not find accession {len(accession)}</body></html>")


def _lines(series: Series, accession: str, target: str) -> list[str]:
    if accession in series.samples:
        return list(_sample(series, accession, series.samples[accession]))
    if accession != series.accession:
        return []
    if target == "gsm":
        return [line for gsm, runs in series.samples.items() for line in _sample(series, gsm, runs)]
    return list(_series(series))


def _series(series: Series) -> Iterator[str]:
    yield f"^SERIES = {series.accession}"
    yield f"!Series_title = {series.title}"
    yield f"!Series_geo_accession = {series.accession}"
    yield f"!Series_summary = {series.summary}"
    for gsm in series.samples:
        yield f"!Series_sample_id = {gsm}"
    yield f"!Series_relation = BioProject: {_LINK}/bioproject/{series.bioproject}"
    yield f"!Series_relation = SRA: {_LINK}/sra?term={series.study}"


def _sample(series: Series, gsm: str, runs: list[Run]) -> Iterator[str]:
    run = runs[0]
    yield f"^SAMPLE = {gsm}"
    yield f"!Sample_title = {run.title}"
    yield f"!Sample_geo_accession = {gsm}"
    yield "!Sample_type = SRA"
    yield "!Sample_channel_count = 1"
    yield f"!Sample_source_name_ch1 = {run.characteristics.get('tissue', run.title)}"
    yield f"!Sample_organism_ch1 = {series.organism}"
    for name, value in run.characteristics.items():
        yield f"!Sample_characteristics_ch1 = {name}: {value}"
    yield "!Sample_molecule_ch1 = total RNA"
    yield f"!Sample_taxid_ch1 = {series.taxid}"
    yield "!Sample_library_strategy = RNA-Seq"
    yield f"!Sample_relation = BioSample: {_LINK}/biosample/{run.biosample}"
    yield f"!Sample_relation = SRA: {_LINK}/sra?term={run.experiment}"
    yield f"!Sample_series_id = {series.accession}"
