"""The Batch operators against the real local endpoint, through a task's whole life."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import Any

import boto3
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from seqharvest import batch, layout
from seqharvest.operators.batch import STORE_KEY, BatchJobOperator, SnakemakeBatchOperator
from seqharvest.settings import settings
from tests.task_run import batch_jobs, context, fired, jobs_of, sent_on  # noqa: F401

pytestmark = pytest.mark.usefixtures("batch_jobs")


def plan_of(project: str, **counts: int) -> dict[str, Any]:
    return {"manifest": layout.manifest_key("qc", project, "abc"), "digest": "abc", **counts}


def head(project: str, **counts: int) -> SnakemakeBatchOperator:
    return SnakemakeBatchOperator(task_id="run", plan=plan_of(project, **counts))


def begin(task: BatchJobOperator, about: dict[str, Any]) -> Any:
    """Execute up to the deferral, and return the trigger as the triggerer gets it."""
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(about)
    return sent_on(deferred.value.trigger)


def job_of(trigger: Any) -> dict[str, Any]:
    found: dict[str, Any] = batch.describe(boto3.client("batch"), [trigger.job_id])[trigger.job_id]
    return found


@pytest.mark.parametrize("plan", [None, {}, {"samples": 0}, plan_of("none", runs=0)])
def test_an_empty_plan_succeeds_without_a_job(plan: Any) -> None:
    result = SnakemakeBatchOperator(task_id="run", plan=plan).execute(context())
    assert result["status"] == "nothing to do"
    assert jobs_of("none") == []


def test_a_job_is_followed_with_its_log_to_its_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    key = layout.outcome_key("qc", "good", "abc")
    outcome = {"done": ["s1"], "failed": {"s2": {"reason": "too few reads"}}, "jobs": {"failed": 1}}
    boto3.client("s3").put_object(
        Bucket=settings().bucket, Key=key, Body=json.dumps(outcome).encode()
    )
    task, about = head("good"), context()
    result = task.execute_complete(about, fired(begin(task, about)))
    said = capsys.readouterr().out
    assert result["status"] == "SUCCEEDED"
    assert result["jobs"] == {"failed": 1}
    assert f"| hello from s3://{settings().bucket}/{plan_of('good')['manifest']}" in said
    assert "progress: 2 of 3 jobs done" in said
    assert "s2 failed: too few reads" in said


def test_a_succeeded_task_that_is_cleared_runs_again() -> None:
    task, about = head("again"), context()
    first = begin(task, about)
    task.execute_complete(about, fired(first))
    assert STORE_KEY not in about["task_state_store"]
    assert begin(task, about).job_id != first.job_id


@pytest.mark.parametrize("remembers", [True, False])
def test_an_interrupted_task_finds_its_job(remembers: bool) -> None:
    about = context()
    first = begin(head("slow"), about)
    if not remembers:
        about["task_state_store"].clear()
    try:
        assert begin(head("slow"), about).job_id == first.job_id
    finally:
        asyncio.run(first.on_kill())


@pytest.mark.parametrize(
    ("kinds", "hopeless"),
    [
        (["user_error"], True),
        (["user_error", "spot_reclaim"], False),
        (["workflow"], False),  # Snakemake itself stumbled, perhaps over S3
        ([], False),
    ],
)
def test_a_head_job_is_tried_again_unless_its_tools_refused_their_input(
    kinds: list[str], hopeless: bool
) -> None:
    outcome = {"done": [], "failed": {f"s{n}": {"kind": kind} for n, kind in enumerate(kinds)}}
    boto3.client("s3").put_object(
        Bucket=settings().bucket,
        Key=layout.outcome_key("qc", "wrong", "abc"),
        Body=json.dumps(outcome).encode(),
    )
    task, about = head("wrong"), context()
    event = fired(begin(task, about))
    with pytest.raises(AirflowException, match=r"exit code 1.*no such file") as failed:
        task.execute_complete(about, event)
    assert isinstance(failed.value, AirflowFailException) is hopeless


def test_killing_a_deferred_task_ends_its_head_and_workers_and_the_next_try_submits_anew() -> None:
    task, about = head("slow"), context()
    trigger = begin(task, about)
    worker = boto3.client("batch").submit_job(
        jobName=batch.worker_name(job_of(trigger)["jobName"], "s1"),
        jobQueue=settings().worker_queue,
        jobDefinition=settings().worker_job,
        containerOverrides={"command": ["sleep", "300"]},
    )["jobId"]
    late = begin(head("slow"), about)  # the new try of a cleared task was quicker than on_kill
    assert late.job_id == trigger.job_id
    asyncio.run(trigger.on_kill())
    both = [trigger.job_id, worker]
    client = boto3.client("batch")
    patience = time.monotonic() + 20  # ending a process takes its time on a busy machine
    while {job["status"] for job in batch.describe(client, both).values()} != {"FAILED"}:
        assert time.monotonic() < patience, "head and worker are still running"
        time.sleep(0.2)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute_complete(about, fired(late))
    anew = deferred.value.trigger
    assert anew.job_id != trigger.job_id
    asyncio.run(anew.on_kill())


def test_a_job_that_takes_too_long_is_ended() -> None:
    task = SnakemakeBatchOperator(
        task_id="run", plan=plan_of("slow"), execution_timeout=timedelta(seconds=1)
    )
    about = context()
    trigger = begin(task, about)
    event = fired(trigger)
    assert event["status"] == "TIMEOUT"
    with pytest.raises(AirflowException, match="ended after 0:00:01"):
        task.execute_complete(about, event)
    assert job_of(trigger)["status"] == "FAILED"


def test_an_array_goes_on_with_the_children_that_succeeded() -> None:
    task = BatchJobOperator(
        task_id="run",
        plan=plan_of("half", runs=2),
        module="seqharvest.archives.fetch",
        job_queue="worker_queue",
        job_definition="fetch_job",
        array=True,
    )
    about = context()
    result = task.execute_complete(about, fired(begin(task, about)))
    assert (result["status"], result["failed"]) == ("PARTIAL", 1)
