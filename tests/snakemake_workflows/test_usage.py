"""What jobs used: measured on real processes, kept in S3, told beside what they asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_plugin_seqharvest_batch import usage
from tests.conftest import Aws
from tests.snakemake_workflows.batch_head import Head

#: Holds 120 MB, writes 30 MB, computes for half a second, in a grandchild.
HUNGRY = """
import os, time
held = b"x" * 120_000_000
with open("scratch.bin", "wb") as file:
    file.write(os.urandom(30_000_000))
    file.flush(); os.fsync(file.fileno())
end = time.process_time() + 0.5
while time.process_time() < end: pass
time.sleep(0.5)
os.remove("scratch.bin")
"""
ABOUT = {
    "label": "sample",
    "rules": ["fastp", "star"],
    "wildcards": {"sample": "S1"},
    "attempt": 1,
    "asked": {"vcpus": 2, "memory": 500, "timeout": 600, "gpus": 0, "disk": 100, "queue": ""},
}


def place(aws: Aws) -> str:
    return f"s3://{aws.bucket}/bundles/{uuid.uuid4().hex[:8]}"


def stored(aws: Aws, uri: str) -> dict[str, Any]:
    key = uri.removeprefix(f"s3://{aws.bucket}/")
    content: dict[str, Any] = json.loads(
        aws.client("s3").get_object(Bucket=aws.bucket, Key=key)["Body"].read()
    )
    return content


def test_a_job_s_time_memory_and_disk_are_those_of_all_its_processes(
    aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BATCH_JOB_ID", "job-1")
    where = usage.uri(place(aws), "run--sample-1")
    shell = f"{sys.executable} -c '{HUNGRY}'; true"
    # This process's other children, the tests' servers, are counted as well.
    ours = sum(map(usage._resident, usage._tree(os.getpid()))) // usage.MIB
    with usage.measured(where, ABOUT, folder=tmp_path):
        subprocess.run(["sh", "-c", shell], cwd=tmp_path, check=True)
    found = stored(aws, where)
    assert found["asked"] == ABOUT["asked"]
    assert found["job_id"] == "job-1"
    assert found["exit_code"] == 0
    assert 0.5 <= found["cpu_seconds"] <= found["wall_seconds"] + 0.5
    assert ours / 2 + 114 <= found["memory"] < ours + 500
    assert 28 <= found["disk"] <= 32, "the peak, though the file is gone at the end"


def test_a_failing_job_is_measured_and_still_fails(aws: Aws, tmp_path: Path) -> None:
    where = usage.uri(place(aws), "run--sample-1")
    with pytest.raises(SystemExit) as end, usage.measured(where, ABOUT, folder=tmp_path):
        sys.exit(3)
    assert end.value.code == 3
    assert stored(aws, where)["exit_code"] == 3


def test_trouble_with_the_record_is_told_and_never_fails_the_job(
    aws: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with usage.measured("s3://no-such-bucket-here/usage/x.json", ABOUT, folder=tmp_path):
        done = True
    assert done
    assert "usage of this job is not kept: " in capsys.readouterr().err


def test_the_report_sets_what_was_used_beside_what_was_asked_for(aws: Aws, tmp_path: Path) -> None:
    prefix = place(aws)
    s3 = aws.client("s3")

    def keep(name: str, asked: dict[str, int], **measured: Any) -> None:
        record = {**ABOUT, "exit_code": 0, **measured}
        record["asked"] = {**ABOUT["asked"], **asked}  # type: ignore[dict-item]
        usage._put(usage.uri(prefix, name), record, s3)

    spent = {"wall_seconds": 300.0, "cpu_seconds": 300.0, "memory": 250, "disk": 50}
    keep("run--sample-1", {}, **spent)
    keep("run--sample-2", {}, **{**spent, "wall_seconds": 100.0, "cpu_seconds": 180.0})
    keep("run--index-1", {"disk": 0, "timeout": 0}, **spent, label="index", exit_code=1)
    keep("run-2--sample-1", {}, **spent)
    keep("run--sample-3", {"disk": 40}, **spent, wildcards={"sample": "S3"})
    said: list[str] = []
    usage.report(s3, prefix, "run", path=tmp_path / "efficiency.json", say=said.append)

    title, head, index, sample = said[0].splitlines()
    assert title.startswith("What jobs asked for")
    assert head.split()[:4] == ["jobs", "failed", "hours", "vCPUs"]
    assert index.split()[:3] == ["index", "1", "1"]
    counted = "sample 3 0 0.19 2 56% 500 250 50% 100 50 75% 10 5 39%"
    assert " ".join(sample.split()) == counted, "another run's jobs are not counted"
    assert said[1:] == [
        "sample sample=S3: used 50 MiB of disk and asked for 40: its host may have run out; "
        "raise disk_mb"
    ]
    content = json.loads((tmp_path / "efficiency.json").read_text())
    assert [row["label"] for row in content["rows"]] == ["index", "sample"]
    assert content["rows"][1]["vcpu_share"] == pytest.approx(780 / 1400, abs=0.001)
    assert content["more_disk_than_asked"] == said[1:]


def test_no_records_or_no_bucket_is_no_trouble_for_the_run(aws: Aws, tmp_path: Path) -> None:
    said: list[str] = []
    usage.report(aws.client("s3"), place(aws), "run", say=said.append)
    assert said == []
    usage.report(aws.client("s3"), "s3://no-such-bucket-here/x", "run", say=said.append)
    assert len(said) == 1
    assert said[0].startswith("No efficiency report: ")


def test_a_run_ends_with_what_its_jobs_used(head: Head) -> None:
    head.prepare("a", "b", seconds=1)
    code, output = head.run()
    assert code == 0, output
    assert "What jobs asked for and what they used of it" in output
    content = json.loads((head.folder / "efficiency.json").read_text())
    (row,) = content["rows"]
    assert (row["label"], row["jobs"], row["failed"], row["memory"]) == ("sample", 2, 0, 150)
    assert row["minutes_peak"] > 0
    assert row["memory_peak"] > 50, "Snakemake's own is in it"
