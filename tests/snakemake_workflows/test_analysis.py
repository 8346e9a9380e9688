"""The analysis workflow on the demo's samples: tables that equal the demo's truth."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from seqharvest.lake.schemas import TABLES
from seqharvest.workflows import ANALYSIS
from tests.snakemake_workflows.local_run import (
    PROJECT,
    Bucket,
    build_release,
    lint,
    make_bucket,
    make_demo,
    need_tools,
    truth,
)

PAIRED = ("SRX9000001", "paired", "SRR9000001,SRR9000002", "reverse")
SINGLE = ("SRX9000006", "single", "SRR9000007", "reverse")
UNEQUAL = ("SRX9000004", "paired", "SRR9000005", "reverse")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_tools()
    return make_demo(tmp_path_factory.mktemp("demo") / "series")


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory, demo: Path) -> tuple[Bucket, str]:
    """The bucket after a run in which one sample had mates of different length, and its output."""
    bucket = make_bucket(tmp_path_factory.mktemp("analysis"), demo)
    built = build_release(bucket, demo)
    assert built.returncode == 0, built.stdout
    mate = bucket.path(f"raw/project={PROJECT}/sample={UNEQUAL[0]}/{UNEQUAL[2]}_2.fastq.gz")
    lines = gzip.decompress(mate.read_bytes()).splitlines(keepends=True)
    mate.unlink()
    mate.write_bytes(gzip.compress(b"".join(lines[:-4000])))
    ended = bucket.run_samples("analysis", [PAIRED, SINGLE, UNEQUAL])
    return bucket, ended.stdout


def rows(bucket: Bucket, sample: str, table: str) -> list[dict]:
    path = bucket.sample("analysis", sample) / f"{table}.parquet"
    return pq.ParquetFile(path).read().to_pylist()


def test_the_analysis_workflow_is_lint_and_format_clean() -> None:
    assert lint("analysis") == []


def test_a_sample_without_strandedness_is_named_by_row_and_column(tmp_path: Path) -> None:
    ended = Bucket(tmp_path).run_samples("analysis", [PAIRED, ("S2", "single", "R1", "")])
    assert ended.returncode != 0
    assert "samples.tsv row 3, column strandedness: '' is not one of" in ended.stdout


def test_mates_of_different_length_stop_only_their_sample(analysed: tuple[Bucket, str]) -> None:
    bucket, output = analysed
    assert f"{UNEQUAL[2]}_2.fastq.gz differ in their number of reads" in output
    assert not (bucket.sample("analysis", UNEQUAL[0]) / "versions.json").exists()


@pytest.mark.parametrize("sample", [PAIRED[0], SINGLE[0]])
def test_a_sample_leaves_exactly_its_declared_outputs(
    analysed: tuple[Bucket, str], sample: str
) -> None:
    bucket, output = analysed
    folder = bucket.sample("analysis", sample)
    assert {path.name for path in folder.iterdir()} == set(ANALYSIS.outputs), output
    for table in ("gene_quant", "transcript_quant", "junctions"):
        path = folder / f"{table}.parquet"
        assert pq.read_schema(path).names == TABLES[table].arrow.names
    tools = json.loads((folder / "versions.json").read_text())["tools"]
    assert tools == {"fastp": "0.23.2", "star": "2.7.10b", "salmon": "1.10.1"}


@pytest.mark.parametrize("sample", [PAIRED[0], SINGLE[0]])
def test_junctions_equal_the_truth(analysed: tuple[Bucket, str], demo: Path, sample: str) -> None:
    found = {
        (row["chrom"], row["intron_start"], row["intron_end"], row["strand"]): row
        for row in rows(analysed[0], sample, "junctions")
    }
    expected = {
        (row["chrom"], int(row["intron_start"]), int(row["intron_end"]), row["strand"]): row
        for row in truth(demo, "junctions")[sample]
    }
    # A junction that only few reads reach with a few bases may be missed, none may be made up.
    sure = {key for key, row in expected.items() if int(row["reads"]) >= 3}
    assert sure <= set(found) <= set(expected)
    for key, row in found.items():
        assert row["gene_id"] == expected[key]["gene_id"]
        assert row["annotated"] == (expected[key]["annotated"] == "1")
        assert row["unique_reads"] == pytest.approx(int(expected[key]["reads_star"]), abs=6)


@pytest.mark.parametrize("sample", [PAIRED[0], SINGLE[0]])
def test_gene_quantities_equal_the_truth(
    analysed: tuple[Bucket, str], demo: Path, sample: str
) -> None:
    found = {row["gene_id"]: row for row in rows(analysed[0], sample, "gene_quant")}
    expected = {row["gene_id"]: int(row["fragments"]) for row in truth(demo, "genes")[sample]}
    for gene, fragments in expected.items():
        # STAR leaves out fragments that lie on two genes.
        assert found[gene]["star_count"] == pytest.approx(fragments, rel=0.05, abs=3)
    assert sum(row["tpm"] for row in found.values()) == pytest.approx(1e6, rel=1e-4)
