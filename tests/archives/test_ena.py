"""ENA filereports: real ones, odd ones, and ones that cannot be trusted."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.archives import ena
from seqharvest.archives.http import ArchiveClient
from seqharvest.archives.model import Run
from seqharvest.errors import ArchiveError

from .conftest import ArchiveServer, Reply
from .test_geo import JSON


def test_every_recorded_filereport_is_read(data: Path) -> None:
    reports = sorted((data / "api/refinebio_cassettes/ena_filereport").glob("*.tsv"))
    assert len(reports) == 68
    for report in reports:
        (run,) = ena.parse_runs(report.read_bytes())
        assert run.accession in report.name
        assert run.fastq and all(len(file.md5) == 32 and file.size > 0 for file in run.fastq)
        assert run.sra_size > 0 and len(run.sra_md5) == 32


def test_three_files_keep_their_own_md5_and_size(data: Path) -> None:
    (report,) = (data / "api/refinebio_cassettes/ena_filereport").glob("*SRR1603661*")
    (run,) = ena.parse_runs(report.read_bytes(), scheme="https")
    assert [PurePosixPath(file.url).name for file in run.fastq] == [
        "SRR1603661.fastq.gz",
        "SRR1603661_1.fastq.gz",
        "SRR1603661_2.fastq.gz",
    ]
    assert run.fastq[1].url.startswith("https://ftp.sra.ebi.ac.uk/vol1/fastq/")
    assert (run.fastq[1].md5, run.fastq[1].size) == ("502a9a482bfa5aa75865ccc0105ad13c", 6751980628)


def test_a_real_json_of_a_thousand_runs_is_read(data: Path) -> None:
    runs = ena.parse_runs((data / "api/pysradb/ena_test_verbosity_2.json").read_bytes())
    assert len(runs) == 1000
    assert (runs[0].accession, runs[0].experiment, runs[0].spots, runs[0].taxid) == (
        "ERR1190989",
        "ERX1264364",
        38883498,
        10090,
    )


def test_a_run_without_fastq_has_none(data: Path) -> None:
    (run,) = ena.parse_runs((data / "api/ffq/fastqs_empty.txt").read_bytes())
    assert (run.accession, run.fastq) == ("SRR6835844", ())


def test_the_address_in_the_open_data_bucket_follows_the_setting(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/portal/filereport", Reply(b'[{"run_accession":"SRR1","fastq_ftp":""}]'))
    (run,) = ena.runs("SRP000001", client)
    assert run.sra_url == f"{archive.url}/sra/SRR1/SRR1"
    assert archive.requests[0][1]["result"] == "read_run"


def test_a_run_survives_its_json() -> None:
    row = {
        "run_accession": "SRR1",
        "library_layout": "PAIRED",
        "fastq_ftp": "h/SRR1_1.fastq.gz;h/SRR1_2.fastq.gz",
        "fastq_md5": "a" * 32 + ";" + "b" * 32,
        "fastq_bytes": "1;2",
        "sample_title": "naïve «T» cells, 5\u2009µM",
    }
    (run,) = ena.parse_runs(json.dumps([row]).encode())
    assert run.layout == "paired" and run.title == "naïve «T» cells, 5\u2009µM"
    assert Run.from_dict(json.loads(json.dumps(run.as_dict()))) == run


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"run_accession\tfastq_ftp\tfastq_md5\nSRR1\ta;b\tx\n", "2 FASTQ, 1 md5"),
        (b"run_accession\tread_count\nSRR1\t12e3\n", "read_count='12e3'"),
        (b"run_accession\tread_count\nSRR1\nSRR2\t1\n", "line 2 has 1 of 2"),
        (b'[{"run_accession":"SRR1"},', "broken JSON"),
        (b'[{"accession":"SRR1"}]', "names no run"),
        (b'[{"run_accession":"../SRR1"}]', "names no run"),
        (b"upstream connect error", "not a filereport"),
        (b"", "not a filereport"),
    ],
)
def test_a_report_that_cannot_be_trusted_is_an_error(body: bytes, why: str) -> None:
    with pytest.raises(ArchiveError, match=why):
        ena.parse_runs(body)


@given(
    st.binary(max_size=80)
    | JSON.map(lambda value: json.dumps([value]).encode())
    | st.text(max_size=60).map(lambda text: b"run_accession\tread_count\n" + text.encode())
)
def test_any_body_is_runs_or_an_archive_error(body: bytes) -> None:
    try:
        ena.parse_runs(body)
    except ArchiveError:
        return


@given(st.dictionaries(st.sampled_from(ena.FIELDS), JSON))
def test_any_row_is_a_run_or_an_archive_error(row: dict[str, object]) -> None:
    try:
        ena.parse_runs(json.dumps([{**row, "run_accession": "SRR1"}]).encode())
    except ArchiveError:
        return
