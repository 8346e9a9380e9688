"""What registering writes: projects and samples once, late runs, metadata, and failures."""

from __future__ import annotations

import json

import pytest

from seqharvest.archives import register
from seqharvest.archives.http import ArchiveClient
from seqharvest.archives.model import Run
from seqharvest.archives.resolve import Archives
from seqharvest.errors import InputError
from seqharvest.registry import Registry

from .conftest import ArchiveServer, Reply
from .test_resolve import NCBI, row, search, serve_runinfo, serve_runs, serve_series

BIOSAMPLES = """<?xml version="1.0"?><BioSampleSet><BioSample accession="SAMN301"><Attributes>
<Attribute attribute_name="Organ" harmonized_name="tissue">Whole lung</Attribute>
<Attribute attribute_name="gender">F</Attribute>
<Attribute attribute_name="note">naïve "T" &amp; «B», 5 µM</Attribute>
</Attributes></BioSample></BioSampleSet>"""


@pytest.fixture
def archives(aws: object, archive: ArchiveServer, client: ArchiveClient) -> Archives:
    archive.serve("/eutils/efetch.fcgi", Reply(BIOSAMPLES.encode()))
    return Archives(client, client)


def take(archives: Archives, *accessions: str) -> list[dict[str, object]]:
    return register.register(Registry(), accessions, archives, by="tester")


def test_registering_twice_adds_only_what_is_new(
    archive: ArchiveServer, archives: Archives
) -> None:
    registry = Registry()
    rows = [row("SRR101", "SRX101", study_accession="PRJNA101")]
    serve_runs(archive, *rows, row("SRR9", "SRX9", library_strategy="WGS"))
    (first,) = take(archives, "PRJNA101")
    (again,) = take(archives, "PRJNA101")
    serve_runs(archive, *rows, row("SRR102", "SRX102"))
    (later,) = take(archives, "PRJNA101")
    assert [outcome["new_samples"] for outcome in (first, again, later)] == [1, 0, 1]
    assert [o["action"] for o in (first, again, later)] == ["registered", "known", "known"]
    assert registry.project("PRJNA101")["left_out"] == []  # as it was seen last
    sample = registry.samples("PRJNA101")[0]
    assert Run.from_dict(sample["runs"][0]).accession == "SRR101"


def test_an_accession_without_rna_seq_registers_nothing(
    archive: ArchiveServer, archives: Archives
) -> None:
    serve_runs(archive, row("SRR1", "SRX1", library_strategy="WGS"))
    (outcome,) = take(archives, "PRJNA102")
    assert outcome["action"] == "left out"
    assert "1 runs: library strategy is WGS" in str(outcome["reason"])
    with pytest.raises(InputError):
        Registry().project("PRJNA102")


def test_a_late_run_joins_a_sample_that_waits_and_is_recorded_later(
    archive: ArchiveServer, archives: Archives
) -> None:
    registry, rows = Registry(), [row(f"SRR11{n}", "SRX111") for n in range(3)]
    serve_runs(archive, rows[0])
    take(archives, "PRJNA111")
    serve_runs(archive, *rows[:2])
    (joined,) = take(archives, "PRJNA111")
    assert joined["reason"] == "SRR111 added to SRX111"
    registry.move_sample("PRJNA111", "SRX111", "fetching", by="tester")
    serve_runs(archive, *rows)
    (recorded,) = take(archives, "PRJNA111")
    (again,) = take(archives, "PRJNA111")
    sample = registry.sample("PRJNA111", "SRX111")
    assert [run["accession"] for run in sample["runs"]] == ["SRR110", "SRR111"]
    assert [run["accession"] for run in sample["late_runs"]] == ["SRR112"]
    assert recorded["reason"] == "SRR112 came when SRX111 was fetching: recorded, not added"
    assert (again["reason"], sample["state"]) == ("", "fetching")


def test_metadata_is_kept_to_the_letter_and_harmonised_beside_it(
    archive: ArchiveServer, archives: Archives
) -> None:
    serve_runs(archive, row("SRR301", "SRX301", sample_accession="SAMN301"))
    take(archives, "PRJNA301")
    sample = Registry().sample("PRJNA301", "SRX301")
    assert sample["metadata"]["Organ"] == "Whole lung"
    assert sample["metadata"]["note"] == 'naïve "T" & «B», 5 µM'
    assert sample["harmonised"] == {"tissue": "lung", "sex": "female", "terms": "1"}
    assert sample["taxid"] == 9606


def test_metadata_that_could_not_be_had_is_noted_and_added_later(
    archive: ArchiveServer, archives: Archives
) -> None:
    archive.serve("/eutils/efetch.fcgi", Reply(b"", 400))
    serve_runs(archive, row("SRR311", "SRX311", sample_accession="SAMN301"))
    (first,) = take(archives, "PRJNA311")
    assert first["new_samples"] == 1 and "metadata not complete" in str(first["reason"])
    assert "HTTP 400" in Registry().project("PRJNA311")["metadata_problem"]
    archive.serve("/eutils/efetch.fcgi", Reply(BIOSAMPLES.encode()))
    (again,) = take(archives, "PRJNA311")
    assert again["new_samples"] == 0
    assert Registry().sample("PRJNA311", "SRX311")["harmonised"]["tissue"] == "lung"
    assert "metadata_problem" not in Registry().project("PRJNA311")


def test_controlled_access_is_marked_on_the_project(
    archive: ArchiveServer, archives: Archives
) -> None:
    serve_runs(archive)
    closed = {"Run": "SRR321", "dbgap_study_accession": "phs1", "Consent": "GRU"}
    serve_runinfo(archive, {**NCBI, **closed, "BioProject": "PRJNA321"}, related=0)
    (outcome,) = take(archives, "PRJNA321")
    assert outcome["action"] == "failed"
    item = Registry().project("PRJNA321")
    assert (item["state"], item["controlled"]) == ("failed", "dbGaP phs1, consent GRU")


def test_a_superseries_is_taken_as_its_subseries(
    archive: ArchiveServer, archives: Archives
) -> None:
    children = [
        {"relationtype": "SuperSeries of", "targetobject": name} for name in ("GSE332", "GSE333")
    ]
    serve_series(archive, {"accession": "GSE331", "relations": children})
    parent = archive.routes["/eutils/esummary.fcgi"][0]
    serve_series(archive, {"accession": "GSE332"})
    child = archive.routes["/eutils/esummary.fcgi"][0]
    archive.serve("/eutils/esummary.fcgi", parent, child)
    archive.serve("/geo", Reply(b"^SAMPLE = GSM1\n"))
    serve_runs(archive, row("SRR332", "SRX332"))
    rows = {str(outcome["series"]): outcome for outcome in take(archives, "GSE331")}
    assert {name: outcome["action"] for name, outcome in rows.items()} == {
        "GSE331": "replaced",
        "GSE332": "registered",
        "GSE333": "failed",
    }
    assert "may not be public yet" in Registry().project("GSE333")["reason"]


def test_by_hand_one_bad_accession_never_stops_the_others(
    archive: ArchiveServer, archives: Archives, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_runs(archive, row("SRR231", "SRX231"))
    assert register.main(["nonsense", "PRJNA231", "--by", "tester"]) == InputError.exit_code
    shown = capsys.readouterr()
    assert "'nonsense' is not an accession" in shown.err
    assert "project PRJNA231: 1 samples, 1 new" in shown.out
    assert Registry().project("PRJNA231")["state"] == "registered"
    assert register.main(["PRJNA231", "--dry-run"]) == 0
    assert "SRX231\tpaired\tSRR231" in capsys.readouterr().out


def test_a_study_that_an_archive_fails_on_is_on_record(
    archive: ArchiveServer, archives: Archives
) -> None:
    archive.serve("/portal/filereport", Reply(b"", 500))
    archive.serve("/eutils/esearch.fcgi", search(0))
    (outcome,) = take(archives, "PRJNA341")
    assert outcome["action"] == "failed" and "HTTP 500" in str(outcome["reason"])
    assert Registry().project("PRJNA341")["state"] == "failed"
    serve_runs(archive, row("SRR341", "SRX341"))
    (later,) = take(archives, "PRJNA341")
    assert later["new_samples"] == 1  # intake starts it now: it never ran
    assert json.dumps(later)  # plain values only: it becomes an XCom
