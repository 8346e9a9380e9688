"""The Batch executor's modules, each by itself."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_seqharvest_batch import attach, bundle, naming, status, submit
from snakemake_executor_plugin_seqharvest_batch.failures import Kind, classify, summary
from snakemake_executor_plugin_seqharvest_batch.resources import Resources
from tests.batch_endpoint import BatchEndpoint

EXITED = "Essential container in task exited"


@pytest.mark.parametrize(
    ("detail", "log", "kind"),
    [
        ({"statusReason": "Host EC2 (instance i-0a1b) terminated."}, [], Kind.SPOT_RECLAIM),
        (
            {
                "statusReason": EXITED,
                "container": {
                    "exitCode": 137,
                    "reason": "OutOfMemoryError: Container killed due to memory usage",
                },
            },
            [],
            Kind.OUT_OF_MEMORY,
        ),
        ({"statusReason": EXITED, "container": {"exitCode": 137}}, [], Kind.OUT_OF_MEMORY),
        (
            {"statusReason": EXITED, "container": {"exitCode": 1}},
            ["Command 'STAR' died with <Signals.SIGKILL: 9>."],
            Kind.OUT_OF_MEMORY,
        ),
        (
            {"statusReason": EXITED, "container": {"exitCode": 1}},
            ["fastp: write error: No space left on device"],
            Kind.DISK_FULL,
        ),
        (
            {
                "statusReason": "Task failed to start",
                "container": {"reason": "CannotPullContainerError: pull access denied"},
            },
            [],
            Kind.IMAGE,
        ),
        ({"statusReason": "Job attempt duration exceeded timeout"}, [], Kind.TIMEOUT),
        (
            {"statusReason": "reviewer", "isTerminated": True, "container": {"exitCode": 137}},
            [],
            Kind.TERMINATED,
        ),
        ({"statusReason": EXITED, "container": {"exitCode": 2}}, ["bad input"], Kind.USER_ERROR),
    ],
)
def test_a_failure_is_told_by_its_kind(detail: dict[str, Any], log: list[str], kind: Kind) -> None:
    assert classify(detail, log)[0] is kind


def test_the_last_attempt_counts() -> None:
    first = {"container": {"exitCode": 1}}
    last = {"container": {"exitCode": 137, "reason": "OutOfMemoryError"}}
    kind, reason, exit_code = classify({"statusReason": EXITED, "attempts": [first, last]})
    assert (kind, exit_code) == (Kind.OUT_OF_MEMORY, 137)
    assert reason == f"{EXITED}; OutOfMemoryError"


def test_a_summary_is_the_tool_s_own_last_words() -> None:
    ruler = "=" * 80
    log = ["Error in rule star:", "End of star.log:", ruler, "reading", "FATAL: no genome", ruler]
    assert summary(EXITED, 1, log) == f"FATAL: no genome [{EXITED} (exit code 1)]"
    assert summary("Host EC2 terminated.", None, []) == "Host EC2 terminated."


def test_describe_asks_for_at_most_a_hundred_jobs_at_once() -> None:
    asked: list[int] = []

    class Batch:
        def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
            asked.append(len(jobs))
            return {"jobs": [{"jobId": job} for job in jobs if job != "j7"]}

    found = status.describe(Batch(), [f"j{number}" for number in range(250)])
    assert asked == [100, 100, 50]
    assert len(found) == 249
    assert "j7" not in found


def test_rounds_slow_down_while_nothing_changes() -> None:
    pace = status.Pace(10)
    for _ in range(20):
        pace.after(changed=False)
    assert pace.seconds == 40
    pace.after(changed=True)
    assert pace.seconds == 10


def test_a_prefix_batch_would_refuse_is_told_by_its_option() -> None:
    with pytest.raises(WorkflowError, match="name-prefix 'a/b'"):
        naming.check_prefix("a/b")
    with pytest.raises(WorkflowError, match="1 to 100"):
        naming.check_prefix("x" * 101)


def test_a_command_too_long_for_submit_job_goes_to_s3() -> None:
    stored: dict[str, bytes] = {}

    class S3:
        def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
            stored[f"s3://{Bucket}/{Key}"] = Body

    place = bundle.Bundle(S3(), "s3://data/bundles/")
    assert place.command("s3://data/b.json", ["--target-jobs", "x"])[-2:] == ["--target-jobs", "x"]
    assert not stored
    command = place.command("s3://data/b.json", ["--target-jobs", *["rule:s=1"] * 2000])
    assert command[-2] == "--arguments-from"
    assert command[-1] in stored
    assert sum(map(len, command)) < 500


def request(queue: str, name: str) -> submit.Request:
    return submit.Request(
        name=name,
        key=name,
        queue=queue,
        definition="seqharvest-worker",
        command=["sleep", "30"],
        resources=Resources(1, 100, 600),
        attempts=3,
        tags={"cost": "test"},
    )


class LossyBatch:
    """A client whose first SubmitJob does its work and then loses the answer."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.submits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def submit_job(self, **arguments: Any) -> Any:
        self.submits += 1
        answer = self._client.submit_job(**arguments)
        if self.submits == 1:
            lost = {"ResponseMetadata": {"HTTPStatusCode": 503}, "Error": {"Code": "503"}}
            raise ClientError(lost, "SubmitJob")
        return answer


def test_a_submit_whose_answer_was_lost_makes_no_second_job(batch: BatchEndpoint) -> None:
    queue = batch.new_queue()
    client = LossyBatch(batch.client)
    job_id = submit.submit(client, request(queue, "run--rule-1"), 30, sleep=lambda _seconds: None)
    (job,) = batch.jobs(queue)
    assert job["jobId"] == job_id
    assert client.submits == 1
    assert job["tags"] == {"cost": "test", "seqharvest:key": "run--rule-1"}
    assert job["retryStrategy"]["attempts"] == 3
    assert [rule["action"] for rule in job["retryStrategy"]["evaluateOnExit"]] == ["RETRY", "EXIT"]
    batch.client.terminate_job(jobId=job_id, reason="end of test")


def test_a_refused_submit_is_not_repeated(batch: BatchEndpoint) -> None:
    with pytest.raises(ClientError):
        submit.submit(batch.client, request("no-such-queue", "run--rule-1"), 30)


def test_only_live_jobs_of_the_very_prefix_are_followed(batch: BatchEndpoint) -> None:
    queue = batch.new_queue()
    ids = {
        name: submit.submit(batch.client, request(queue, name), 30)
        for name in ("run--a-1", "run--b-2", "Run--a-1", "running--a-1")
    }
    batch.wait_for(queue, "RUNNING", 4)
    batch.client.terminate_job(jobId=ids["run--b-2"], reason="by hand")
    assert attach.unfinished(batch.client, queue, "run", since=0) == {"run--a-1": ids["run--a-1"]}
    for job_id in ids.values():
        batch.client.terminate_job(jobId=job_id, reason="end of test")
