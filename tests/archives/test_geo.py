"""GEO through E-utilities: the history's pages, summaries, and entries NCBI cannot describe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.archives import eutils, geo, soft
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


def _search(count: int) -> Reply:
    found = {"count": str(count), "idlist": [], "webenv": "MCID_1", "querykey": "1"}
    return Reply(json.dumps({"esearchresult": found}).encode())


def _summary(entries: Mapping[str, object]) -> Reply:
    return Reply(json.dumps({"result": {"uids": list(entries), **entries}}).encode())


def _gse(number: int, **changes: object) -> dict[str, object]:
    return {"accession": f"GSE{number}", "entrytype": "GSE", "n_samples": 2, **changes}


def test_a_series_has_its_samples_and_study(
    archive: ArchiveServer, client: ArchiveClient, data: Path
) -> None:
    recorded = json.loads((data / "api/ffq/GSE93374_summary.txt").read_bytes())
    entries = recorded.get("result", recorded)
    archive.serve("/eutils/esearch.fcgi", _search(1))
    archive.serve("/eutils/esummary.fcgi", _summary({"200093374": entries["200093374"]}))
    found = geo.series("GSE93374", client)
    assert (found.organism, found.published) == ("Mus musculus", "2017-01-31")
    assert (len(found.samples), found.sample_count) == (11, 11)
    assert found.studies == ("SRP096361", "PRJNA360829")
    assert not found.superseries


def test_a_summary_keeps_its_unicode_and_counts_what_ncbi_does_not_list(
    archive: ArchiveServer, client: ArchiveClient, data: Path
) -> None:
    name = "esummary_GSE226260_longcovid_331samples_2gpl_sra.json"
    body = (data / "api/gds" / name).read_bytes()
    archive.serve("/eutils/esearch.fcgi", _search(1))
    archive.serve("/eutils/esummary.fcgi", Reply(body))
    found = geo.series("GSE226260", client)
    assert (found.sample_count, len(found.samples), found.studies[0]) == (331, 3, "SRP424803")
    assert found.summary == json.loads(body)["result"]["200226260"]["summary"]


def test_every_page_of_a_kept_search_is_read(
    archive: ArchiveServer, client: ArchiveClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(geo, "SUMMARY_PAGE", 2)
    archive.serve("/eutils/esearch.fcgi", _search(5))
    archive.serve(
        "/eutils/esummary.fcgi",
        _summary({f"20000000{n}": _gse(n) for n in (1, 2)}),
        _summary({f"20000000{n}": _gse(n) for n in (3, 4)}),
        _summary({"200000005": _gse(5)}),
    )
    found = geo.search(DAY, DAY, ["Homo sapiens"], client)
    assert [series.accession for series in found] == ["GSE1", "GSE2", "GSE3", "GSE4", "GSE5"]
    asked = [query for path, query, _ in archive.requests]
    assert (asked[0]["usehistory"], asked[0]["retmax"]) == ("y", "0")
    assert [(q["WebEnv"], q["query_key"], q["retstart"]) for q in asked[1:]] == [
        ("MCID_1", "1", start) for start in ("0", "2", "4")
    ]


def test_a_page_that_lacks_summaries_is_asked_for_again_and_then_an_error(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    short, whole = _summary({"200000001": _gse(1)}), {"200000001": _gse(1), "200000002": _gse(2)}
    archive.serve("/eutils/esearch.fcgi", _search(2))
    archive.serve("/eutils/esummary.fcgi", short, _summary(whole))
    assert len(geo.search(DAY, DAY, [], client)) == 2
    archive.serve("/eutils/esummary.fcgi", short)
    with pytest.raises(ArchiveError, match="1 of 2 summaries"):
        geo.search(DAY, DAY, [], client)


def test_a_series_that_ncbi_cannot_describe_is_kept_with_the_reason(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", _search(4))
    entries = {
        "200000007": {"uid": "200000007", "error": "cannot get document summary"},
        "200000008": _gse(8),
        "100000570": {"accession": "GPL570", "entrytype": "GPL"},
        "200000009": None,
    }
    archive.serve("/eutils/esummary.fcgi", _summary(entries))
    failed, fine, absent = geo.search(DAY, DAY, [], client)
    assert (failed.accession, failed.problem) == ("GSE7", "cannot get document summary")
    assert (fine.accession, fine.problem) == ("GSE8", "")
    assert (absent.accession, absent.problem) == ("GSE9", "NCBI left it out of its summaries")


def test_an_unknown_series_is_the_callers_mistake(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", _search(0))
    with pytest.raises(InputError, match="no series GSE99999999"):
        geo.series("GSE99999999", client)
    with pytest.raises(InputError, match="not a GEO series"):
        geo.series("GSE1/../x", client)


def test_the_search_names_days_organisms_assays_and_who_asks(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", _search(0))
    organisms = ["Homo sapiens", "Mus musculus"]
    geo.search(date(2026, 2, 27), DAY, organisms, client, ["non-coding RNA", 'a "b'])
    query = archive.requests[0][1]
    assert "2026/02/27:2026/03/01[PDAT]" in query["term"]
    assert '("Homo sapiens"[Organism] OR "Mus musculus"[Organism])' in query["term"]
    assert '("non-coding RNA"[DataSet Type] OR "a  b"[DataSet Type])' in query["term"]
    assert (query["db"], query["tool"], query["api_key"]) == ("gds", "seqharvest", "secret-key")


def test_a_superseries_is_known_and_gives_its_subseries(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", _search(1))
    summary = "This SuperSeries is composed of the SubSeries listed below."
    archive.serve("/eutils/esummary.fcgi", _summary({"200000005": _gse(5, summary=summary)}))
    display = (
        "^SERIES = GSE5\r\n!Series_relation = SuperSeries of: GSE6\r\n"
        "!Series_relation = SuperSeries of: GSE7\r\n!Series_relation = BioProject: PRJNA1\r\n"
    )
    archive.serve("/geo", Reply(display.encode()))
    found = geo.series("GSE5", client)
    assert found.superseries and geo.subseries(found, client) == ("GSE6", "GSE7")
    archive.serve("/geo", Reply(b"^SERIES = GSE5\n"))
    with pytest.raises(ArchiveError, match="not of which series"):
        geo.subseries(found, client)


def test_a_gsm_knows_its_experiment_and_series(
    archive: ArchiveServer, client: ArchiveClient, data: Path
) -> None:
    recorded = json.loads((data / "api/ffq/GSM3717978_summary.txt").read_bytes())
    entry = {**recorded["303717978"], "gse": "130678;130680"}
    archive.serve("/eutils/esearch.fcgi", _search(1))
    archive.serve("/eutils/esummary.fcgi", _summary({"303717978": entry}))
    assert geo.sample("GSM3717978", client) == ("SRX5692097", ("GSE130678", "GSE130680"))


def test_characteristics_are_kept_to_the_letter(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    display = (
        "^SAMPLE = GSM1\n!Sample_characteristics_ch1 = tissue: naïve «T»\u2028cells, 5\u2009µM\n"
        '!Sample_characteristics_ch1 = drug: "A" = B: C\n!Sample_characteristics_ch1 = plain\n'
        "!Sample_characteristics_ch1 = drug: D\n!Sample_source_name_ch1 = spleen\n"
        "!Sample_relation = SRA: https://www.ncbi.nlm.nih.gov/sra?term=SRX1\n^SAMPLE = GSM2\n"
    )
    archive.serve("/geo", Reply(display.encode()))
    one, two = soft.samples("GSE1", client)
    assert one.described == {
        "tissue": "naïve «T»\u2028cells, 5\u2009µM",
        "drug": '"A" = B: C; D',
        "characteristics": "plain",
        "source_name": "spleen",
    }
    assert (one.experiment, two.accession, two.described) == ("SRX1", "GSM2", {})


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_a_value_or_an_archive_error(body: bytes) -> None:
    for parse in (
        lambda text: eutils.parse_search(eutils.check_reply(text)),
        lambda text: geo.parse_summaries(eutils.check_reply(text)),
        soft.parse_soft,
    ):
        try:
            parse(body)
        except ArchiveError:
            continue


@given(st.text(alphabet="^!=: \r\nSAMPLEch1_relation\u2028é", max_size=80))
def test_any_soft_is_entities_or_an_archive_error(text: str) -> None:
    try:
        found = soft.parse_soft(b"^SAMPLE = GSM1\n" + text.encode())
    except ArchiveError:
        return
    assert all(isinstance(entity.described, dict) for entity in found)


@given(JSON, JSON, JSON)
def test_any_summary_is_a_series_or_an_archive_error(one: object, two: object, key: object) -> None:
    entry = _gse(1, samples=one, extrelations=two, n_samples=key, bioproject=one, taxon=two)
    entry |= {"relations": two, "summary": one, "gdstype": key}
    reply = {"result": {"uids": ["200000001", 200000002], "200000001": entry, "200000002": one}}
    for summary in geo.parse_summaries(reply):
        found = geo._series(str(summary["uid"]), summary)
        assert found is None or geo.GSE.fullmatch(found.accession)
