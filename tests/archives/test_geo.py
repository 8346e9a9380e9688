"""GEO through E-utilities: paging, summaries, and entries NCBI cannot describe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.archives import geo
from seqharvest.archives.http import ArchiveClient
from seqharvest.errors import ArchiveError, InputError

from .conftest import ArchiveServer, Reply

DAY = date(2026, 3, 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def _search(count: int, uids: list[str]) -> Reply:
    return Reply(json.dumps({"esearchresult": {"count": str(count), "idlist": uids}}).encode())


def _summary(**entries: Mapping[str, object]) -> Reply:
    return Reply(
        json.dumps({"result": {uid[1:]: entry for uid, entry in entries.items()}}).encode()
    )


def test_a_series_has_its_samples_and_study(
    archive: ArchiveServer, client: ArchiveClient, data: Path
) -> None:
    archive.serve(
        "/eutils/esearch.fcgi", Reply((data / "api/ffq/GSE93374_search.txt").read_bytes())
    )
    archive.serve(
        "/eutils/esummary.fcgi", Reply((data / "api/ffq/GSE93374_summary.txt").read_bytes())
    )
    # The recorded search found 13 entries and gave one a page.
    first = _search(1, ["200093374"])
    archive.serve("/eutils/esearch.fcgi", first)
    found = geo.series("GSE93374", client)
    assert (found.study, found.organism, found.published) == (
        "SRP096361",
        "Mus musculus",
        "2017-01-31",
    )
    assert (len(found.samples), found.sample_count) == (11, 11)
    assert found.studies == ("SRP096361", "PRJNA360829")


def test_a_summary_keeps_its_unicode_and_counts_what_ncbi_does_not_list(data: Path) -> None:
    name = "esummary_GSE226260_longcovid_331samples_2gpl_sra.json"
    reply = json.loads((data / "api/gds" / name).read_bytes())
    (found,) = geo.parse_summaries(reply, ["200226260"])
    assert found is not None
    assert (found.sample_count, len(found.samples), found.study) == (331, 3, "SRP424803")
    assert found.summary == reply["result"]["200226260"]["summary"]


def test_every_page_of_a_search_is_read(archive: ArchiveServer, client: ArchiveClient) -> None:
    archive.serve(
        "/eutils/esearch.fcgi",
        _search(5, ["200000001", "200000002"]),
        _search(5, ["200000002", "200000003"]),
        _search(5, ["200000004"]),
    )
    archive.serve("/eutils/esummary.fcgi", _summary())
    found = geo.search(DAY, DAY, ["Homo sapiens"], client)
    assert [series.accession for series in found] == ["GSE1", "GSE2", "GSE3", "GSE4"]
    starts = [q["retstart"] for path, q, _ in archive.requests if path.endswith("esearch.fcgi")]
    assert starts == ["0", "2", "4"]


def test_pages_that_do_not_reach_the_count_are_an_error(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", _search(5, ["200000001"]), _search(5, []))
    with pytest.raises(ArchiveError, match="counts 5 series but stops after 1"):
        geo.search(DAY, DAY, [], client)


def test_a_series_that_ncbi_cannot_describe_is_kept_with_the_reason(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", _search(3, ["200000007", "200000008", "100000570"]))
    good = {"accession": "GSE8", "entrytype": "GSE", "n_samples": 2}
    platform = {"accession": "GPL570", "entrytype": "GPL"}
    bad = {"uid": "200000007", "error": "cannot get document summary"}
    archive.serve(
        "/eutils/esummary.fcgi", _summary(_200000007=bad, _200000008=good, _100000570=platform)
    )
    failed, fine = geo.search(DAY, DAY, [], client)
    assert (failed.accession, failed.problem) == ("GSE7", "cannot get document summary")
    assert (fine.accession, fine.problem) == ("GSE8", "")


def test_an_unknown_series_is_the_callers_mistake(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", _search(0, []))
    with pytest.raises(InputError, match="no series GSE99999999"):
        geo.series("GSE99999999", client)
    with pytest.raises(InputError, match="not a GEO series"):
        geo.series("GSE1/../x", client)


def test_the_search_names_days_organisms_and_who_asks(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", _search(0, []))
    geo.search(date(2026, 2, 27), DAY, ["Homo sapiens", "Mus musculus"], client)
    query = archive.requests[0][1]
    assert "2026/02/27:2026/03/01[PDAT]" in query["term"]
    assert '("Homo sapiens"[Organism] OR "Mus musculus"[Organism])' in query["term"]
    assert (query["db"], query["tool"], query["api_key"]) == ("gds", "seqharvest", "secret-key")


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_value_or_an_archive_error(body: bytes) -> None:
    for parse in (geo.parse_search, lambda reply: geo.parse_summaries(reply, ["200000001"])):
        try:
            parse(geo.check_reply(body))
        except ArchiveError:
            continue


@given(JSON, JSON, JSON)
def test_any_summary_is_a_series_or_an_archive_error(one: object, two: object, key: object) -> None:
    entry = {
        "accession": "GSE1",
        "entrytype": "GSE",
        "samples": one,
        "extrelations": two,
        "n_samples": key,
        "bioproject": one,
        "taxon": two,
    }
    reply = {"result": {"200000001": entry, "200000002": one}}
    found = geo.parse_summaries(reply, ["200000001", "200000002"])
    assert found[0] is not None and found[0].accession == "GSE1"
    assert geo.parse_search({"esearchresult": {"count": "1", "idlist": []}}) == (1, [])
