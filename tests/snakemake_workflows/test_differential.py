"""The jobs that run are those stock Snakemake would run: both, on the same store.

Stock is Snakemake with its own S3 storage plugin, which asks for every key by itself, on all
samples. Ours is what a head job does: the planner drops the samples that are complete, Snakemake
with our plugin runs the others from an inventory of their folders.
"""

from __future__ import annotations

import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqharvest import head
from seqharvest.inventory import complete_samples
from seqharvest.layout import raw_prefix, result_prefix
from seqharvest.workflows import Workflow
from tests.conftest import REPO, Aws

SNAKEFILE = Path(__file__).parent / "differential" / "workflow" / "Snakefile"
OUTPUTS = (
    *("report.json", "log/Log.out", "counts.tsv", "genes.tsv", "transcripts.tsv"),
    *("metrics.json", "versions.json"),
)
#: All that a good run leaves, in the order it is made.
LEFT = ("report.json", "aligned.txt", "log/Log.out", *OUTPUTS[2:])
RULES = {"trim", "align", "sort", "count", "table", "summary"}
TICK = 1.1  # S3 tells whole seconds: so long until something is newer

Jobs = set[tuple[str, str]]


@dataclass
class Project:
    """A project in the store, and both ways to run its workflow."""

    aws: Aws
    folder: Path
    fingerprint: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    name: str = field(default_factory=lambda: f"p{uuid.uuid4().hex[:8]}")

    @property
    def results(self) -> str:
        return result_prefix("chain", self.fingerprint, self.name).rstrip("/")

    @property
    def workflow(self) -> Workflow:
        return Workflow("chain", "1", OUTPUTS, {})

    def put_reads(self, *samples: str) -> None:
        for sample in samples:
            for mate in (1, 2):
                self._put(f"{raw_prefix(self.name, sample)}R1_{mate}.fastq.gz", b"@r\nA\n+\nI\n")

    def put_results(self, sample: str, names: Sequence[str] = LEFT, body: bytes = b"old\n") -> None:
        for name in names:
            self._put(f"{self.results}/sample={sample}/{name}", body)

    def delete(self, sample: str, *names: str) -> None:
        for name in names:
            key = f"{self.results}/sample={sample}/{name}"
            self.aws.client("s3").delete_object(Bucket=self.aws.bucket, Key=key)

    def stored(self) -> dict[str, str]:
        """Return the last line of every result, by sample and name."""
        s3 = self.aws.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=self.aws.bucket, Prefix=self.results
        )
        found = {}
        for item in (item for page in pages for item in page.get("Contents", [])):
            body = s3.get_object(Bucket=self.aws.bucket, Key=item["Key"])["Body"].read()
            name = item["Key"].removeprefix(f"{self.results}/sample=")
            found[name] = (body.decode().splitlines() or [""])[-1]
        return found

    def stock(self, samples: Sequence[str], *options: str, **config: object) -> Jobs:
        """Return the jobs stock Snakemake runs, or would run."""
        storage = ["--default-storage-provider", "s3"]
        return self._run(samples, [*storage, *options], config)

    def ours(self, samples: Sequence[str], *options: str, **config: object) -> Jobs:
        """Return the jobs our planner and plugin run, or would run."""
        process = self.start(samples, *options, **config)
        return _jobs(process) if process else set()

    def start(
        self, samples: Sequence[str], *options: str, **config: object
    ) -> subprocess.Popen[str] | None:
        """Start Snakemake on what the planner leaves, if anything."""
        found = complete_samples(
            self.aws.bucket, self.workflow, self.fingerprint, self.name, samples
        )
        if not found.missing:
            return None
        todo = sorted(found.missing)
        lines = head.inventory_lines(self.aws.bucket, self.results, self.name, todo)
        inventory = self.folder / f"inventory-{uuid.uuid4().hex[:8]}.tsv"
        inventory.write_text("".join(f"{line}\n" for line in lines))
        storage = [
            *("--default-storage-provider", "seqharvest-s3"),
            *("--storage-seqharvest-s3-inventory", str(inventory)),
        ]
        return self._start(todo, [*storage, *options], config)

    def _run(
        self, samples: Sequence[str], options: Sequence[str], config: Mapping[str, object]
    ) -> Jobs:
        return _jobs(self._start(samples, options, config))

    def _start(
        self, samples: Sequence[str], options: Sequence[str], config: Mapping[str, object]
    ) -> subprocess.Popen[str]:
        """Start Snakemake in a folder of its own, as every head job has."""
        here = self.folder / f"run-{uuid.uuid4().hex[:8]}"
        here.mkdir()
        (here / "samples.tsv").write_text("sample\n" + "".join(f"{name}\n" for name in samples))
        given = {
            "project": self.name,
            "results": self.results,
            "samples": "samples.tsv",
            "outputs": list(OUTPUTS),
            "word": "new",
            **config,
        }
        (here / "config.yaml").write_text(yaml.safe_dump(given))
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores", "2"),
            *("--configfile", "config.yaml", "--rerun-triggers", "mtime", "--nolock"),
            *("--keep-going", "--keep-incomplete", "--scheduler", "greedy"),
            *("--default-storage-prefix", f"s3://{self.aws.bucket}", *options, "--", "samples"),
        ]
        path = os.pathsep.join([str(REPO / "plugins"), str(REPO / "snakemake_workflows")])
        return subprocess.Popen(
            command,
            cwd=here,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _put(self, key: str, body: bytes) -> None:
        self.aws.client("s3").put_object(Bucket=self.aws.bucket, Key=key, Body=body)


def _jobs(process: subprocess.Popen[str]) -> Jobs:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return set(_told(output))


def _told(output: str) -> Iterator[tuple[str, str]]:
    """Yield rule and sample of every job in Snakemake's log; `samples` itself has no sample."""
    rule = ""
    for line in output.splitlines():
        if match := re.match(r"(?:local)?rule (\w+):", line):
            rule = match[1]
        elif rule and (match := re.match(r" +wildcards: sample=(\S+)", line)):
            yield rule, match[1]
            rule = ""


def by_sample(jobs: Jobs) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule, sample in jobs:
        found.setdefault(sample, set()).add(rule)
    return found


@pytest.fixture
def project(aws: Aws, tmp_path: Path) -> Project:
    return Project(aws, tmp_path)


#: What is done to a finished sample, a scenario a sample; reads are put after a tick of the clock.
SCENARIOS: dict[str, dict[str, Any]] = {
    "all-there": {},
    "report-deleted": {"delete": ["report.json"]},
    "middle-deleted": {"delete": ["counts.tsv"]},
    "last-deleted": {"delete": ["metrics.json"]},
    "three-levels-deleted": {"delete": ["report.json", "log/Log.out", "genes.tsv"]},
    "ends-deleted": {"delete": ["report.json", "versions.json"]},
    "intermediate-deleted": {"delete": ["aligned.txt"]},
    "intermediate-and-its-product-deleted": {"delete": ["aligned.txt", "counts.tsv"]},
    "all-but-the-last-deleted": {"delete": list(LEFT[:-1])},
    "half-made": {"delete": list(LEFT[3:])},
    "temporary-left": {"left": ["sorted.txt"]},
    "temporary-left-without-its-product": {"left": ["sorted.txt"], "delete": ["counts.tsv"]},
    "reads-newer": {"reads": True},
    "reads-newer-and-half-made": {"reads": True, "delete": list(LEFT[3:])},
    "reads-newer-and-last-deleted": {"reads": True, "delete": ["metrics.json"]},
}


def test_the_jobs_are_those_of_stock_snakemake(project: Project) -> None:
    """Nothing there, all there, and every way to be incomplete in between."""
    chance = random.Random(5)
    thinned = [f"thinned-{number}" for number in range(30)]
    samples = ["nothing-there", *SCENARIOS, *thinned]
    project.put_reads(*samples)
    for sample in samples[1:]:
        project.put_results(sample, SCENARIOS.get(sample, {}).get("left", ()))
        project.put_results(sample)
    for sample, share in zip(thinned, [0.05] * 20 + [0.4] * 10, strict=True):
        project.delete(sample, *(name for name in LEFT if chance.random() < share))
    time.sleep(TICK)
    for sample, change in SCENARIOS.items():
        project.delete(sample, *change.get("delete", ()))
        if change.get("reads"):
            project.put_reads(sample)

    stock = by_sample(project.stock(samples, "--dry-run"))
    ours = by_sample(project.ours(samples, "--dry-run"))
    assert ours == stock
    assert stock["nothing-there"] == stock["reads-newer"] == RULES
    assert "all-there" not in stock and "intermediate-deleted" not in stock
    assert any(sample in stock for sample in thinned), "the seed must thin something out"

    # A parameter that decides the results is part of their prefix: nothing is there.
    changed = dataclasses.replace(project, fingerprint=uuid.uuid4().hex[:12])
    few = samples[:3]
    assert by_sample(changed.stock(few, "--dry-run")) == dict.fromkeys(few, RULES)
    assert by_sample(changed.ours(few, "--dry-run")) == dict.fromkeys(few, RULES)


def test_an_empty_output_is_made_again_where_stock_would_keep_it(project: Project) -> None:
    """ARCHITECTURE: complete is what exists, is not empty, and is not older than its reads."""
    project.put_reads("a", "b")
    for sample, empty in (("a", "metrics.json"), ("b", "log/Log.out")):
        for name in LEFT:
            project.put_results(sample, [name], b"" if name == empty else b"old\n")
    assert project.stock(["a", "b"], "--dry-run") == set()
    assert by_sample(project.ours(["a", "b"], "--dry-run")) == {
        "a": {"summary"},
        "b": RULES,  # the trimmed reads it is made from were on a worker's disk only
    }


def test_an_output_older_than_the_reads_is_made_again_where_stock_would_keep_it(
    project: Project,
) -> None:
    """A run over new reads that died while it stored: stock sees a new report, and is content."""
    project.put_reads("a")
    project.put_results("a")
    time.sleep(TICK)
    project.put_reads("a")
    project.put_results("a", ["report.json"], b"new\n")
    assert project.stock(["a"], "--dry-run") == {("summary", "a")}
    assert by_sample(project.ours(["a"], "--dry-run")) == {"a": RULES}


def test_a_result_newer_than_what_was_made_from_it_is_kept_where_stock_would_go_on(
    project: Project,
) -> None:
    """Under one fingerprint and from the same reads, the results of two runs are the same."""
    project.put_reads("a")
    project.put_results("a")
    time.sleep(TICK)
    project.put_results("a", ["counts.tsv"])
    assert project.stock(["a"], "--dry-run") == {("table", "a"), ("summary", "a")}
    assert project.ours(["a"], "--dry-run") == set()


def test_a_run_does_what_stock_does_and_the_next_one_nothing(aws: Aws, tmp_path: Path) -> None:
    """Really run: whatever is above a job that ran is made anew, whether it was there or not."""
    samples = ["nothing-there", "all-there", "report-deleted", "last-deleted", "reads-newer"]
    found = {}
    for who in ("stock", "ours"):
        (tmp_path / who).mkdir()
        project = Project(aws, tmp_path / who)
        project.put_reads(*samples)
        for sample in samples[1:]:
            project.put_results(sample)
        time.sleep(TICK)
        project.delete("report-deleted", "report.json")
        project.delete("last-deleted", "metrics.json")
        project.put_reads("reads-newer")
        run = getattr(project, who)
        jobs = run(samples)
        found[who] = by_sample(jobs), project.stored()
        assert run(samples) == set(), f"{who}: nothing is left to do"
    assert found["ours"] == found["stock"]
    jobs, stored = found["ours"]
    assert jobs == {
        "nothing-there": RULES,
        "report-deleted": RULES,
        "reads-newer": RULES,
        "last-deleted": {"summary"},
    }
    for sample, wrote in (("report-deleted", "new"), ("reads-newer", "new"), ("all-there", "old")):
        assert {stored[f"{sample}/{name}"] for name in LEFT} == {wrote}, sample
    assert not [name for name in stored if name.endswith("sorted.txt")], "temp() is removed"


def test_a_killed_run_is_finished_by_the_next_one(project: Project) -> None:
    samples = ["a", "b", "c"]
    project.put_reads(*samples)
    process = project.start(samples, pause=0.3)
    assert process is not None
    end = time.monotonic() + 60
    while not 4 <= len(project.stored()) < 3 * len(LEFT) and time.monotonic() < end:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    half = project.stored()
    assert 4 <= len(half) < 3 * len(LEFT)
    assert project.ours(samples, "--dry-run") == project.stock(samples, "--dry-run")
    assert project.ours(samples) >= {("summary", "a"), ("summary", "b"), ("summary", "c")}
    assert {name.partition("/")[2] for name in project.stored()} == set(LEFT)
    assert project.ours(samples) == set()
