"""Which runs of an accession become samples, which are left out, and what the registry gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from seqharvest.archives import resolve
from seqharvest.archives.http import ArchiveClient
from seqharvest.archives.model import Run
from seqharvest.errors import ArchiveError, InputError
from seqharvest.registry import Registry

from .conftest import ArchiveServer, Reply

BULK = {
    "library_strategy": "RNA-Seq",
    "library_source": "TRANSCRIPTOMIC",
    "library_selection": "cDNA",
    "instrument_platform": "ILLUMINA",
    "library_layout": "PAIRED",
    "read_count": "1000",
    "base_count": "200000",
    "sra_bytes": "5000",
    "scientific_name": "Homo sapiens",
    "tax_id": "9606",
    "study_accession": "PRJNA7",
}


def row(run: str, experiment: str, **changes: str) -> dict[str, str]:
    return {**BULK, "run_accession": run, "experiment_accession": experiment, **changes}


def serve_runs(archive: ArchiveServer, *rows: dict[str, str]) -> None:
    archive.serve("/portal/filereport", Reply(json.dumps(rows).encode()))


def serve_series(archive: ArchiveServer, *entries: dict[str, Any]) -> None:
    uids = [f"200{int(entry['accession'][3:]):06d}" for entry in entries]
    found = {"esearchresult": {"count": str(len(uids)), "idlist": uids}}
    archive.serve("/eutils/esearch.fcgi", Reply(json.dumps(found).encode()))
    result = {
        uid: {"entrytype": "GSE", "n_samples": 2, "bioproject": "PRJNA7", **entry}
        for uid, entry in zip(uids, entries, strict=True)
    }
    archive.serve("/eutils/esummary.fcgi", Reply(json.dumps({"result": result}).encode()))


def test_the_runs_of_an_experiment_are_one_sample(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_runs(archive, row("SRR2", "SRX1"), row("SRR1", "SRX1"), row("SRR3", "SRX2"))
    found = resolve.resolve("PRJNA7", portal=client)
    assert [(s.sample, [r.accession for r in s.runs]) for s in found.samples] == [
        ("SRX1", ["SRR1", "SRR2"]),
        ("SRX2", ["SRR3"]),
    ]
    assert (found.project, found.source, found.taxid) == ("PRJNA7", "ena", 9606)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"library_strategy": "ATAC-seq"}, "library strategy is ATAC-seq"),
        ({"library_strategy": "miRNA-Seq"}, "library strategy is miRNA-Seq"),
        ({"library_strategy": ""}, "library strategy is not given"),
        ({"library_source": "TRANSCRIPTOMIC SINGLE CELL"}, "source is TRANSCRIPTOMIC SINGLE"),
        ({"library_source": "GENOMIC"}, "library source is GENOMIC"),
        ({"instrument_platform": "OXFORD_NANOPORE"}, "OXFORD_NANOPORE is not a short-read"),
        ({"base_count": "44000"}, "mean read is under 30"),
        ({"read_count": "0"}, "it has no reads"),
        ({"sra_bytes": ""}, "neither FASTQ nor .sra"),
    ],
)
def test_a_run_that_is_not_bulk_rna_seq_is_left_out_with_its_reason(
    changes: dict[str, str], reason: str, archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_runs(archive, row("SRR1", "SRX1"), row("SRR2", "SRX2", **changes))
    found = resolve.resolve("SRP000007", portal=client)
    assert [sample.sample for sample in found.samples] == ["SRX1"]
    (left,) = found.left_out
    assert left["run"] == "SRR2" and reason in left["reason"]


def test_mixed_layouts_in_a_sample_keep_the_larger_part_and_say_so(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    single = {"library_layout": "SINGLE", "base_count": "100000"}
    serve_runs(archive, row("SRR1", "SRX1", **single), row("SRR2", "SRX1"))
    found = resolve.resolve("PRJNA7", portal=client)
    assert [(s.layout, [r.accession for r in s.runs]) for s in found.samples] == [
        ("paired", ["SRR2"])
    ]
    assert found.left_out[0]["run"] == "SRR1"
    assert "SRX1 mixes layouts" in found.left_out[0]["reason"]


def test_a_run_stands_for_its_whole_experiment(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    one, both = [row("SRR1", "SRX1")], [row("SRR1", "SRX1"), row("SRR2", "SRX1")]
    archive.serve("/portal/filereport", *(Reply(json.dumps(rows).encode()) for rows in (one, both)))
    found = resolve.resolve("SRR1", portal=client)
    assert [query["accession"] for _, query, _ in archive.requests] == ["SRR1", "SRX1"]
    assert [run.accession for run in found.samples[0].runs] == ["SRR1", "SRR2"]
    assert found.project == "PRJNA7"


def test_runs_of_other_series_in_the_same_study_are_left_out(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    names = [{"accession": "GSM1"}, {"accession": "GSM2"}]
    serve_series(archive, {"accession": "GSE5", "title": "Mine", "samples": names})
    serve_runs(
        archive,
        row("SRR1", "SRX1", sample_alias="GSM1"),
        row("SRR2", "SRX2", experiment_alias="GSM2_r1"),
        row("SRR3", "SRX3", sample_alias="GSM3"),
    )
    found = resolve.resolve("GSE5", ncbi=client, portal=client)
    assert [sample.sample for sample in found.samples] == ["SRX1", "SRX2"]
    assert found.left_out == ({"run": "SRR3", "reason": "GSM3 is not a sample of GSE5"},)
    assert (found.project, found.source, found.title, found.study) == (
        "GSE5",
        "geo",
        "Mine",
        "PRJNA7",
    )


def test_a_study_without_content_falls_back_to_the_bioproject(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    related = [{"relationtype": "SRA", "targetobject": "SRP000005"}]
    serve_series(archive, {"accession": "GSE5", "extrelations": related})
    rows = json.dumps([row("SRR1", "SRX1")]).encode()
    archive.serve("/portal/filereport", Reply(b"", 204), Reply(rows))
    assert resolve.resolve("GSE5", ncbi=client, portal=client).study == "PRJNA7"
    archive.serve("/portal/filereport", Reply(b"", 204))
    with pytest.raises(ArchiveError, match=r"of SRP000005 or PRJNA7.*dbGaP"):
        resolve.resolve("GSE5", ncbi=client, portal=client)


def test_a_series_without_a_study_says_what_to_do(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(archive, {"accession": "GSE5", "bioproject": ""})
    with pytest.raises(ArchiveError, match=r"GSE5 to no SRA study.*register its study"):
        resolve.resolve("GSE5", ncbi=client, portal=client)


@pytest.mark.parametrize("accession", ["", "GPL570", "GSE1/x", "../SRP1", "SRPX", "SRR", "😀"])
def test_what_is_no_accession_is_told_so_without_a_request(
    accession: str, archive: ArchiveServer, client: ArchiveClient
) -> None:
    with pytest.raises(InputError, match="not an accession that can be resolved"):
        resolve.resolve(accession, ncbi=client, portal=client)
    assert archive.requests == []


def test_an_unknown_study_is_the_callers_mistake(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_runs(archive)
    with pytest.raises(InputError, match="no public run of SRP999999"):
        resolve.resolve("SRP999999", portal=client)


def test_registering_twice_adds_only_what_is_new(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    registry = Registry()
    rows = [row("SRR101", "SRX101", study_accession="PRJNA101")]
    serve_runs(archive, *rows, row("SRR9", "SRX9", library_strategy="WGS"))
    first = resolve.register(registry, "PRJNA101", "tester", portal=client)
    again = resolve.register(registry, "PRJNA101", "tester", portal=client)
    serve_runs(archive, *rows, row("SRR102", "SRX102"))
    later = resolve.register(registry, "PRJNA101", "tester", portal=client)
    assert [outcome["new_samples"] for outcome in (first, again, later)] == [1, 0, 1]
    assert [outcome["new_project"] for outcome in (first, again, later)] == [True, False, False]
    assert registry.project("PRJNA101")["left_out"] == [
        {"run": "SRR9", "reason": "library strategy is WGS"}
    ]
    sample = registry.samples("PRJNA101")[0]
    assert Run.from_dict(sample["runs"][0]).accession == "SRR101"


def test_an_accession_without_rna_seq_registers_nothing(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_runs(archive, row("SRR1", "SRX1", library_strategy="WGS"))
    with pytest.raises(InputError, match="1 runs: library strategy is WGS"):
        resolve.register(Registry(), "PRJNA102", "tester", portal=client)
    with pytest.raises(InputError):
        Registry().project("PRJNA102")
