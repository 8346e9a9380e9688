"""The local Batch endpoint when hosts, the endpoint itself or CloudWatch Logs go away."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port
from tests.local.batch_endpoint import REPO, BatchEndpoint, is_alive, wait_for

SPOT_RETRY = {
    "attempts": 3,
    "evaluateOnExit": [
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
    ],
}


@pytest.fixture
def batch(aws: Any, tmp_path: Path) -> Iterator[BatchEndpoint]:
    options = ("--vcpus", "2", "--memory-mib", "4096", "--grace", "1")
    endpoint = BatchEndpoint(free_port(), tmp_path, options)
    endpoint.start()
    try:
        endpoint.prepare()
        yield endpoint
    finally:
        if endpoint.process and endpoint.process.poll() is None:
            endpoint.stop()


def test_a_lost_host_is_retried_where_the_rules_say_so(batch: BatchEndpoint) -> None:
    script = '[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] || sleep 60'
    retried, plain = (
        batch.submit(script, retryStrategy=strategy) for strategy in (SPOT_RETRY, {"attempts": 1})
    )
    for job_id in (retried, plain):
        batch.running(job_id)
        _terminate_host(batch, job_id)
    job = batch.ended(retried)
    assert job["status"] == "SUCCEEDED"
    first, second = job["attempts"]
    assert first["statusReason"].startswith("Host EC2 (instance i-")
    assert first["statusReason"].endswith(") terminated.")
    assert "exitCode" not in first["container"]
    assert second["container"]["exitCode"] == 0
    assert batch.ended(plain)["statusReason"].startswith("Host EC2 (instance i-")
    ended = batch.ended(batch.submit("exit 5", retryStrategy=SPOT_RETRY))
    assert [attempt["container"]["exitCode"] for attempt in ended["attempts"]] == [5]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_restart_running_jobs_have_lost_their_host_and_queued_ones_go_on(
    batch: BatchEndpoint, tmp_path: Path, number: signal.Signals
) -> None:
    pid = tmp_path / "pid"
    script = f'[ "$AWS_BATCH_JOB_ATTEMPT" = 2 ] || {{ echo $$ > {pid}; sleep 60; }}'
    retried = batch.submit(script, vcpus=2, retryStrategy=SPOT_RETRY, tags={"key": "kept"})
    queued = batch.submit("true", vcpus=2)
    after = batch.submit("true", dependsOn=[{"jobId": queued}])
    wait_for(lambda: pid.exists() and bool(pid.read_text().strip()), 10)
    assert batch.stop(number) == (0 if number == signal.SIGTERM else -number)
    assert is_alive(int(pid.read_text())) == (number == signal.SIGKILL)

    batch.start()
    assert not is_alive(int(pid.read_text()))
    job = batch.ended(retried)
    assert (job["status"], job["tags"]) == ("SUCCEEDED", {"key": "kept"})
    assert job["attempts"][0]["statusReason"].startswith("Host EC2 (instance i-")
    assert len(job["attempts"]) == 2
    assert batch.ended(queued)["status"] == batch.ended(after)["status"] == "SUCCEEDED"
    assert list((tmp_path / "state" / "scratch").iterdir()) == []


def test_a_job_being_terminated_when_the_endpoint_dies_is_not_retried(
    batch: BatchEndpoint, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    stubborn = f"trap '' TERM; echo $$ > {pid}; while :; do sleep 1; done"
    job_id = batch.submit(stubborn, retryStrategy=SPOT_RETRY)
    wait_for(lambda: pid.exists() and bool(pid.read_text().strip()), 10)
    batch.client.terminate_job(jobId=job_id, reason="not wanted")
    batch.stop(signal.SIGKILL)
    batch.start()
    job = batch.ended(job_id)
    assert (job["status"], len(job["attempts"])) == ("FAILED", 1)
    assert not is_alive(int(pid.read_text()))


def test_jobs_run_while_logs_is_down_and_their_output_arrives_later(
    aws: Any, batch: BatchEndpoint
) -> None:
    batch.stop()
    batch.environment = {
        "AWS_ENDPOINT_URL_LOGS": f"http://127.0.0.1:{free_port()}"
    }  # nobody listens
    batch.start()
    job_id = batch.submit("echo kept on disk")
    assert batch.ended(job_id)["status"] == "SUCCEEDED"
    batch.stop()
    batch.environment = {}
    batch.start()
    wait_for(lambda: batch.lines(job_id) == ["kept on disk"], 10)
    wait_for(lambda: not list((batch.folder / "state" / "spool").iterdir()), 5)


def test_a_job_over_its_memory_is_killed_when_asked_for(aws: Any, tmp_path: Path) -> None:
    endpoint = BatchEndpoint(free_port(), tmp_path, ("--vcpus", "1", "--enforce-memory"))
    endpoint.start()
    try:
        endpoint.prepare()
        eat = f"{sys.executable} -c 'x = bytearray(150_000_000); import time; time.sleep(60)'"
        container = endpoint.ended(endpoint.submit(eat))["container"]
    finally:
        endpoint.stop()
    assert container["exitCode"] == 137
    assert container["reason"].startswith("OutOfMemoryError")


def test_a_second_endpoint_on_the_same_state_or_port_says_so(
    batch: BatchEndpoint, tmp_path: Path
) -> None:
    for port, state, words in (
        (str(free_port()), "state", "already uses"),
        (str(batch.port), "x", "cannot listen"),
    ):
        command = [sys.executable, "-m", "local.batch", "--port", port]
        second = subprocess.run(
            [*command, "--state", str(tmp_path / state)],
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 1
        assert words in second.stderr


def _terminate_host(batch: BatchEndpoint, job_id: str) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{batch.port}/_local/terminate-host",
        data=json.dumps({"jobId": job_id}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as response:
        assert json.load(response)["instance"].startswith("i-")
