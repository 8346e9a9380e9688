"""A Batch endpoint for the tests, with a queue and the job definitions of a deployment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Aws

REPO = Path(__file__).resolve().parents[1]
DEFINITIONS = ("seqharvest-head", "seqharvest-worker")


@dataclass(frozen=True)
class BatchEndpoint:
    """A running Batch endpoint and a client of it."""

    client: Any
    state: Path

    def new_queue(self) -> str:
        """Make a queue of a test's own, so that tests do not see each other's jobs."""
        name = f"worker-{uuid.uuid4().hex[:8]}"
        order = [{"order": 1, "computeEnvironment": "this-machine"}]
        self.client.create_job_queue(
            jobQueueName=name, priority=5, state="ENABLED", computeEnvironmentOrder=order
        )
        return name

    def jobs(self, queue: str) -> list[dict[str, Any]]:
        """Return every job ever submitted to a queue, described; children instead of arrays."""
        ids = [
            f"{job['jobId']}:{index}" if index >= 0 else job["jobId"]
            for job in self.submits(queue)
            for index in range((job.get("arrayProperties") or {}).get("size", 0)) or [-1]
        ]
        return self.client.describe_jobs(jobs=ids)["jobs"] if ids else []

    def submits(self, queue: str) -> list[dict[str, Any]]:
        """Return what was submitted to a queue, an array as one."""
        filters = [{"name": "JOB_NAME", "values": ["*"]}]
        answer = self.client.list_jobs(jobQueue=queue, filters=filters)
        return list(answer["jobSummaryList"])

    def wait_for(self, queue: str, status: str, count: int, seconds: float = 40) -> None:
        """Wait until so many of a queue's jobs have a status."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            states = [job["status"] for job in self.jobs(queue)]
            if states.count(status) >= count:
                return
            time.sleep(0.2)
        pytest.fail(f"no {count} jobs {status} within {seconds} s: {states}")


@pytest.fixture(scope="session")
def batch(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchEndpoint]:
    """Start the local Batch endpoint and point this process's clients at it.

    `tests/conftest.py` imports it for all: imported by several modules it would be several
    endpoints, and this process's clients would ask the one that started last.
    """
    import boto3

    from tests.conftest import free_port

    state = tmp_path_factory.mktemp("batch")
    port = free_port()
    arguments = ["--port", str(port), "--state", str(state), "--vcpus", "4", "--grace", "3"]
    with (state / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "local.batch", *arguments],
            cwd=REPO,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": f"{REPO}/plugins:{REPO}"},
        )
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL_BATCH", f"http://127.0.0.1:{port}")
            client = boto3.client("batch")
            _make_deployment(client, state / "server.log")
            yield BatchEndpoint(client, state)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def _make_deployment(client: Any, log: Path) -> None:
    from botocore.exceptions import EndpointConnectionError

    for _ in range(100):
        try:
            client.create_compute_environment(
                computeEnvironmentName="this-machine", type="UNMANAGED", state="ENABLED"
            )
            break
        except EndpointConnectionError:
            time.sleep(0.2)
    else:
        pytest.fail(f"the Batch endpoint did not start: {log.read_text()[-2000:]}")
    for name in DEFINITIONS:
        needs = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "100"}]
        path = f"{REPO}/plugins:{REPO}/snakemake_workflows:{REPO}"
        client.register_job_definition(
            jobDefinitionName=name,
            type="container",
            containerProperties={
                "image": "seqharvest-pipeline",
                "command": ["true"],
                "resourceRequirements": needs,
                "environment": [{"name": "PYTHONPATH", "value": path}],
            },
        )
