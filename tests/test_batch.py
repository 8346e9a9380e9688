"""The Batch client against the real local endpoint: one job for one key, and none left behind."""

from __future__ import annotations

import http.client
import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqharvest import batch
from seqharvest.batch import FailureKind, JobRequest
from seqharvest.errors import BatchJobError, InputError

REPO = Path(__file__).resolve().parent.parent
QUEUES = ("heads", "workers")
LONG = ("sleep", "600")


@pytest.fixture(scope="module")
def endpoint(aws: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A local Batch endpoint with two queues and one job definition."""
    folder = tmp_path_factory.mktemp("batch")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "local.batch", "--port", str(port), "--state", str(folder)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--vcpus", "2", "--grace", "1"],
            cwd=REPO,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(address, server, folder / "log")
        _make_queues(boto3.client("batch", endpoint_url=address))
        yield address
    finally:
        _end_all_jobs(boto3.client("batch", endpoint_url=address))
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(10)


@pytest.fixture
def client(endpoint: str) -> Iterator[Any]:
    """A plain client; what a test leaves running is ended, for the next needs the vCPUs."""
    made = boto3.client("batch", endpoint_url=endpoint)
    yield made
    _end_all_jobs(made)


@pytest.fixture
def request_for(request: pytest.FixtureRequest) -> JobRequest:
    """A job that runs until it is ended, named after the test."""
    name = batch.job_name("test", request.node.name)
    return JobRequest(name, "heads", "anything", LONG, key=name, vcpus=1, memory_mb=64)


def test_a_second_submit_attaches_to_the_running_job(client: Any, request_for: JobRequest) -> None:
    first = batch.submit_or_attach(client, request_for)
    second = batch.submit_or_attach(client, request_for)

    assert (first.attached, second.attached) == (False, True)
    assert second.job_id == first.job_id
    job = batch.describe(client, [first.job_id])[first.job_id]
    assert job["tags"]["seqharvest:key"] == request_for.key
    assert job["container"]["command"] == list(LONG)


def test_a_job_with_the_same_name_and_another_key_is_not_ours(
    client: Any, request_for: JobRequest
) -> None:
    first = batch.submit_or_attach(client, request_for)
    second = batch.submit_or_attach(client, replace(request_for, key="other"))

    assert not second.attached
    assert second.job_id != first.job_id


def test_an_ended_job_and_one_being_ended_are_not_attached_to(
    client: Any, request_for: JobRequest
) -> None:
    # `sleep` ignored by the shell's trap: the job stays RUNNING until SIGKILL.
    stubborn = replace(request_for, command=("bash", "-c", "trap '' TERM; sleep 5; sleep 5"))
    first = batch.submit_or_attach(client, stubborn)
    _wait_for(client, first.job_id, "RUNNING")
    client.terminate_job(jobId=first.job_id, reason="test")

    second = batch.submit_or_attach(client, stubborn)
    assert not second.attached
    client.terminate_job(jobId=second.job_id, reason="test")
    _wait_for(client, second.job_id, "FAILED")
    assert not batch.submit_or_attach(client, request_for).attached


def test_a_submit_whose_answer_is_lost_makes_one_job(
    endpoint: str, client: Any, request_for: JobRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SUBMIT_DELAYS", (0.1, 0.1))
    with _unreliable(endpoint, lose_answers_of={"submitjob": 1}) as proxy:
        far = boto3.client("batch", endpoint_url=proxy.address)
        submission = batch.submit_or_attach(far, request_for)

    assert proxy.seen["submitjob"] == 1
    assert submission.attached
    assert [job["jobId"] for job in _named(client, request_for)] == [submission.job_id]


def test_a_submit_refused_with_503_is_sent_again_after_looking(
    endpoint: str, client: Any, request_for: JobRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SUBMIT_DELAYS", (0.1, 0.1))
    with _unreliable(endpoint, unavailable_for={"submitjob": 2}) as proxy:
        submission = batch.submit_or_attach(
            boto3.client("batch", endpoint_url=proxy.address), request_for
        )

    assert (proxy.seen["submitjob"], proxy.seen["listjobs"]) == (3, 3)
    assert not submission.attached
    assert len(_named(client, request_for)) == 1


def test_a_batch_that_stays_away_is_named_after_patience(
    endpoint: str, request_for: JobRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "SUBMIT_DELAYS", (0.1,))
    with _unreliable(endpoint, unavailable_for={"submitjob": 9}) as proxy:
        far = boto3.client("batch", endpoint_url=proxy.address)
        with pytest.raises(BatchJobError, match=r"did not take job .* try again"):
            batch.submit_or_attach(far, request_for)


def test_an_unknown_queue_and_too_large_an_array_are_input_errors(
    client: Any, request_for: JobRequest
) -> None:
    with pytest.raises(InputError, match=r"refuses job .* on queue nowhere"):
        batch.submit_or_attach(client, replace(request_for, queue="nowhere"))
    with pytest.raises(InputError, match="20000 children"):
        batch.submit_or_attach(client, replace(request_for, array_size=20_000))


def test_one_child_is_a_plain_job_and_two_are_an_array(
    client: Any, request_for: JobRequest
) -> None:
    one = batch.submit_or_attach(client, replace(request_for, array_size=1, key="one"))
    two = batch.submit_or_attach(client, replace(request_for, array_size=2, key="two"))
    jobs = batch.describe(client, [one.job_id, two.job_id])
    assert "size" not in jobs[one.job_id].get("arrayProperties", {})
    assert jobs[two.job_id]["arrayProperties"]["size"] == 2


def test_ending_a_head_ends_its_workers_on_every_queue_and_nobody_elses(
    client: Any, request_for: JobRequest
) -> None:
    head = batch.submit_or_attach(client, request_for).job_id
    # More than one page of ListJobs, which gives 100 with a filter.
    workers = [
        _submit(client, batch.worker_name(request_for.name, f"w{number}"), QUEUES[number // 105])
        for number in range(110)
    ]
    other = replace(request_for, name=request_for.name + "-b", key="b")
    stranger = batch.submit_or_attach(client, _worker(other, "workers", "w")).job_id

    ended = batch.terminate_with_children(client, head, QUEUES, "test ends")
    again = batch.terminate_with_children(client, head, QUEUES, "test ends")

    assert (ended, again) == (111, 0)
    jobs = batch.describe(client, [head, *workers])
    assert len(jobs) == 111
    assert not any(batch.is_live(job) for job in jobs.values())
    assert batch.is_live(batch.describe(client, [stranger])[stranger])
    assert batch.terminate_with_children(client, "no-such-job", QUEUES, "test") == 0


def test_workers_are_left_to_a_new_head_of_the_same_name(
    client: Any, request_for: JobRequest
) -> None:
    old = batch.submit_or_attach(client, request_for).job_id
    client.terminate_job(jobId=old, reason="cleared")
    _wait_for(client, old, "FAILED")
    new = batch.submit_or_attach(client, request_for).job_id
    worker = batch.submit_or_attach(client, _worker(request_for, "workers", "w")).job_id

    batch.terminate_with_children(client, old, QUEUES, "cleared, late")

    jobs = batch.describe(client, [new, worker])
    assert all(batch.is_live(job) for job in jobs.values())


def test_a_head_that_is_ending_itself_keeps_no_workers_alive(
    client: Any, request_for: JobRequest
) -> None:
    stubborn = ("bash", "-c", "trap '' TERM; sleep 5; sleep 5")
    ending = batch.submit_or_attach(client, replace(request_for, command=stubborn)).job_id
    _wait_for(client, ending, "RUNNING")
    client.terminate_job(jobId=ending, reason="cleared")
    head = batch.submit_or_attach(client, request_for).job_id
    worker = batch.submit_or_attach(client, _worker(request_for, "workers", "w")).job_id

    batch.terminate_with_children(client, head, QUEUES, "cleared again")

    assert not batch.is_live(batch.describe(client, [worker])[worker])


def test_the_log_is_read_to_its_end_and_on_from_there(
    aws: Any, client: Any, request_for: JobRequest
) -> None:
    logs = aws.client("logs")
    talker = replace(request_for, command=("bash", "-c", "seq 5; echo last >&2; exit 3"))
    job_id = batch.submit_or_attach(client, talker).job_id
    assert batch.log_lines(logs, {"container": {}}, None) == ([], None)
    unborn = {"container": {"logStreamName": "not/yet/there"}}
    assert batch.log_lines(logs, unborn, None) == ([], None)

    job = _wait_for(client, job_id, "FAILED")
    lines, token = batch.log_lines(logs, job, None)

    assert sorted(lines) == ["1", "2", "3", "4", "5", "last"]
    assert batch.log_lines(logs, job, token) == ([], token)
    retried = {"container": {"logStreamName": "another/attempt"}}
    assert batch.log_lines(logs, retried, token) == ([], token)
    assert len(batch.log_tail(logs, job, 2)) == 2
    assert batch.failure(job) == batch.Failure(
        FailureKind.USER_ERROR, batch.failure(job).reason, exit_code=3
    )


class TestFailureKinds:
    """Batch's words for an end, as AWS documents them."""

    CASES: ClassVar = [
        ({"statusReason": "Host EC2 (instance i-1) terminated."}, FailureKind.SPOT_RECLAIM),
        ({"statusReason": "Job attempt duration exceeded timeout"}, FailureKind.TIMEOUT),
        (
            {
                "statusReason": "Essential container in task exited",
                "container": {
                    "exitCode": 137,
                    "reason": "OutOfMemoryError: Container killed due to memory usage",
                },
            },
            FailureKind.OUT_OF_MEMORY,
        ),
        ({"container": {"exitCode": 137}}, FailureKind.OUT_OF_MEMORY),
        ({"isTerminated": True, "container": {"exitCode": 137}}, FailureKind.TERMINATED),
        (
            {"container": {"reason": "CannotPullContainerError: pull access denied"}},
            FailureKind.IMAGE,
        ),
        ({"container": {"exitCode": 2}}, FailureKind.USER_ERROR),
        (
            {"attempts": [{"statusReason": "Host EC2 (instance i-2) terminated."}]},
            FailureKind.SPOT_RECLAIM,
        ),
    ]

    @pytest.mark.parametrize(("job", "kind"), CASES)
    def test_the_kind_follows_from_what_batch_says(
        self, job: dict[str, Any], kind: FailureKind
    ) -> None:
        assert batch.failure(job).kind is kind

    def test_a_full_disk_shows_in_the_log(self) -> None:
        job = {"container": {"exitCode": 1}, "statusReason": "Essential container in task exited"}
        tail = ["sorting", "samtools: No space left on device"]
        assert batch.failure(job, tail).kind is FailureKind.DISK_FULL
        assert batch.failure(job).kind is FailureKind.USER_ERROR


PARTS = st.lists(st.text(min_size=1, max_size=80), min_size=1, max_size=4)


@given(PARTS, PARTS)
@settings(max_examples=200, deadline=None)
def test_names_fit_batch_and_keep_jobs_apart(first: list[str], second: list[str]) -> None:
    head, other = batch.job_name(*first), batch.job_name(*second)
    worker = batch.worker_name(head, *second)
    for name in (head, worker):
        assert len(name) <= 128
        assert all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
    assert worker.startswith(f"{head}--")
    assert "--" not in head  # so no head's name is the beginning of another's worker
    if "-".join(first) != "-".join(second):
        assert head != other


def _worker(head: JobRequest, queue: str, name: str) -> JobRequest:
    return replace(head, name=batch.worker_name(head.name, name), queue=queue, key=name)


def _submit(client: Any, name: str, queue: str) -> str:
    overrides = {"command": list(LONG)}
    return client.submit_job(
        jobName=name, jobQueue=queue, jobDefinition="anything", containerOverrides=overrides
    )["jobId"]


def _named(client: Any, request: JobRequest) -> list[dict[str, Any]]:
    return client.list_jobs(
        jobQueue=request.queue, filters=[{"name": "JOB_NAME", "values": [request.name]}]
    )["jobSummaryList"]


def _wait_for(client: Any, job_id: str, status: str) -> dict[str, Any]:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        job = batch.describe(client, [job_id])[job_id]
        if job["status"] == status:
            return job
        time.sleep(0.1)
    pytest.fail(f"job {job_id} is {job['status']}, not {status}: {job.get('statusReason')}")


def _make_queues(client: Any) -> None:
    environment = client.create_compute_environment(
        computeEnvironmentName="here", type="UNMANAGED", state="ENABLED"
    )["computeEnvironmentArn"]
    for priority, name in enumerate(QUEUES, 1):
        client.create_job_queue(
            jobQueueName=name,
            priority=priority,
            state="ENABLED",
            computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
        )
    client.register_job_definition(
        jobDefinitionName="anything",
        type="container",
        containerProperties={
            "image": "none",
            "resourceRequirements": [
                {"type": "VCPU", "value": "1"},
                {"type": "MEMORY", "value": "64"},
            ],
        },
    )


def _end_all_jobs(client: Any) -> None:
    for queue in QUEUES:
        pages = client.get_paginator("list_jobs").paginate(
            jobQueue=queue, filters=[{"name": "JOB_NAME", "values": ["*"]}]
        )
        for job in (job for page in pages for job in page["jobSummaryList"]):
            if batch.is_live(job):
                client.terminate_job(jobId=job["jobId"], reason="tests are over")


def _wait_until_healthy(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the Batch endpoint does not answer: {log.read_text()[-2000:]}")


class _unreliable:  # noqa: N801 - reads as a verb
    """A proxy that loses answers of an operation, or answers 503, a number of times."""

    def __init__(
        self,
        target: str,
        lose_answers_of: dict[str, int] | None = None,
        unavailable_for: dict[str, int] | None = None,
    ) -> None:
        self.seen: Counter[str] = Counter()
        outer, lose, away = self, dict(lose_answers_of or {}), dict(unavailable_for or {})
        host = target.removeprefix("http://")

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                operation = self.path.rsplit("/", 1)[-1]
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                outer.seen[operation] += 1
                if away.get(operation, 0):
                    away[operation] -= 1
                    self._answer(503, b'{"message": "away"}')
                    return
                connection = http.client.HTTPConnection(host)
                connection.request("POST", self.path, body, dict(self.headers))
                response = connection.getresponse()
                content = response.read()
                if lose.get(operation, 0):
                    lose[operation] -= 1
                    self.close_connection = True
                    return
                self._answer(response.status, content)

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Stay quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> _unreliable:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
