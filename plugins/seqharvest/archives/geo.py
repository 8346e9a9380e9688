"""Finds GEO series through NCBI E-utilities: by date for a sweep, or by their accessions."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import httpx

from seqharvest.archives import eutils, soft
from seqharvest.archives.eutils import is_number, ncbi_client
from seqharvest.archives.http import ArchiveClient, PassingError
from seqharvest.archives.model import Series
from seqharvest.errors import ArchiveError, InputError

log = logging.getLogger(__name__)

ASSAYS = ("expression profiling by high throughput sequencing",)
# ESummary takes 500 uids as JSON; 200 keep replies small enough to lose without grief.
SUMMARY_PAGE = 200
# GEO numbers its series' uids from here: uid 200110004 is GSE110004.
SERIES_UID = 200_000_000
# Accessions of one search term; they travel in the address.
ACCESSIONS = 50
GSE = re.compile(r"GSE\d{1,9}")
GSM = re.compile(r"GSM\d{1,9}")
STUDY = re.compile(r"[SED]RP\d+|PRJ[A-Z]{2}\d+")
EXPERIMENT = re.compile(r"[SED]RX\d+")
# GEO writes this sentence itself, into every superseries.
SUPERSERIES = re.compile(r"\s*this superseries is composed of the", re.IGNORECASE)


def search(
    start: date,
    end: date,
    organisms: Sequence[str],
    client: ArchiveClient | None = None,
    assays: Sequence[str] = ASSAYS,
) -> list[Series]:
    """Return the series published from `start` to `end`, both included, of one of the assays.

    A series NCBI lists but cannot describe comes back with `problem` set. Raises `ArchiveError`
    when NCBI fails or its pages do not add up; an empty list means there are none.
    """
    if client is None:
        with ncbi_client() as own:
            return search(start, end, organisms, own, assays)
    return _find(_sweep_term(start, end, organisms, assays), client)


def series(gse: str, client: ArchiveClient | None = None) -> Series:
    """Return one series by its accession.

    Raises `InputError` when GEO has no such series, `ArchiveError` when NCBI fails.
    """
    if not GSE.fullmatch(gse):
        raise InputError(f"{gse!r} is not a GEO series", "give an accession like GSE110004")
    if client is None:
        with ncbi_client() as own:
            return series(gse, own)
    (found,) = several([gse], client)
    if not found.problem:
        return found
    if found.problem == NOT_FOUND:
        raise InputError(
            f"GEO has no series {gse}", "check the accession; it may not be public yet"
        )
    raise ArchiveError(f"NCBI cannot describe {gse}: {found.problem}", "retry later")


NOT_FOUND = "GEO does not find it; it may not be public yet"


def several(accessions: Sequence[str], client: ArchiveClient) -> list[Series]:
    """Return a series for each accession, with `problem` set where GEO has none to show."""
    known: dict[str, Series] = {}
    for first in range(0, len(accessions), ACCESSIONS):
        part = accessions[first : first + ACCESSIONS]
        term = " OR ".join(f"{gse}[ACCN]" for gse in part)
        known |= {found.accession: found for found in _find(f"({term}) AND gse[ETYP]", client)}
    return [known.get(gse) or Series(gse, problem=NOT_FOUND) for gse in accessions]


def subseries(found: Series, client: ArchiveClient) -> tuple[str, ...]:
    """Return the series that a superseries consists of; raises `ArchiveError` if none is told."""
    children = found.subseries or soft.subseries(found.accession, client)
    if not children:
        raise ArchiveError(
            f"GEO says {found.accession} is a superseries, but not of which series",
            "register its subseries by hand",
        )
    return children


def sample(gsm: str, client: ArchiveClient) -> tuple[str, tuple[str, ...]]:
    """Return a GEO sample's SRA experiment ("" if none is told) and the series it belongs to.

    Raises `InputError` when GEO has no such sample, `ArchiveError` when NCBI fails.
    """
    term = f"{gsm}[ACCN] AND gsm[ETYP]"
    for entry in _entries(term, client):
        if entry.get("accession") == gsm:
            related = [name for name in _related(entry) if EXPERIMENT.fullmatch(name)]
            numbers = re.findall(r"\d{1,9}", str(entry.get("gse", "")))
            return (related[0] if related else ""), tuple(f"GSE{number}" for number in numbers)
    raise InputError(f"GEO has no sample {gsm}", "check the accession; it may not be public yet")


def _sweep_term(start: date, end: date, organisms: Sequence[str], assays: Sequence[str]) -> str:
    parts = ["gse[ETYP]", f"{start:%Y/%m/%d}:{end:%Y/%m/%d}[PDAT]"]
    for field, wanted in (("DataSet Type", assays), ("Organism", organisms)):
        # A quote cannot be escaped in a term.
        names = [f'"{name.replace(chr(34), " ").strip()}"[{field}]' for name in wanted]
        if names:
            parts.append(f"({' OR '.join(names)})")
    return " AND ".join(parts)


def _find(term: str, client: ArchiveClient) -> list[Series]:
    found = [_series(str(entry["uid"]), entry) for entry in _entries(term, client)]
    unique = {each.accession: each for each in found if each is not None}
    return list(unique.values())


def _entries(term: str, client: ArchiveClient) -> list[dict[str, Any]]:
    """Return the summaries a term finds; each has its `uid`."""
    pages = eutils.everything(
        "gds", term, "esummary", client, _read, size=SUMMARY_PAGE, parameters={"retmode": "json"}
    )
    return [entry for page in pages for entry in page]


def _read(response: httpx.Response, expected: int) -> list[dict[str, Any]]:
    entries = parse_summaries(eutils.check_reply(response.content))
    if len(entries) != expected:
        raise PassingError(f"NCBI's page has {len(entries)} of {expected} summaries")
    return entries


def parse_summaries(reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the summary of each uid of a reply; one that NCBI could not make has an `error`.

    Raises `ArchiveError` when the reply is not a list of summaries.
    """
    result = reply.get("result")
    if not isinstance(result, dict):
        raise PassingError(f"NCBI's reply has no result: {str(reply)[:160]}")
    uids = result.get("uids")
    if not isinstance(uids, list) or not all(is_number(uid) for uid in uids):
        raise PassingError(f"NCBI's uids are not a list of numbers: {str(uids)[:160]}")
    absent = {"error": "NCBI left it out of its summaries"}
    entries = {str(uid): result.get(str(uid)) for uid in uids}
    return [
        {**(entry if isinstance(entry, dict) else absent), "uid": uid}
        for uid, entry in entries.items()
    ]


def _series(uid: str, entry: Mapping[str, Any]) -> Series | None:
    """Return a summary's series; `None` for a platform, a sample or a dataset."""
    if entry.get("error"):
        number = int(uid) - SERIES_UID
        # Platforms are 1…, samples 3…; only 2… are series, and only these may stand in.
        guess = Series(f"GSE{number}") if 0 < number < SERIES_UID // 2 else None
        return guess and replace(guess, problem=str(entry["error"])[:300])
    accession = str(entry.get("accession", ""))
    if entry.get("entrytype") != "GSE" or not GSE.fullmatch(accession):
        return None
    names = [str(s.get("accession", "")) for s in _objects(entry.get("samples"))]
    count = entry.get("n_samples")
    summary, children = str(entry.get("summary", "")), _subseries(entry)
    return Series(
        accession=accession,
        title=str(entry.get("title", "")),
        summary=summary,
        organism=str(entry.get("taxon", "")),
        kind=str(entry.get("gdstype", "")),
        published=str(entry.get("pdat", "")).replace("/", "-"),
        samples=tuple(name for name in names if GSM.fullmatch(name)),
        sample_count=int(str(count)) if is_number(count) else len(names),
        studies=_studies(entry),
        superseries=bool(children or SUPERSERIES.match(summary)),
        subseries=children,
    )


def _studies(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where the runs are: SRA relations first, they are this series' own."""
    names = (*_related(entry), str(entry.get("bioproject", "")))
    return tuple(dict.fromkeys(name for name in names if STUDY.fullmatch(name)))


def _related(entry: Mapping[str, Any]) -> list[str]:
    return [
        str(relation.get("targetobject", ""))
        for relation in _objects(entry.get("extrelations"))
        if relation.get("relationtype") == "SRA"
    ]


def _subseries(entry: Mapping[str, Any]) -> tuple[str, ...]:
    named = [
        str(relation.get("targetobject", ""))
        for relation in _objects(entry.get("relations"))
        if str(relation.get("relationtype", "")).lower().startswith("superseries of")
    ]
    return tuple(dict.fromkeys(name for name in named if GSE.fullmatch(name)))


def _objects(values: Any) -> list[dict[str, Any]]:
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []
