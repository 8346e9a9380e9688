"""The reference workflow: a release is whole and described, or refused with the reason."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from tests.snakemake_workflows.local_run import (
    Bucket,
    build_release,
    lint,
    make_bucket,
    make_demo,
    need_tools,
)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_tools()
    return make_demo(tmp_path_factory.mktemp("demo") / "series")


@pytest.fixture
def bucket(tmp_path: Path, demo: Path) -> Bucket:
    return make_bucket(tmp_path / "bucket", demo)


def test_the_reference_workflow_is_lint_and_format_clean() -> None:
    assert lint("reference") == []


def test_a_release_describes_every_object_it_holds(bucket: Bucket, demo: Path) -> None:
    ended = build_release(bucket, demo)
    assert ended.returncode == 0, ended.stdout
    release = bucket.path("reference/release=demo-1")
    described = json.loads((release / "release.json").read_text())

    for name in (
        "genome.fa",
        "genes.gtf",
        "transcripts.fa",
        "tx2gene.tsv",
        "star.tar",
        "salmon.tar",
    ):
        data = (release / name).read_bytes()
        promised = {"md5": hashlib.md5(data).hexdigest(), "size": len(data)}
        assert described["objects"][name] == promised
    gtf = (demo / "reference/genes.gtf").read_text().splitlines()
    assert described["counts"]["exons"] == sum("\texon\t" in line for line in gtf)
    assert described["tools"] == {"gffread": "0.12.7", "star": "2.7.10b", "salmon": "1.10.1"}
    # 376,807 bases: log2 / 2 - 1 = 8.26, where STAR's default of 14 would crash.
    assert described["parameters"]["genomeSAindexNbases"] == 8
    with tarfile.open(release / "star.tar") as archive:
        assert {"SA", "SAindex", "Genome"} <= set(archive.getnames())


def test_a_gtf_contig_that_the_fasta_lacks_is_named_or_dropped_and_reported(
    bucket: Bucket, demo: Path
) -> None:
    gtf = bucket.path("genes.gtf")
    stray = 'chrUn\ttest\texon\t1\t9\t.\t+\t.\tgene_id "g"; transcript_id "t";\n'
    gtf.write_text(stray + (demo / "reference/genes.gtf").read_text())
    config = {"fasta": str(demo / "reference/genome.fa"), "gtf": "genes.gtf"}

    refused = bucket.run("reference", "release", config)
    assert refused.returncode != 0
    assert "has 1 records on 1 contigs that the FASTA lacks: chrUn (1)" in refused.stdout
    assert "set unknown_contigs: drop" in refused.stdout

    built = bucket.run("reference", "release", {**config, "unknown_contigs": "drop"})
    assert built.returncode == 0, built.stdout
    described = json.loads(bucket.path("reference/release=demo-1/release.json").read_text())
    assert described["dropped"] == [{"why": "contig not in FASTA", "contig": "chrUn", "records": 1}]
    assert "chrUn" not in bucket.path("reference/release=demo-1/genes.gtf").read_text()


def test_a_wrong_option_is_named(bucket: Bucket) -> None:
    config = {"fasta": "genome.fa", "gtf": "genes.gtf", "unknown_contigs": "ignore"}
    ended = bucket.run("reference", "release", config)
    assert ended.returncode != 0
    assert "'ignore' is not one of ['error', 'drop']" in ended.stdout
