"""The local Batch endpoint, as boto3 sees it."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import free_port
from tests.local.batch_endpoint import (
    ENVIRONMENT_RESOURCES,
    BatchEndpoint,
    is_alive,
    needs,
    wait_for,
)

VCPUS = 4


@pytest.fixture(scope="module")
def batch(aws: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchEndpoint]:
    capacity = ("--vcpus", str(VCPUS), "--memory-mib", "4096")
    options = (*capacity, "--grace", "1", "--minimum-timeout", "1")
    endpoint = BatchEndpoint(
        free_port(), tmp_path_factory.mktemp("batch"), options, {"A_SECRET_OF_THE_ENDPOINT": "x"}
    )
    endpoint.start()
    try:
        endpoint.prepare()
        yield endpoint
    finally:
        endpoint.stop()


@pytest.fixture(autouse=True)
def _nothing_left(batch: BatchEndpoint) -> Iterator[None]:
    """End what a failed test leaves running, so that it takes no room from the others."""
    yield
    for status in ("PENDING", "RUNNABLE", "RUNNING"):
        jobs = batch.client.list_jobs(jobQueue="low", jobStatus=status)["jobSummaryList"]
        for job in jobs:
            batch.client.terminate_job(jobId=job["jobId"], reason="the test is over")


def test_a_job_is_a_process_with_a_clean_environment_and_its_output_in_logs(
    batch: BatchEndpoint,
) -> None:
    script = "env; echo cwd=$PWD; ls -A | wc -l; echo oops >&2; echo no newline | tr -d '\\n'"
    override = {"environment": [{"name": "FROM_SUBMIT", "value": "2"}]}
    job_id = batch.submit(script, override=override)
    job = batch.ended(job_id)
    assert (job["status"], job["container"]["exitCode"]) == ("SUCCEEDED", 0)
    assert job["statusReason"] == "Essential container in task exited"
    assert job["createdAt"] <= job["startedAt"] <= job["stoppedAt"]
    assert job["container"]["logStreamName"].startswith("shell/default/")

    lines = batch.lines(job_id)
    assert lines[-2:] == ["oops", "no newline"]
    assert lines[-3] == "0"  # an empty scratch folder
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert (seen["FROM_DEFINITION"], seen["FROM_SUBMIT"]) == ("1", "2")
    assert (seen["AWS_BATCH_JOB_ID"], seen["AWS_BATCH_JOB_ATTEMPT"]) == (job_id, "1")
    assert (seen["AWS_BATCH_JQ_NAME"], seen["AWS_BATCH_CE_NAME"]) == ("low", "spot")
    assert seen["AWS_ENDPOINT_URL_BATCH"] == f"http://127.0.0.1:{batch.port}"
    assert seen["cwd"] == seen["HOME"] == seen["TMPDIR"] == seen["SEQHARVEST_SCRATCH"]
    assert "A_SECRET_OF_THE_ENDPOINT" not in seen
    assert not Path(seen["cwd"]).exists()


def test_a_job_starts_quickly_and_prints_live(batch: BatchEndpoint) -> None:
    submitted = time.monotonic()
    job_id = batch.submit("echo first; sleep 30")
    batch.running(job_id)
    assert time.monotonic() - submitted < 2.0  # 10 ms on an idle machine; tests may share it
    wait_for(lambda: batch.lines(job_id) == ["first"], 4)
    batch.client.terminate_job(jobId=job_id, reason="seen enough")
    assert batch.ended(job_id)["statusReason"] == "seen enough"


def test_parameters_fill_the_command_and_unknown_ones_stay(batch: BatchEndpoint) -> None:
    command = ["echo", "Ref::greeting", "--x=Ref::who", "Ref::nobody"]
    job_id = batch.submit("", override={"command": command}, parameters={"who": "you"})
    batch.ended(job_id)
    assert batch.lines(job_id) == ["hello --x=you Ref::nobody"]


def test_ten_jobs_queue_in_order_instead_of_swamping_the_machine(batch: BatchEndpoint) -> None:
    ids = [batch.submit("sleep 0.4") for _ in range(10)]
    jobs = [batch.ended(job_id) for job_id in ids]
    assert {job["status"] for job in jobs} == {"SUCCEEDED"}
    starts = [job["startedAt"] for job in jobs]
    assert starts == sorted(starts)
    together = [sum(j["startedAt"] <= at < j["stoppedAt"] for j in jobs) for at in starts]
    assert 1 < max(together) <= VCPUS


def test_memory_is_accounted_like_vcpus(batch: BatchEndpoint) -> None:
    big = {"resourceRequirements": needs(1, 3000)}
    first, second = (batch.submit("sleep 0.3", override=big) for _ in range(2))
    assert batch.ended(second)["startedAt"] >= batch.ended(first)["stoppedAt"]


def test_the_queue_of_higher_priority_goes_first(batch: BatchEndpoint) -> None:
    blocker = batch.submit("sleep 0.5", vcpus=VCPUS)
    low = batch.submit("true", vcpus=VCPUS)
    high = batch.submit("true", vcpus=VCPUS, queue="high")
    assert batch.job(low)["status"] == "RUNNABLE"
    assert batch.ended(low)["startedAt"] >= batch.ended(high)["stoppedAt"]
    assert batch.ended(high)["startedAt"] >= batch.ended(blocker)["stoppedAt"]


def test_a_compute_environment_gives_its_jobs_no_more_than_its_vcpus(
    batch: BatchEndpoint,
) -> None:
    client = batch.client
    client.create_compute_environment(
        computeEnvironmentName="tiny",
        type="MANAGED",
        computeResources={**ENVIRONMENT_RESOURCES, "maxvCpus": 1},
    )
    order = [{"order": 1, "computeEnvironment": "tiny"}]
    client.create_job_queue(jobQueueName="tiny", priority=1, computeEnvironmentOrder=order)
    first, second = (batch.submit("sleep 0.3", queue="tiny") for _ in range(2))
    never = batch.submit("true", queue="tiny", vcpus=2)
    assert batch.ended(second)["startedAt"] >= batch.ended(first)["stoppedAt"]
    waiting = batch.job(never)
    assert waiting["status"] == "RUNNABLE"
    assert waiting["statusReason"].startswith("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")

    client.update_job_queue(jobQueue="tiny", state="DISABLED")
    with pytest.raises(client.exceptions.ClientException, match="ENABLED"):
        batch.submit("true", queue="tiny")
    client.delete_job_queue(jobQueue="tiny")
    assert batch.job(never)["status"] == "FAILED"
    client.update_compute_environment(computeEnvironment="tiny", state="DISABLED")
    client.delete_compute_environment(computeEnvironment="tiny")
    left = client.describe_compute_environments()["computeEnvironments"]
    assert [item["computeEnvironmentName"] for item in left] == ["spot"]


def test_terminate_kills_grandchildren_also_those_that_ignore_it_and_daemons(
    batch: BatchEndpoint, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = f"""
    bash -c 'trap "" TERM; echo $$ >> {pids}; while :; do sleep 1; done' &
    sleep 60 & echo $! >> {pids}
    setsid sleep 61 & echo $! >> {pids}
    sleep 0.3; echo $$ >> {pids}; wait
    """
    job_id = batch.submit(script)
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 4, 10)
    batch.client.terminate_job(jobId=job_id, reason="not wanted")
    job = batch.ended(job_id)
    assert (job["status"], job["statusReason"]) == ("FAILED", "not wanted")
    assert job["isTerminated"]
    assert [pid for pid in pids.read_text().split() if is_alive(int(pid))] == []
    batch.client.terminate_job(jobId=job_id, reason="again")  # harmless
    assert batch.job(job_id)["statusReason"] == "not wanted"


def test_what_a_job_leaves_behind_ends_with_it(batch: BatchEndpoint, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    job = batch.ended(batch.submit(f"setsid sleep 60 & echo $! > {pid}"))
    assert job["status"] == "SUCCEEDED"
    assert not is_alive(int(pid.read_text()))


def test_a_job_past_its_timeout_fails_and_is_not_retried(batch: BatchEndpoint) -> None:
    job_id = batch.submit(
        "sleep 60", timeout={"attemptDurationSeconds": 1}, retryStrategy={"attempts": 3}
    )
    job = batch.ended(job_id)
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [143]
    assert 1000 <= job["stoppedAt"] - job["startedAt"] < 4000


def test_retries_follow_the_rules_on_exit(batch: BatchEndpoint) -> None:
    rules = [
        {"onExitCode": "7*", "action": "retry"},
        {"onReason": "*", "action": "EXIT"},
    ]
    strategy = {"attempts": 3, "evaluateOnExit": rules}
    again = batch.submit("exit $((74 - AWS_BATCH_JOB_ATTEMPT))", retryStrategy=strategy)
    never = batch.submit("exit 8", retryStrategy=strategy)
    plain = batch.submit('[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ]', retryStrategy={"attempts": 5})
    codes = [a["container"]["exitCode"] for a in batch.ended(again)["attempts"]]
    assert codes == [73, 72, 71]
    assert len(batch.ended(never)["attempts"]) == 1
    job = batch.ended(plain)
    assert (job["status"], len(job["attempts"])) == ("SUCCEEDED", 2)
    streams = {attempt["container"]["logStreamName"] for attempt in job["attempts"]}
    assert len(streams) == 2


def test_an_end_by_kill_reads_as_out_of_memory_and_no_program_as_not_started(
    batch: BatchEndpoint,
) -> None:
    killed = batch.ended(batch.submit("kill -9 $$"))["container"]
    assert killed["exitCode"] == 137
    assert killed["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    absent = batch.ended(batch.submit("", override={"command": ["no-such-program"]}))
    assert absent["statusReason"] == "Task failed to start"
    assert "no-such-program" in absent["container"]["reason"]
    assert absent["container"]["reason"].startswith("CannotStartContainerError")


def test_an_array_runs_its_children_and_fails_when_one_fails(batch: BatchEndpoint) -> None:
    script = '[ "$AWS_BATCH_JOB_ARRAY_INDEX" != 1 ]'
    parent_id = batch.submit(script, arrayProperties={"size": 3})
    parent = batch.ended(parent_id)
    assert parent["status"] == "FAILED"
    assert parent["arrayProperties"]["size"] == 3
    summary = {k: v for k, v in parent["arrayProperties"]["statusSummary"].items() if v}
    assert summary == {"SUCCEEDED": 2, "FAILED": 1}
    child = batch.job(f"{parent_id}:1")
    assert (child["status"], child["arrayProperties"]) == ("FAILED", {"index": 1})
    failed = batch.client.list_jobs(arrayJobId=parent_id, jobStatus="FAILED")["jobSummaryList"]
    assert [job["jobId"] for job in failed] == [f"{parent_id}:1"]
    assert failed[0]["container"]["exitCode"] == 1


def test_terminating_an_array_ends_all_its_children(batch: BatchEndpoint) -> None:
    parent_id = batch.submit("sleep 60", arrayProperties={"size": 200})
    batch.running(f"{parent_id}:0")
    batch.client.terminate_job(jobId=parent_id, reason="enough")
    parent = batch.ended(parent_id)
    assert (parent["statusReason"], parent["isTerminated"]) == ("enough", True)
    assert parent["arrayProperties"]["statusSummary"]["FAILED"] == 200


def test_a_job_waits_for_what_it_depends_on_and_fails_with_it(batch: BatchEndpoint) -> None:
    first = batch.submit("sleep 0.3")
    second = batch.submit("true", dependsOn=[{"jobId": first}])
    assert batch.job(second)["status"] == "PENDING"
    assert batch.ended(second)["startedAt"] >= batch.ended(first)["stoppedAt"]
    late = batch.submit("true", dependsOn=[{"jobId": first}])
    assert batch.ended(late)["status"] == "SUCCEEDED"

    bad = batch.submit("exit 1")
    after = batch.ended(batch.submit("true", dependsOn=[{"jobId": bad}]))
    assert (after["status"], after["statusReason"]) == ("FAILED", "Dependent Job failed")
    assert "startedAt" not in after


def test_arrays_can_depend_index_by_index_and_on_themselves(batch: BatchEndpoint) -> None:
    one = batch.submit('[ "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 ]', arrayProperties={"size": 2})
    two = batch.submit(
        "true", arrayProperties={"size": 2}, dependsOn=[{"jobId": one, "type": "N_TO_N"}]
    )
    row = batch.submit(
        '[ "$AWS_BATCH_JOB_ARRAY_INDEX" = 0 ]',
        arrayProperties={"size": 2000},  # a long chain that ends at its second link
        dependsOn=[{"type": "SEQUENTIAL"}],
    )
    batch.ended(two)
    assert [batch.job(f"{two}:{i}")["status"] for i in (0, 1)] == ["SUCCEEDED", "FAILED"]
    summary = batch.ended(row)["arrayProperties"]["statusSummary"]
    assert (summary["SUCCEEDED"], summary["FAILED"]) == (1, 1999)
    assert batch.job(f"{row}:2")["statusReason"] == "Dependent Job failed"


def test_cancel_ends_only_what_has_not_started(batch: BatchEndpoint) -> None:
    running = batch.submit("sleep 0.6", vcpus=VCPUS)
    waiting = batch.submit("true")
    batch.running(running)
    for job_id in (running, waiting):
        batch.client.cancel_job(jobId=job_id, reason="changed my mind")
    job = batch.job(waiting)
    assert (job["status"], job["statusReason"]) == ("FAILED", "changed my mind")
    assert job["isCancelled"]
    assert batch.ended(running)["status"] == "SUCCEEDED"


def test_jobs_are_listed_by_status_by_name_and_page_by_page(batch: BatchEndpoint) -> None:
    ids = [batch.submit("true", name=f"List_me-{i}") for i in range(3)]
    batch.submit("true", name="Listxme-9")
    for job_id in ids:
        batch.ended(job_id)

    def named(value: str, **more: Any) -> Any:
        filters = [{"name": "JOB_NAME", "values": [value]}]
        return batch.client.list_jobs(jobQueue="low", filters=filters, **more)

    # "_" is no wildcard, case does not count, and jobStatus is ignored with a filter.
    found = named("list_me*", jobStatus="RUNNING")["jobSummaryList"]
    assert [job["jobId"] for job in found] == ids[::-1]
    assert [j["jobName"] for j in named("LIST_ME-1")["jobSummaryList"]] == ["List_me-1"]
    page = named("list_me*", maxResults=2)
    rest = named("list_me*", maxResults=2, nextToken=page["nextToken"])
    both = page["jobSummaryList"] + rest["jobSummaryList"]
    assert [job["jobId"] for job in both] == ids[::-1]
    assert "nextToken" not in rest

    filters = [{"name": "JOB_DEFINITION", "values": ["shell"]}]
    found = batch.client.list_jobs(jobQueue="low", filters=filters, maxResults=1)
    assert len(found["jobSummaryList"]) == 1
    assert batch.client.list_jobs(jobQueue="high")["jobSummaryList"] == []  # RUNNING by default


def test_definitions_have_revisions_and_the_latest_active_one_counts(
    batch: BatchEndpoint,
) -> None:
    client = batch.client
    properties = {"image": "none", "command": ["true"], "resourceRequirements": needs(1, 64)}
    arns = [
        client.register_job_definition(
            jobDefinitionName="revised", type="container", containerProperties=properties
        )["jobDefinitionArn"]
        for _ in range(2)
    ]
    assert [arn.rsplit(":", 1)[1] for arn in arns] == ["1", "2"]
    client.deregister_job_definition(jobDefinition=arns[1])
    job_id = client.submit_job(jobName="x", jobQueue="low", jobDefinition="revised")["jobId"]
    assert batch.ended(job_id)["jobDefinition"] == arns[0]
    with pytest.raises(client.exceptions.ClientException, match="not ACTIVE"):
        client.submit_job(jobName="x", jobQueue="low", jobDefinition="revised:2")
    active = client.describe_job_definitions(jobDefinitionName="revised", status="ACTIVE")
    assert [item["revision"] for item in active["jobDefinitions"]] == [1]


def test_tags_are_kept_changed_and_removed(batch: BatchEndpoint) -> None:
    client = batch.client
    job = batch.ended(batch.submit("true", tags={"seqharvest:key": "a/b"}))
    assert job["tags"] == {"seqharvest:key": "a/b"}
    client.tag_resource(resourceArn=job["jobArn"], tags={"more": "1"})
    client.untag_resource(resourceArn=job["jobArn"], tagKeys=["seqharvest:key"])
    assert client.list_tags_for_resource(resourceArn=job["jobArn"])["tags"] == {"more": "1"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"jobName": "a name"}, "Job name"),
        ({"jobQueue": "nowhere"}, "nowhere"),
        ({"jobDefinition": "nothing"}, "nothing"),
        ({"arrayProperties": {"size": 1}}, "Array size"),
        ({"timeout": {"attemptDurationSeconds": 0}}, "minimum"),
        ({"retryStrategy": {"attempts": 11}}, "between 1 and 10"),
        ({"dependsOn": [{"jobId": "gone"}]}, "gone"),
        ({"containerOverrides": {"environment": [{"name": "AWS_BATCH_X"}]}}, "reserved"),
        ({"containerOverrides": {"resourceRequirements": needs(0, 64)}}, "VCPU"),
    ],
)
def test_a_bad_submit_is_a_client_exception(
    batch: BatchEndpoint, change: dict[str, Any], words: str
) -> None:
    client = batch.client
    request = {"jobName": "good", "jobQueue": "low", "jobDefinition": "shell", **change}
    with pytest.raises(client.exceptions.ClientException, match=words):
        client.submit_job(**request)


def test_requests_are_checked_by_the_service_model(batch: BatchEndpoint) -> None:
    import boto3
    from botocore.config import Config

    careless = boto3.client(
        "batch",
        endpoint_url=f"http://127.0.0.1:{batch.port}",
        config=Config(parameter_validation=False),
    )
    with pytest.raises(careless.exceptions.ClientException, match="jobQueue"):
        careless.submit_job(jobName="x", jobDefinition="shell")
    with pytest.raises(careless.exceptions.ClientException, match="not one of"):
        careless.list_jobs(jobQueue="low", jobStatus="DREAMING")
    with pytest.raises(careless.exceptions.ClientException, match="at most 100"):
        careless.describe_jobs(jobs=["x"] * 101)
    assert careless.describe_jobs(jobs=["unknown"])["jobs"] == []
    with pytest.raises(ClientError, match="does not have"):
        careless.list_scheduling_policies()


def test_a_request_that_no_aws_client_signed_runs_nothing(batch: BatchEndpoint) -> None:
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"http://127.0.0.1:{batch.port}/v1/submitjob", data=b"{}", timeout=5)
