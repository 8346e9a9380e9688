"""Runs a workflow with the real tools and Snakemake's local executor, on the demo's data."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
TOOLS = ("fastp", "fastqc", "STAR", "salmon", "gffread")
PROJECT = "GSE900001"
RELEASE = "demo-1"
#: A workflow's results for the tests' project.
RESULTS = "{}/fingerprint=f/project=" + PROJECT


class Bucket:
    """A folder with the data bucket's layout."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        return self.root / key

    def sample(self, workflow: str, sample: str) -> Path:
        return self.root / RESULTS.format(workflow) / f"sample={sample}"

    def run(
        self, workflow: str, target: str, config: dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        """Run Snakemake to its end; its whole output is in `stdout`."""
        given = self.root / f"{workflow}.yaml"
        given.write_text(yaml.safe_dump({"release": RELEASE, **config}))
        return subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", target, "--cores", "2", "--keep-going"),
                *(
                    "--snakefile",
                    REPO / "snakemake_workflows" / workflow / "workflow" / "Snakefile",
                ),
                *("--configfile", given, "--show-failed-logs", "--scheduler", "greedy"),
            ],
            cwd=self.root,
            env=_environment(self.root),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def run_samples(
        self,
        workflow: str,
        sheet: list[tuple[str, str, str, str]],
        target: str = "samples",
        **more: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a per-sample workflow on the rows of a sheet."""
        rows = [("sample", "layout", "runs", "strandedness"), *sheet]
        (self.root / "samples.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
        config = {
            "project": PROJECT,
            "fingerprint": "f",
            "results": RESULTS.format(workflow),
            "samples": "samples.tsv",
            **more,
        }
        return self.run(workflow, target, config)


def _environment(root: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{REPO / 'plugins'}:{REPO}",
        "SEQHARVEST_REFERENCE_CACHE": str(root / "cache"),
    }


def need_tools() -> None:
    """Skip where the bioinformatics tools are not installed."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: run `make setup` (local/setup.sh)")


def make_demo(folder: Path) -> Path:
    """Generate the demo's series: reads, reference and truth."""
    ended = subprocess.run(
        [sys.executable, "-m", "local.demo_data", folder],
        cwd=REPO,
        env=_environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return folder


def make_bucket(root: Path, demo: Path) -> Bucket:
    """Lay the demo's reads out as fetching would."""
    root.mkdir(parents=True, exist_ok=True)
    with (demo / "samples.csv").open() as handle:
        for row in csv.DictReader(handle):
            folder = root / f"raw/project={PROJECT}/sample={row['experiment']}"
            folder.mkdir(parents=True, exist_ok=True)
            for mate in (1, 2):
                if row[f"fastq_{mate}"]:
                    source = demo / row[f"fastq_{mate}"]
                    (folder / f"{row['run']}_{mate}.fastq.gz").symlink_to(source)
    return Bucket(root)


def build_release(bucket: Bucket, demo: Path) -> subprocess.CompletedProcess[str]:
    """Build the demo's reference release into the bucket."""
    reference = demo / "reference"
    config = {"fasta": str(reference / "genome.fa"), "gtf": str(reference / "genes.gtf")}
    return bucket.run("reference", "release", config)


def truth(demo: Path, name: str) -> dict[str, list[dict[str, str]]]:
    """A table of the demo's truth, by sample."""
    rows = defaultdict(list)
    with (demo / "truth" / f"{name}.tsv").open() as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            rows[row["sample"]].append(row)
    return rows


def lint(workflow: str) -> list[str]:
    """What `snakemake --lint` and `snakefmt --check` have to say; nothing, when all is well."""
    home = REPO / "snakemake_workflows" / workflow
    bin_folder = Path(sys.executable).parent
    said = []
    for command, clean in (
        ([str(bin_folder / "snakemake"), "--lint"], "in a good condition"),
        ([str(bin_folder / "snakefmt"), "--check", str(home)], "would be left unchanged"),
    ):
        ended = subprocess.run(
            command,
            cwd=home,
            env=_environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if ended.returncode != 0 or clean not in ended.stdout:
            said.append(ended.stdout)
    return said
