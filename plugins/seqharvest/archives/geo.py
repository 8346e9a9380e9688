"""Finds GEO series through NCBI E-utilities: by date for a sweep, or one by its accession."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import httpx

from seqharvest.archives.http import ArchiveClient, NcbiSpacing, PassingError, snippet
from seqharvest.archives.model import Series
from seqharvest.errors import ArchiveError, InputError
from seqharvest.settings import settings

log = logging.getLogger(__name__)

ASSAY = "expression profiling by high throughput sequencing"
# ESearch gives up to 10,000 ids a reply; 500 keep replies small enough to lose without grief.
SEARCH_PAGE = 500
# ESummary ids travel in the address; 200 of 9 digits stay below 2,083 characters.
SUMMARY_BATCH = 200
# GEO numbers its series' uids from here: uid 200110004 is GSE110004.
SERIES_UID = 200_000_000
GSE = re.compile(r"GSE\d+")
GSM = re.compile(r"GSM\d+")
STUDY = re.compile(r"[SED]RP\d+|PRJ[A-Z]{2}\d+")


def ncbi_client() -> ArchiveClient:
    """Return a client that keeps NCBI's pace."""
    return ArchiveClient(spacing=NcbiSpacing())


def search(
    start: date, end: date, organisms: Sequence[str], client: ArchiveClient | None = None
) -> list[Series]:
    """Return the RNA-seq series published from `start` to `end`, both included.

    A series NCBI lists but cannot describe comes back with `problem` set. Raises `ArchiveError`
    when NCBI fails or its pages do not add up; an empty list means there are none.
    """
    if client is None:
        with ncbi_client() as own:
            return search(start, end, organisms, own)
    uids = list(_search_uids(_sweep_term(start, end, organisms), client))
    return [series for series in _summaries(uids, client) if series is not None]


def series(gse: str, client: ArchiveClient | None = None) -> Series:
    """Return one series by its accession.

    Raises `InputError` when GEO has no such series, `ArchiveError` when NCBI fails.
    """
    if not GSE.fullmatch(gse):
        raise InputError(f"{gse!r} is not a GEO series", "give an accession like GSE110004")
    if client is None:
        with ncbi_client() as own:
            return series(gse, own)
    uids = list(_search_uids(f"{gse}[ACCN] AND gse[ETYP]", client))
    for found in _summaries(uids, client):
        if found is not None and found.accession == gse:
            if found.problem:
                raise ArchiveError(f"NCBI cannot describe {gse}: {found.problem}", "retry later")
            return found
    raise InputError(f"GEO has no series {gse}", "check the accession; it may not be public yet")


def _sweep_term(start: date, end: date, organisms: Sequence[str]) -> str:
    parts = ["gse[ETYP]", f'"{ASSAY}"[DataSet Type]', f"{start:%Y/%m/%d}:{end:%Y/%m/%d}[PDAT]"]
    if organisms:
        names = " OR ".join(f'"{name}"[Organism]' for name in organisms)
        parts.append(f"({names})")
    return " AND ".join(parts)


def _search_uids(term: str, client: ArchiveClient) -> Iterator[str]:
    """Yield every uid of a search once; raises `ArchiveError` when pages do not reach the count."""
    seen: set[str] = set()
    place, total = 0, 1
    while place < total:
        page = {"term": term, "retstart": str(place), "retmax": str(SEARCH_PAGE)}
        total, uids = _ask("esearch", page, parse_search, client)
        if not uids and place < total:
            raise ArchiveError(
                f"NCBI's search counts {total} series but stops after {len(seen)}: {term}",
                "run the sweep of these days again",
            )
        yield from (uid for uid in uids if uid not in seen)
        seen.update(uids)
        place += len(uids)


def _summaries(uids: Sequence[str], client: ArchiveClient) -> Iterator[Series | None]:
    for first in range(0, len(uids), SUMMARY_BATCH):
        batch = uids[first : first + SUMMARY_BATCH]
        parameters = {"id": ",".join(batch)}
        found = _ask("esummary", parameters, lambda body, b=batch: parse_summaries(body, b), client)
        yield from found


def _ask(tool: str, parameters: Mapping[str, str], parse: Any, client: ArchiveClient) -> Any:
    """Ask an E-utility about db=gds; `parse` gets the checked JSON."""
    known = settings()
    identity = {
        "tool": known.ncbi_tool,
        "email": known.ncbi_email,
        "api_key": known.ncbi_api_key,
    }
    query = {"db": "gds", "retmode": "json", **parameters}
    query |= {name: value for name, value in identity.items() if value}

    def read(response: httpx.Response) -> Any:
        return parse(check_reply(response.content))

    return client.get(f"{known.eutils_url}/{tool}.fcgi", query, read)


def check_reply(body: bytes) -> dict[str, Any]:
    """Return an E-utilities JSON reply; raises `PassingError` for an error in its place.

    NCBI reports most failures with HTTP 200: as `error`, as `ERROR` in the search result, or as
    a list of texts where the summaries should be.
    """
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PassingError(f"NCBI's reply is not JSON: {snippet(body)}") from error
    if not isinstance(reply, dict):
        raise PassingError(f"NCBI's reply is not an object: {snippet(body)}")
    found = reply.get("esearchresult")
    problems = [reply.get("error"), reply.get("esummaryresult")]
    if isinstance(found, dict):
        problems.append(found.get("ERROR"))
    for problem in filter(None, problems):
        text = "; ".join(map(str, problem)) if isinstance(problem, list) else str(problem)
        raise PassingError(f"NCBI answered with an error: {snippet(text.encode(), 300)}")
    return reply


def parse_search(reply: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Return the search's total count and this page's uids; raises `ArchiveError`."""
    result = reply.get("esearchresult")
    if not isinstance(result, dict):
        raise PassingError(f"NCBI's reply has no esearchresult: {str(reply)[:160]}")
    count, uids = result.get("count"), result.get("idlist")
    if not isinstance(uids, list) or not all(_is_number(uid) for uid in uids):
        raise PassingError(f"NCBI's idlist is not a list of uids: {str(uids)[:160]}")
    if not _is_number(count):
        raise PassingError(f"NCBI's count is not a number: {str(count)[:160]}")
    return int(str(count)), [str(uid) for uid in uids]


def parse_summaries(reply: Mapping[str, Any], uids: Sequence[str]) -> list[Series | None]:
    """Return a series for each uid asked for, `None` for an entry that is not a series.

    Raises `ArchiveError` when the reply is not a list of summaries.
    """
    result = reply.get("result")
    if not isinstance(result, dict):
        raise PassingError(f"NCBI's reply has no result: {str(reply)[:160]}")
    return [_series(uid, result.get(uid)) for uid in uids]


def _series(uid: str, entry: Any) -> Series | None:
    number = int(uid) - SERIES_UID
    # Platforms are 1…, samples 3…; only 2… are series, and only these may stand in for themselves.
    guess = Series(accession=f"GSE{number}") if 0 < number < SERIES_UID // 2 else None
    if not isinstance(entry, dict):
        return guess and replace(guess, problem="NCBI left it out of its summaries")
    if entry.get("error"):
        return guess and replace(guess, problem=str(entry["error"])[:300])
    accession = str(entry.get("accession", ""))
    if entry.get("entrytype") != "GSE" or not GSE.fullmatch(accession):
        return None
    samples = entry.get("samples")
    names = [str(s.get("accession", "")) for s in _objects(samples)]
    count = entry.get("n_samples")
    return Series(
        accession=accession,
        title=str(entry.get("title", "")),
        summary=str(entry.get("summary", "")),
        organism=str(entry.get("taxon", "")),
        published=str(entry.get("pdat", "")).replace("/", "-"),
        samples=tuple(name for name in names if GSM.fullmatch(name)),
        sample_count=int(str(count)) if _is_number(count) else len(names),
        studies=_studies(entry),
    )


def _studies(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """Return where the runs are: SRA relations first, they are this series' own."""
    related = [
        str(relation.get("targetobject", ""))
        for relation in _objects(entry.get("extrelations"))
        if relation.get("relationtype") == "SRA"
    ]
    found = [name for name in (*related, str(entry.get("bioproject", ""))) if STUDY.fullmatch(name)]
    return tuple(dict.fromkeys(found))


def _objects(values: Any) -> list[dict[str, Any]]:
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


def _is_number(value: Any) -> bool:
    text = str(value)
    return text.isascii() and text.isdecimal() and len(text) < 16
