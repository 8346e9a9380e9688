"""A real Batch endpoint process for tests, and short words for what tests do with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

REPO = Path(__file__).resolve().parents[2]
ENDED = ("SUCCEEDED", "FAILED")
ENVIRONMENT_RESOURCES = {
    "type": "SPOT",
    "maxvCpus": 64,
    "subnets": ["subnet-1"],
    "instanceTypes": ["optimal"],
}


@dataclass
class BatchEndpoint:
    """One endpoint: its process, its state folder and a client for it."""

    port: int
    folder: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Any:
        """A boto3 client for this endpoint."""
        return boto3.client("batch", endpoint_url=f"http://127.0.0.1:{self.port}")

    def start(self) -> None:
        """Start the process on the state that is there, and wait until it answers."""
        command = [sys.executable, "-m", "local.batch", "--port", str(self.port)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--state", str(self.folder / "state"), *self.options],
                cwd=REPO,
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self.answers, 30)

    def answers(self) -> bool:
        """Whether the health check is good."""
        assert self.process
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                return True
        except OSError:
            return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the endpoint's process, and return its exit code."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(30)

    def prepare(self) -> None:
        """Make a compute environment, two queues and a job definition."""
        client = self.client
        client.create_compute_environment(
            computeEnvironmentName="spot", type="MANAGED", computeResources=ENVIRONMENT_RESOURCES
        )
        for name, priority in (("low", 1), ("high", 10)):
            order = [{"order": 1, "computeEnvironment": "spot"}]
            client.create_job_queue(
                jobQueueName=name, priority=priority, computeEnvironmentOrder=order
            )
        client.register_job_definition(
            jobDefinitionName="shell",
            type="container",
            parameters={"greeting": "hello"},
            containerProperties={
                "image": "none",
                "command": ["true"],
                "environment": [{"name": "FROM_DEFINITION", "value": "1"}],
                "resourceRequirements": needs(1, 64),
            },
        )

    def submit(self, script: str, *, vcpus: int = 1, queue: str = "low", **more: Any) -> str:
        """Submit a bash script, and return the job's id."""
        override = {
            "command": ["bash", "-c", script],
            "resourceRequirements": needs(vcpus, 64),
            **more.pop("override", {}),
        }
        submitted = self.client.submit_job(
            jobName=more.pop("name", "test"),
            jobQueue=queue,
            jobDefinition="shell",
            containerOverrides=override,
            **more,
        )
        return str(submitted["jobId"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Describe one job."""
        found: dict[str, Any] = self.client.describe_jobs(jobs=[job_id])["jobs"][0]
        return found

    def ended(self, job_id: str, seconds: float = 15) -> dict[str, Any]:
        """Wait until a job has ended, and describe it."""
        wait_for(lambda: self.job(job_id)["status"] in ENDED, seconds)
        return self.job(job_id)

    def running(self, job_id: str) -> dict[str, Any]:
        """Wait until a job runs, and describe it."""
        wait_for(lambda: self.job(job_id)["status"] == "RUNNING", 15)
        return self.job(job_id)

    def lines(self, job_id: str) -> list[str]:
        """Return what a job has printed, as far as CloudWatch Logs has it."""
        stream = self.job(job_id)["container"]["logStreamName"]
        logs = boto3.client("logs")
        try:
            events = logs.get_log_events(
                logGroupName="/aws/batch/job", logStreamName=stream, startFromHead=True
            )
        except logs.exceptions.ResourceNotFoundException:
            return []  # the stream is made within a second, or when Logs is up again
        return [event["message"] for event in events["events"]]


def needs(vcpus: int, memory_mib: int) -> list[dict[str, str]]:
    """Return resourceRequirements."""
    return [
        {"type": "VCPU", "value": str(vcpus)},
        {"type": "MEMORY", "value": str(memory_mib)},
    ]


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until something is true."""
    patience = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < patience, f"not true within {seconds} s"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie that nobody has waited for does not)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
