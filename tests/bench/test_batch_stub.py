"""The Batch stub: it is Batch as far as the benchmarks look, and its jobs leave what they make."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from bench import project, stubs
from bench.stubs import Stub
from snakemake_executor_plugin_seqharvest_batch import records
from tests.batch_endpoint import BatchEndpoint
from tests.bench.conftest import client

SUMMARY = ("arrayProperties", "container", "createdAt", "jobId", "jobName", "status")


def test_it_refuses_what_the_local_endpoint_refuses(batch_stub: Stub, batch: BatchEndpoint) -> None:
    queue = batch.new_queue()
    for refused in (
        {"arrayProperties": {"size": 1}},
        {"arrayProperties": {"size": 10_001}},
    ):
        for side in (batch.client, client(batch_stub, "batch")):
            with pytest.raises(ClientError, match="ClientException"):
                _submit(side, queue, **refused)
    for side in (batch.client, client(batch_stub, "batch")):
        with pytest.raises(ClientError, match="ClientException"):
            side.describe_jobs(jobs=[str(number) for number in range(101)])
    with pytest.raises(ClientError, match="at most 8192"):
        _submit(client(batch_stub, "batch"), queue, command=["x" * 9_000])


def test_it_tells_of_jobs_as_the_local_endpoint_does(
    batch_stub: Stub, batch: BatchEndpoint
) -> None:
    queue, told = batch.new_queue(), []
    for side in (batch.client, client(batch_stub, "batch")):
        single = _submit(side, queue)
        array = _submit(side, queue, arrayProperties={"size": 3})
        ids = [single, array, f"{array}:2", "unknown", f"{array}:3"]
        end = time.monotonic() + 20
        while any(_status(side, job) not in ("SUCCEEDED", "FAILED") for job in ids[:3]):
            assert time.monotonic() < end
            time.sleep(0.1)
        jobs = side.describe_jobs(jobs=ids)["jobs"]
        assert [job["jobId"] for job in jobs] == ids[:3]
        shapes = [sorted(job.keys() & set(SUMMARY)) for job in jobs]
        summary = jobs[1]["arrayProperties"]
        listed = side.list_jobs(
            jobQueue=queue, filters=[{"name": "JOB_NAME", "values": ["PRE--*"]}]
        )["jobSummaryList"]
        children = side.list_jobs(arrayJobId=array, jobStatus="SUCCEEDED")["jobSummaryList"]
        told.append(
            (
                [job["status"] for job in jobs],
                shapes,
                summary["size"],
                {state: n for state, n in summary["statusSummary"].items() if n},
                jobs[2]["arrayProperties"],
                [job["jobId"] for job in listed] == [array, single],
                sorted(child["arrayProperties"]["index"] for child in children),
            )
        )
    assert told[0] == told[1]


def test_terminating_ends_a_child_or_all(batch_stub: Stub) -> None:
    side = client(batch_stub, "batch")
    array = _submit(side, "q", arrayProperties={"size": 2})
    side.terminate_job(jobId=f"{array}:1", reason="enough")
    child = side.describe_jobs(jobs=[f"{array}:1"])["jobs"][0]
    assert (child["status"], child["statusReason"]) == ("FAILED", "enough")
    side.terminate_job(jobId=array, reason="all")
    parent = side.describe_jobs(jobs=[array])["jobs"][0]
    assert parent["status"] == "FAILED"
    assert parent["isTerminated"]


def test_submits_above_the_rate_are_throttled(s3_stub: Stub) -> None:
    with stubs.batch(s3_stub, "--latency", 0, "--rate", 5) as limited:
        side = client(limited, "batch")
        for _ in range(5):
            _submit(side, "q")
        with pytest.raises(ClientError, match="TooManyRequestsException"):
            _submit(side, "q")
        assert limited.count() == {"SubmitJob": 6, "SubmitJob throttled": 1}


def test_jobs_that_end_have_written_their_samples_results(s3_stub: Stub, batch_stub: Stub) -> None:
    s3, side = client(s3_stub, "s3"), client(batch_stub, "batch")
    bundle = ["python", "-m", "worker", "s3://bench/bundle"]
    packed, width = records.pack([_record("A1"), _record("A2")])
    s3.put_object(Bucket="bench", Key="array", Body=packed)
    jobs = [
        _submit(side, "q", command=[*bundle, *records.inline(_record("S1"))]),
        _submit(
            side,
            "q",
            command=[*bundle, *records.array("s3://bench/array", width)],
            arrayProperties={"size": 2},
        ),
        _submit(side, "q", command=["/bin/bash", "-c", "snakemake --target-jobs 'a:sample=T1'"]),
    ]
    end = time.monotonic() + 10
    while any(_status(side, job) != "SUCCEEDED" for job in jobs):
        assert time.monotonic() < end
        time.sleep(0.1)
    for sample in ("S1", "A1", "A2", "T1"):
        for key in project.results(sample):
            assert s3.head_object(Bucket="bench", Key=key)["ContentLength"]
    work = batch_stub.ask("_work")
    assert [work[sample] for sample in ("S1", "A1", "A2", "T1")] == [1] * 4


def _record(sample: str) -> dict[str, Any]:
    return records.record(sample, ["--target-jobs", f"trim:sample={sample}"], {})


def _submit(side: Any, queue: str, command: list[str] | None = None, **more: Any) -> str:
    overrides = {"command": command or ["true", json.dumps({"x": "sample=X"})]}
    request = {"containerOverrides": overrides, **more}
    made: str = side.submit_job(
        jobName=f"pre--{uuid.uuid4().hex[:6]}",
        jobQueue=queue,
        jobDefinition="seqharvest-worker",
        **request,
    )["jobId"]
    return made


def _status(side: Any, job: str) -> str:
    status: str = side.describe_jobs(jobs=[job])["jobs"][0]["status"]
    return status
