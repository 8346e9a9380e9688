"""Which runs of an accession become samples, which are left out, and what the registry gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from seqharvest.archives import resolve
from seqharvest.archives.http import ArchiveClient
from seqharvest.archives.resolve import Archives
from seqharvest.errors import ArchiveError, InputError

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


def search(count: int) -> Reply:
    found = {"count": str(count), "webenv": "MCID_1", "querykey": "1"}
    return Reply(json.dumps({"esearchresult": found}).encode())


def serve_series(archive: ArchiveServer, *entries: dict[str, Any]) -> None:
    uids = [f"200{int(entry['accession'][3:]):06d}" for entry in entries]
    archive.serve("/eutils/esearch.fcgi", search(len(uids)))
    result: dict[str, Any] = {"uids": uids} | {
        uid: {"entrytype": "GSE", "n_samples": 2, "bioproject": "PRJNA7", **entry}
        for uid, entry in zip(uids, entries, strict=True)
    }
    archive.serve("/eutils/esummary.fcgi", Reply(json.dumps({"result": result}).encode()))


def test_the_runs_of_an_experiment_are_one_sample(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_runs(archive, row("SRR2", "SRX1"), row("SRR1", "SRX1"), row("SRR3", "SRX2"))
    found = resolve.resolve("PRJNA7", Archives(client, client))
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
    found = resolve.resolve("SRP000007", Archives(client, client))
    assert [sample.sample for sample in found.samples] == ["SRX1"]
    (left,) = found.left_out
    assert left["run"] == "SRR2" and reason in left["reason"]


def test_mixed_layouts_in_a_sample_keep_the_larger_part_and_say_so(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    single = {"library_layout": "SINGLE", "base_count": "100000"}
    serve_runs(archive, row("SRR1", "SRX1", **single), row("SRR2", "SRX1"))
    found = resolve.resolve("PRJNA7", Archives(client, client))
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
    found = resolve.resolve("SRR1", Archives(client, client))
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
    found = resolve.resolve("GSE5", Archives(client, client))
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
    assert resolve.resolve("GSE5", Archives(client, client)).study == "PRJNA7"


def serve_runinfo(archive: ArchiveServer, *runs: dict[str, str], related: int = 1) -> None:
    """After one search of GEO, answer searches of SRA with these runs."""
    names = sorted({name for run in runs for name in run})
    lines = [",".join(names), *(",".join(run.get(name, "") for name in names) for run in runs)]
    archive.serve("/eutils/esearch.fcgi", *[search(1)] * related, search(len(runs)))
    archive.serve("/eutils/efetch.fcgi", Reply("\n".join(lines).encode()))


NCBI = {
    "Experiment": "SRX1",
    "spots": "1000",
    "bases": "200000",
    "size_MB": "7",
    "LibraryStrategy": "RNA-Seq",
    "LibrarySource": "TRANSCRIPTOMIC",
    "LibraryLayout": "PAIRED",
    "Platform": "ILLUMINA",
    "SRAStudy": "SRP000005",
    "BioProject": "PRJNA7",
    "TaxID": "9606",
    "ScientificName": "Homo sapiens",
    "SampleName": "GSM1",
    "Consent": "public",
}


def test_what_ena_does_not_have_yet_comes_from_ncbi(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(archive, {"accession": "GSE5"})
    archive.serve("/portal/filereport", Reply(b"", 204))
    serve_runinfo(archive, {**NCBI, "Run": "SRR1"})
    (sample,) = resolve.resolve("GSE5", Archives(client, client)).samples
    assert (sample.sample, sample.layout, sample.runs[0].sra_mb) == ("SRX1", "paired", 7)
    assert sample.runs[0].sra_url == f"{archive.url}/sra/SRR1/SRR1"
    assert archive.requests[-2][1]["term"] == "PRJNA7"


def test_a_series_without_relations_is_found_at_ncbi_by_its_own_name(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    one = {"accession": "GSE5", "bioproject": "", "samples": [{"accession": "GSM1"}]}
    serve_series(archive, one)
    other = {"SampleName": "GSM9", "BioProject": "PRJNA9"}  # only mentions GSE5
    serve_runinfo(archive, {**NCBI, "Run": "SRR1"}, {**NCBI, **other, "Run": "SRR9"})
    found = resolve.resolve("GSE5", Archives(client, client))
    assert [sample.sample for sample in found.samples] == ["SRX1"]
    assert (found.study, archive.requests[-2][1]["term"]) == ("PRJNA7", "GSE5")


def test_a_series_that_nobody_has_runs_of_says_what_to_do(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(archive, {"accession": "GSE5", "bioproject": ""})
    archive.serve("/eutils/esearch.fcgi", search(1), search(0))
    with pytest.raises(ArchiveError, match=r"of GSE5; GEO names no study.*register it again"):
        resolve.resolve("GSE5", Archives(client, client))


def test_runs_ena_lacks_are_added_and_a_disagreement_is_kept(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    names = [{"accession": "GSM1"}, {"accession": "GSM2"}]
    serve_series(archive, {"accession": "GSE5", "samples": names})
    serve_runs(archive, row("SRR1", "SRX1", sample_alias="GSM1", library_selection=""))
    more = {"Run": "SRR2", "Experiment": "SRX2", "SampleName": "GSM2"}
    one = {"Run": "SRR1", "spots": "999", "LibrarySelection": "cDNA"}
    serve_runinfo(archive, {**NCBI, **one}, {**NCBI, **more})
    first, second = resolve.resolve("GSE5", Archives(client, client)).samples
    assert (first.runs[0].spots, first.runs[0].selection) == (1000, "cDNA")
    assert first.metadata["archives_disagree"] == "spots: ENA 1000, NCBI 999"
    assert second.sample == "SRX2" and not second.runs[0].fastq


def test_controlled_access_is_told_from_absence(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(archive, {"accession": "GSE5"})
    archive.serve("/portal/filereport", Reply(b"", 204))
    closed = {"Run": "SRR1", "dbgap_study_accession": "phs000424", "Consent": "GRU"}
    serve_runinfo(archive, {**NCBI, **closed})
    found = resolve.resolve("GSE5", Archives(client, client))
    assert (found.samples, found.controlled) == ((), "dbGaP phs000424, consent GRU")
    assert "controlled access: dbGaP phs000424" in found.left_out[0]["reason"]


def test_a_geo_sample_is_part_of_its_only_series(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    entry = {"accession": "GSM1", "entrytype": "GSM", "gse": "5"}
    entry |= {"extrelations": [{"relationtype": "SRA", "targetobject": "SRX1"}]}
    archive.serve("/eutils/esearch.fcgi", search(1))
    body = {"result": {"uids": ["300000001"], "300000001": entry}}
    archive.serve("/eutils/esummary.fcgi", Reply(json.dumps(body).encode()))
    serve_runs(archive, row("SRR1", "SRX1"))
    found = resolve.resolve("GSM1", Archives(client, client))
    assert (found.project, [s.sample for s in found.samples]) == ("GSE5", ["SRX1"])


@pytest.mark.parametrize(
    "name", ["PRJNA7", "PRJEB7", "SRP000007", "ERP000007", "DRP000007", "SRX1", "SRR1", "SAMN1"]
)
def test_accessions_of_any_kind_are_resolved(
    name: str, archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_runs(archive, row("SRR1", "SRX1"))
    found = resolve.resolve(name, Archives(client, client))
    assert [sample.sample for sample in found.samples] == ["SRX1"]


@pytest.mark.parametrize("accession", ["", "GPL570", "GSE1/x", "../SRP1", "SRPX", "SRR", "😀"])
def test_what_is_no_accession_is_told_so_without_a_request(
    accession: str, archive: ArchiveServer, client: ArchiveClient
) -> None:
    with pytest.raises(InputError, match="not an accession that can be resolved"):
        resolve.resolve(accession, Archives(client, client))
    assert archive.requests == []


def test_an_unknown_study_is_the_callers_mistake(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_runs(archive)
    archive.serve("/eutils/esearch.fcgi", search(0))
    with pytest.raises(InputError, match="has a public run of SRP999999"):
        resolve.resolve("SRP999999", Archives(client, client))
