"""The Batch executor, run by the real Snakemake against real S3 and Batch endpoints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.batch_endpoint import REPO, BatchEndpoint
from tests.conftest import Aws

SNAKEFILE = Path(__file__).parent / "chain" / "workflow" / "Snakefile"
PROFILE = REPO / "snakemake_workflows" / "profiles" / "batch"


@dataclass
class Head:
    """A Snakemake run as the head job would run it: same prefix, so the same work, every time."""

    aws: Aws
    batch: BatchEndpoint
    queue: str
    folder: Path
    name: str

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

    def start(self) -> subprocess.Popen[str]:
        path = f"{REPO}/snakemake_workflows"
        return subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), *self.options()],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

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
def head(aws: Aws, batch: BatchEndpoint, tmp_path: Path) -> Head:
    return Head(aws, batch, batch.new_queue(), tmp_path, f"test-{uuid.uuid4().hex[:8]}")


def test_a_sample_s_chain_is_one_job_whose_intermediates_never_reach_s3(head: Head) -> None:
    head.prepare("a", "b")
    code, output = head.run()
    assert code == 0, output
    jobs = head.batch.jobs(head.queue)
    assert [job["status"] for job in jobs] == ["SUCCEEDED"] * 2
    (array,) = head.batch.submits(head.queue)
    assert array["jobName"].startswith(f"{head.name}--sample-array-")
    assert head.stored() == {
        f"sample={sample}/{name}" for sample in "ab" for name in ("trim.txt", "count.txt")
    } | {f"logs/sample={sample}/align.log" for sample in "ab"}
    everything = head.aws.client("s3").list_objects_v2(Bucket=head.aws.bucket)["Contents"]
    assert not [item["Key"] for item in everything if "work/" in item["Key"]]
    assert (
        "seqharvest progress submitted=2 attached=0 running=0 done=2 failed=0 skipped=0 total=2"
        in output
    )
    container = jobs[0]["container"]
    needs = {need["type"]: need["value"] for need in container["resourceRequirements"]}
    assert needs == {"VCPU": "1", "MEMORY": "150"}
    # trim and count take the profile's default runtime of 120 minutes, align its own 5; an array
    # rounds up by less than an eighth.
    exactly = (120 + 5 + 120) * 60
    assert exactly <= jobs[0]["timeout"]["attemptDurationSeconds"] < exactly * 9 / 8

    assert head.run()[0] == 0
    assert len(head.batch.jobs(head.queue)) == 2, "a second run submits nothing"

    key = f"{head.results}/sample=a/count.txt"
    head.aws.client("s3").delete_object(Bucket=head.aws.bucket, Key=key)
    code, output = head.run()
    assert code == 0, output
    assert len(head.batch.jobs(head.queue)) == 3, "one missing output makes only its sample run"
    assert "sample=a/count.txt" in head.stored()


def test_a_failing_sample_is_told_with_its_log_while_the_others_finish(head: Head) -> None:
    head.prepare("good", "flawed")
    code, output = head.run()
    assert code == 1
    assert "sample=good/count.txt" in head.stored()
    assert "sample=flawed/count.txt" not in head.stored()
    (failure,) = head.failures
    assert failure["kind"] == "user_error"
    assert failure["wildcards"] == {"sample": "flawed"}
    assert failure["rules"] == ["align", "count", "trim"]
    assert failure["exit_code"] == 1
    assert failure["summary"].startswith("aligner: read 3 of flawed is damaged")
    assert not failure["will_retry"]
    assert "  | aligner: read 3 of flawed is damaged" in output
    assert len(head.batch.jobs(head.queue)) == 2, "a user error is not repeated"


def test_a_killed_head_finds_its_running_jobs_again(head: Head) -> None:
    head.prepare("a", "b", seconds=6)
    first = head.start()
    head.batch.wait_for(head.queue, "RUNNING", 2)
    first.kill()
    first.communicate()
    code, output = head.run()
    assert code == 0, output
    assert len(head.batch.jobs(head.queue)) == 2, "no second submit"
    assert "attached=2" in output
    assert {"sample=a/count.txt", "sample=b/count.txt"} <= head.stored()


def test_sigterm_of_the_head_ends_its_jobs(head: Head) -> None:
    head.prepare("a", "b", "c", "d", "e", "f", seconds=60)
    first = head.start()
    head.batch.wait_for(head.queue, "RUNNING", 2)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)
    assert first.returncode != 0
    head.batch.wait_for(head.queue, "FAILED", 6)
    reasons = {job["statusReason"] for job in head.batch.jobs(head.queue)}
    assert reasons == {"The workflow run was ended."}
