"""The real local stack, on ports and in a folder of its own, beside any stack a person runs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from local import stack as local_stack
from local.airflow_api import Airflow
from local.config import PORTS, REPOSITORY, StackConfig
from local.series import Series, demo_series

SHARED = REPOSITORY.parent / "shared" / "data"


@dataclass(frozen=True)
class Stack:
    """A running stack, and a signed-in Airflow."""

    config: StackConfig
    airflow: Airflow

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of Seqharvest's command lines against this stack."""
        return subprocess.run(
            [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False
        )

    def batch_jobs(self, queue: str) -> list[dict[str, Any]]:
        """Every job of a queue, whatever its state."""
        import boto3

        pages = (
            boto3.client("batch")
            .get_paginator("list_jobs")
            .paginate(jobQueue=queue, filters=[{"name": "JOB_NAME", "values": ["*"]}])
        )
        return [job for page in pages for job in page["jobSummaryList"]]


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on just now."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Start the stack; stop and remove it at the end, but keep the logs of a failed session."""
    state = REPOSITORY / ".local" / "test-state"
    shutil.rmtree(state, ignore_errors=True)
    config = StackConfig(state, dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
    before = dict(os.environ)
    os.environ.update(config.environment())
    _forget_settings()
    try:
        local_stack.up(config)
        yield Stack(config, Airflow(config.url("airflow")))
    finally:
        local_stack.down(config)
        os.environ.clear()
        os.environ.update(before)
        _forget_settings()


@pytest.fixture(scope="session")
def demo(stack: Stack) -> Series:
    """The demo's series, published, with its reference release built."""
    series = demo_series(stack.config.state / "demo_data")
    publish(stack, series)
    return series


def publish(stack: Stack, series: Series) -> None:
    """Build a series' reference release and have the sweep register the series."""
    conf = {"release": series.release, **series.upload_reference()}
    stack.airflow.trigger("reference_build", f"build__{series.release}", conf)
    stack.airflow.wait("reference_build", f"build__{series.release}")
    series.publish(stack.config.url("archive"))
    stack.airflow.trigger("geo_sweep", f"test__{series.accession}", series.sweep_conf())
    stack.airflow.wait("geo_sweep", f"test__{series.accession}")


def _forget_settings() -> None:
    from seqharvest.aws import forget_clients
    from seqharvest.settings import settings

    settings.cache_clear()
    forget_clients()
