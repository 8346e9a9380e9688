"""The QC workflow on the demo's samples: right verdicts, one report, bad input named."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.snakemake_workflows.local_run import (
    PROJECT,
    RESULTS,
    Bucket,
    build_release,
    lint,
    make_bucket,
    make_demo,
    need_tools,
)

GOOD = ("SRX9000001", "paired", "SRR9000001,SRR9000002", "")
SINGLE = ("SRX9000003", "single", "SRR9000004", "")
BAD = ("SRX9000007", "paired", "SRR9000008", "")
TRUNCATED = ("SRX9000006", "single", "SRR9000007", "")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    need_tools()
    demo = make_demo(tmp_path_factory.mktemp("demo") / "series")
    bucket = make_bucket(tmp_path_factory.mktemp("qc"), demo)
    ended = build_release(bucket, demo)
    assert ended.returncode == 0, ended.stdout
    return bucket


def test_the_qc_workflow_is_lint_and_format_clean() -> None:
    assert lint("qc") == []


def test_a_bad_row_of_the_sheet_is_named_by_row_and_column(tmp_path: Path) -> None:
    sheet = [GOOD, ("S2", "pair", "R1", "")]
    ended = Bucket(tmp_path).run_samples("qc", sheet)
    assert ended.returncode != 0
    assert "samples.tsv row 3, column layout: 'pair' is not one of" in ended.stdout


def test_good_reads_pass_bad_reads_fail_and_a_truncated_file_stops_only_its_sample(
    bucket: Bucket,
) -> None:
    reads = bucket.path(f"raw/project={PROJECT}/sample={TRUNCATED[0]}/{TRUNCATED[2]}_1.fastq.gz")
    whole = reads.read_bytes()
    reads.unlink()
    reads.write_bytes(whole[: len(whole) // 2])

    ended = bucket.run_samples("qc", [GOOD, SINGLE, BAD, TRUNCATED])
    assert ended.returncode != 0
    assert f"{TRUNCATED[2]}_1.fastq.gz is cut off or corrupt" in ended.stdout
    for sample in (GOOD, SINGLE, BAD):
        found = {path.name for path in bucket.sample("qc", sample[0]).iterdir()}
        assert found == {
            "fastp.json",
            "fastqc.zip",
            "Log.final.out",
            "counts.parquet",
            "metrics.json",
        }
    assert not any(bucket.path("work").rglob("*.fastq")), "intermediates are left"

    ended = bucket.run_samples("qc", [GOOD, SINGLE, BAD, TRUNCATED], "report")
    assert ended.returncode == 0, ended.stdout
    report = bucket.path(RESULTS.format("qc")) / "report"
    verdicts = json.loads((report / "verdicts.json").read_text())
    assert verdicts["missing"] == [TRUNCATED[0]]
    assert verdicts["project_verdict"] == {
        "verdict": "warn",
        "reasons": ["1 of 3 samples fail", "1 sample without QC"],
    }
    assert list(verdicts["suggested_exclusions"]) == [BAD[0]]
    assert verdicts["comparison"]["left_out"] == {BAD[0]: "failed by itself"}
    assert verdicts["counts"] == {"pass": 2, "fail": 1}
    good = verdicts["samples"][GOOD[0]]
    assert (good["verdict"], good["strandedness"], good["reasons"]) == ("pass", "reverse", [])
    assert good["metrics"]["reads"] == 24_000  # both runs
    assert good["metrics"]["exonic_share"] > 0.95  # drawn from transcripts, evenly
    assert 0.7 < good["metrics"]["coverage_5_to_3"] < 1.4
    assert good["versions"] == {"fastp": "0.23.2", "fastqc": "0.11.9", "star": "2.7.10b"}
    bad = verdicts["samples"][BAD[0]]
    assert bad["verdict"] == "fail"
    assert "wrong reference" in bad["reasons"][0]
    page = (report / "multiqc_report.html").read_text()
    sections = re.findall(r'id="mqc-module-section-(\w+)"', page)
    assert sections[:4] == ["seqharvest_verdicts", "star", "fastp", "fastqc"]
    table = page[page.index('id="seqharvest_verdicts_table_table"') :]
    listed = re.findall(r'data-original-sn="(\w+)"', table[: table.index("</table>")])
    assert list(dict.fromkeys(listed)) == [BAD[0], GOOD[0], SINGLE[0]]  # failures on top
    assert "wrong reference or contamination?" in table


def test_a_sample_without_reads_is_named(bucket: Bucket) -> None:
    folder = bucket.path(f"raw/project={PROJECT}/sample=EMPTY")
    folder.mkdir()
    (folder / "R1_1.fastq.gz").write_bytes(gzip.compress(b""))
    ended = bucket.run_samples("qc", [("EMPTY", "single", "R1", "")])
    assert ended.returncode != 0
    assert "sample=EMPTY/R1_1.fastq.gz: no reads at all" in ended.stdout
