"""A head's Snakemake on the tests' S3 and Batch endpoints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.batch_endpoint import REPO, BatchEndpoint
from tests.conftest import Aws

CHAIN = Path(__file__).parent / "chain" / "workflow" / "Snakefile"
PROFILE = REPO / "snakemake_workflows" / "profiles" / "batch"


@dataclass
class Head:
    """A Snakemake run as the head job would run it: same prefix, so the same work, every time."""

    aws: Aws
    batch: BatchEndpoint
    queue: str
    folder: Path
    name: str

    snakefile: Path = CHAIN
    extra: dict[str, Any] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def results(self) -> str:
        return f"test/{self.name}"

    @property
    def failures(self) -> list[dict[str, Any]]:
        path = self.folder / "failures.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def prepare(self, *samples: str, seconds: float = 0) -> None:
        s3 = self.aws.client("s3")
        rows = "".join(f"{sample}\n" for sample in samples)
        (self.folder / "samples.tsv").write_text(f"sample\n{rows}")
        config = {
            "results": self.results,
            "samples": "samples.tsv",
            "outputs": ["trim.txt", "count.txt"],
            "seconds": seconds,
        }
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))
        for sample in samples:
            key = f"raw/project=p/sample={sample}/R1_1.fastq.gz"
            s3.put_object(Bucket=self.aws.bucket, Key=key, Body=b"@r\nA\n+\nI\n")

    def start(self, **environment: str) -> subprocess.Popen[str]:
        path = f"{REPO}/plugins:{REPO}/snakemake_workflows"
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "snakemake",
                "--snakefile",
                str(self.snakefile),
                *self.options(),
            ],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def options(self) -> list[str]:
        options = {
            "--profile": PROFILE,
            "--configfile": "config.yaml",
            "--default-storage-prefix": f"s3://{self.aws.bucket}",
            "--seqharvest-batch-job-queue": self.queue,
            "--seqharvest-batch-job-definition": "seqharvest-worker",
            "--seqharvest-batch-name-prefix": self.name,
            "--seqharvest-batch-worker-files": "samples.tsv",
            "--seqharvest-batch-failures-file": "failures.jsonl",
            "--seqharvest-batch-poll-seconds": 0.5,
            "--seqharvest-batch-scratch-dir": "$SEQHARVEST_SCRATCH",
            **self.extra,
        }
        return [str(part) for option in options.items() for part in option] + ["--", "samples"]

    def run(self) -> tuple[int, str]:
        process = self.start()
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def stored(self) -> set[str]:
        s3 = self.aws.client("s3")
        listed = s3.list_objects_v2(Bucket=self.aws.bucket, Prefix=self.results)
        return {item["Key"].removeprefix(self.results + "/") for item in listed.get("Contents", [])}


@pytest.fixture
def head(aws: Aws, batch: BatchEndpoint, tmp_path: Path) -> Iterator[Head]:
    made = Head(aws, batch, batch.new_queue(), tmp_path, f"test-{uuid.uuid4().hex[:8]}")
    yield made
    for process in made.started:
        process.kill()  # a failed test leaves its head running; ending one twice is harmless
