"""The head job, from a manifest in S3 to the outcome in S3."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqharvest import head, workflows
from seqharvest.layout import manifest_key, outcome_key, result_prefix
from seqharvest.settings import settings
from tests.batch_endpoint import REPO, BatchEndpoint
from tests.conftest import Aws

CHAIN = REPO / "tests" / "snakemake_workflows" / "chain" / "workflow" / "Snakefile"
OUTPUTS = ("trim.txt", "count.txt")


@pytest.fixture
def queue(batch: BatchEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Make a deployment whose qc workflow is the small test chain; return its worker queue."""
    home = tmp_path / "home" / "snakemake_workflows"
    (home / "qc" / "workflow").mkdir(parents=True)
    (home / "qc" / "workflow" / "Snakefile").write_text(CHAIN.read_text())
    (home / "profiles").symlink_to(REPO / "snakemake_workflows" / "profiles")
    queue = batch.new_queue()
    monkeypatch.setenv("SEQHARVEST_HOME", str(home.parent))
    monkeypatch.setenv("SEQHARVEST_WORKER_QUEUE", queue)
    monkeypatch.setenv("SEQHARVEST_LARGE_DISK_QUEUE", "")
    monkeypatch.setenv("SEQHARVEST_SCRATCH", str(tmp_path))
    monkeypatch.setenv("SEQHARVEST_BATCH_POLL_SECONDS", "0.5")
    path = [REPO / "plugins", REPO / "snakemake_workflows", REPO]
    monkeypatch.setenv("PYTHONPATH", ":".join(map(str, path)))
    chain = dataclasses.replace(workflows.QC, outputs=OUTPUTS, defaults={})
    monkeypatch.setitem(workflows.WORKFLOWS, "qc", chain)
    settings.cache_clear()
    yield queue
    monkeypatch.undo()
    settings.cache_clear()


def put_manifest(aws: Aws, *samples: str, **changes: Any) -> tuple[str, dict[str, Any]]:
    """Store reads and a manifest as `plan_qc` would; return its URI and content."""
    s3 = aws.client("s3")
    digest = uuid.uuid4().hex[:12]
    content = {
        "stage": "qc",
        "workflow": "qc",
        "project": "p",
        "release": "demo-1",
        "fingerprint": digest,
        "bucket": aws.bucket,
        "config": {},
        "target": "samples",
        "samples": [
            {"sample": name, "layout": "single", "runs": ["R1"], "strandedness": ""}
            for name in samples
        ],
        **changes,
    }
    for name in samples:
        key = f"raw/project=p/sample={name}/R1_1.fastq.gz"
        s3.put_object(Bucket=aws.bucket, Key=key, Body=b"@r\nA\n+\nI\n")
    key = manifest_key("qc", "p", digest)
    s3.put_object(Bucket=aws.bucket, Key=key, Body=json.dumps(content).encode())
    return f"s3://{aws.bucket}/{key}", content


def outcome(aws: Aws, manifest: dict[str, Any]) -> dict[str, Any]:
    key = outcome_key("qc", "p", manifest["fingerprint"])
    return json.loads(aws.client("s3").get_object(Bucket=aws.bucket, Key=key)["Body"].read())


def test_a_manifest_becomes_worker_jobs_and_an_outcome(
    aws: Aws, queue: str, batch: BatchEndpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    uri, manifest = put_manifest(aws, "S1", "flawed2")
    assert head.main([uri]) == 0, "one complete sample is enough"
    found = outcome(aws, manifest)
    assert found["done"] == ["S1"]
    assert found["jobs"] == {
        "submitted": 2,
        "attached": 0,
        "skipped": 0,
        "succeeded": 1,
        "failed": 1,
    }
    why = found["failed"]["flawed2"]
    assert why["kind"] == "user_error"
    assert why["reason"].startswith("aligner: read 3 of flawed2 is damaged")
    assert why["log"]
    names = {job["jobName"] for job in batch.jobs(queue)}
    assert all(name.startswith(f"seqharvest-qc-p-{manifest['fingerprint']}--") for name in names)
    assert "seqharvest progress submitted=2" in capfd.readouterr().out

    assert head.main([uri]) == 0
    again = outcome(aws, manifest)
    assert again["done"] == ["S1"]
    assert again["jobs"]["submitted"] == 1, "only the failed sample runs again"
    assert again["jobs"]["skipped"] == 1


def test_the_workflow_gets_the_manifest_as_config_and_sheet(aws: Aws, tmp_path: Path) -> None:
    uri, manifest = put_manifest(aws, "S1", config={"subsample_reads": 7})
    head.prepare(head.read_manifest(uri), tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    results = result_prefix("qc", manifest["fingerprint"], "p").rstrip("/")
    assert config == {
        "project": "p",
        "release": "demo-1",
        "fingerprint": manifest["fingerprint"],
        "bucket": aws.bucket,
        "results": results,
        "samples": "samples.tsv",
        "outputs": list(workflows.QC.outputs),
        "subsample_reads": 7,
    }
    sheet = (tmp_path / "samples.tsv").read_text()
    assert sheet == "sample\tlayout\truns\tstrandedness\nS1\tsingle\tR1\t\n"


def test_a_workflow_that_cannot_start_is_every_sample_s_reason(aws: Aws, queue: str) -> None:
    uri, manifest = put_manifest(aws, "S1", config={"samples": "no-such-sheet.tsv"})
    assert head.main([uri]) == 1
    why = outcome(aws, manifest)["failed"]["S1"]
    assert why["kind"] == "workflow"
    assert "no-such-sheet.tsv" in why["reason"]


def test_nothing_to_do_is_a_success(aws: Aws, queue: str) -> None:
    uri, manifest = put_manifest(aws)
    assert head.main([uri]) == 0
    assert outcome(aws, manifest)["done"] == []


def test_a_manifest_that_is_not_there_is_told_with_its_address(
    aws: Aws, caplog: pytest.LogCaptureFixture
) -> None:
    assert head.main([f"s3://{aws.bucket}/manifests/nothing.json"]) == 2
    assert "manifests/nothing.json cannot be read" in caplog.text
    assert head.main(["/local/file.json"]) == 2


def test_ending_the_head_ends_its_workers_and_is_told(
    aws: Aws, queue: str, batch: BatchEndpoint
) -> None:
    uri, manifest = put_manifest(aws, "S1", "S2", config={"seconds": 60, "outputs": list(OUTPUTS)})
    process = subprocess.Popen([sys.executable, "-m", "seqharvest.head", uri])
    batch.wait_for(queue, "RUNNING", 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 1
    batch.wait_for(queue, "FAILED", 2)
    kinds = {why["kind"] for why in outcome(aws, manifest)["failed"].values()}
    assert kinds == {"terminated"}
