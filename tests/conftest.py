"""The AWS that tests talk to: one ministack for the session, with the bucket and the table."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.batch_endpoint import batch

__all__ = ["Aws", "batch", "free_port"]

REPO = Path(__file__).resolve().parent.parent
MINISTACK = REPO / ".local" / "ministack" / "bin" / "ministack"


@dataclass(frozen=True)
class Aws:
    """Where the session's AWS is, and the bucket and table that were made in it."""

    endpoint: str
    bucket: str
    table: str

    def client(self, service: str) -> Any:
        """Return a plain boto3 client."""
        import boto3

        return boto3.client(service)


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """Start ministack on a free port and point this process's AWS_* variables at it."""
    if not MINISTACK.exists():
        pytest.skip(f"{MINISTACK} is absent: run `make setup` (local/setup.sh)")
    here = tmp_path_factory.mktemp("ministack")
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "LOG_LEVEL": "WARNING",
    }
    with (here / "log").open("wb") as log:
        server = subprocess.Popen(
            [MINISTACK],
            cwd=here,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(endpoint, server, here / "log")
        with pytest.MonkeyPatch.context() as patch:
            yield _point_at(endpoint, patch)
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # it holds nothing worth a clean exit
        server.wait()


def _point_at(endpoint: str, patch: pytest.MonkeyPatch) -> Aws:
    from seqharvest.aws import client, forget_clients
    from seqharvest.registry import TABLE
    from seqharvest.settings import settings

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ENDPOINT_URL", endpoint)
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    for name in ("SEQHARVEST_BUCKET", "SEQHARVEST_TABLE", "SEQHARVEST_RELEASE"):
        patch.delenv(name, raising=False)
    settings.cache_clear()
    forget_clients()
    made = Aws(endpoint, settings().bucket, settings().table)
    client("s3").create_bucket(Bucket=made.bucket)
    client("dynamodb").create_table(TableName=made.table, **TABLE)
    return made


def free_port() -> int:
    """Return a port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_healthy(endpoint: str, server: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        if server.poll() is not None:
            pytest.fail(f"ministack ended with {server.returncode}: {log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"ministack did not answer within 60 s: {log.read_text()[-2000:]}")
