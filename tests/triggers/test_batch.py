"""Hundreds of Batch triggers in one triggerer: few calls, and each is told its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from seqharvest import aws
from seqharvest.settings import settings
from seqharvest.triggers.batch import LOST_AFTER, BatchJobTrigger
from tests.task_run import batch_jobs, sent_on  # noqa: F401

QUEUES = ["seqharvest-head"]


@pytest.fixture
def calls(batch_jobs: Any) -> Counter[str]:  # noqa: F811
    """How often each operation of Batch and Logs is called."""
    count: Counter[str] = Counter()

    def called(model: Any, **_: Any) -> None:
        count[model.name] += 1

    for service in ("batch", "logs"):
        aws.brief_client(service).meta.events.register(f"before-call.{service}", called)
    return count


def submit(*command: str) -> str:
    job = boto3.client("batch").submit_job(
        jobName="waited-for",
        jobQueue=settings().head_queue,
        jobDefinition=settings().head_job,
        containerOverrides={"command": list(command)},
    )
    return str(job["jobId"])


def events_of(triggers: list[BatchJobTrigger]) -> list[Any]:
    """What each trigger fires, all waiting in one event loop as in the triggerer."""

    async def first(trigger: BatchJobTrigger) -> Any:
        async for event in sent_on(trigger).run():
            return event.payload

    async def together() -> list[Any]:
        return await asyncio.gather(*map(first, triggers))

    return asyncio.run(together())


def test_250_triggers_ask_in_hundreds_once_an_interval(calls: Counter[str]) -> None:
    ids = ["there", *(f"no-such-job-{n}" for n in range(249))]
    ids[0] = submit("true")
    told = events_of([BatchJobTrigger(job_id, QUEUES, 0.3) for job_id in ids])
    assert told[0] == {"job_id": ids[0], "status": "SUCCEEDED"}
    assert {event["status"] for event in told[1:]} == {"LOST"}
    assert [event["job_id"] for event in told] == ids
    # The job that is there may need a round more than the others, alone.
    assert 3 * LOST_AFTER <= calls["DescribeJobs"] <= 3 * LOST_AFTER + 10


def test_two_triggers_of_one_job_are_both_told_by_one_call(calls: Counter[str]) -> None:
    twice = [BatchJobTrigger("no-such-job", QUEUES, 0.1)] * 2
    assert [event["status"] for event in events_of(twice)] == ["LOST", "LOST"]
    assert calls["DescribeJobs"] == LOST_AFTER


@pytest.mark.usefixtures("batch_jobs")
def test_a_log_that_cannot_be_read_does_not_hide_the_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetLogEvents")

    events = aws.brief_client("logs").meta.events
    events.register("before-call.logs.GetLogEvents", throttled)
    try:
        job_id = submit("echo", "hello")
        assert events_of([BatchJobTrigger(job_id, QUEUES, 0.1)])[0]["status"] == "SUCCEEDED"
    finally:
        events.unregister("before-call.logs.GetLogEvents", throttled)
    assert "cannot read the log" in capsys.readouterr().out
