"""Start the stubs, each in a process of its own, and talk to their controls."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stub:
    """A running stub."""

    url: str
    process: subprocess.Popen[bytes]

    def count(self) -> dict[str, int]:
        """Return how often each operation was asked for since the last reset."""
        return self._ask("_count")

    def times(self) -> dict[str, list[float]]:
        """Return when the operations came that the stub keeps the times of (epoch seconds)."""
        return self._ask("_times")

    def reset(self) -> None:
        """Set the counts to zero."""
        self._ask("_reset", {})

    def latency(self, seconds: float) -> None:
        """Change how late it answers."""
        self._ask("_latency", seconds)

    def faults(self, *faults: dict[str, Any]) -> None:
        """Give the faults to come (see `bench.stub_server.Fault`), in place of any others."""
        self._ask("_faults", list(faults))

    def preload(self, samples: int, complete: float) -> int:
        """Fill the S3 stub with the bench's project; return how many objects it has."""
        return int(self._ask("_preload", {"samples": samples, "complete": complete})["objects"])

    def ask(self, path: str, content: Any = None) -> Any:
        """Use a control of the stub's own."""
        return self._ask(path, content)

    def _ask(self, path: str, content: Any = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        with urllib.request.urlopen(f"{self.url}/{path}", data=body, timeout=120) as answer:
            return json.loads(answer.read())


@contextmanager
def stub(module: str, *options: object, **environment: str) -> Iterator[Stub]:
    """Run a stub (`bench.s3_stub`, `bench.batch_stub`) for as long as the block lasts."""
    port = _free_port()
    command = [sys.executable, "-m", module, "--port", str(port), *map(str, options)]
    path = os.pathsep.join(map(str, (REPO, REPO / "plugins", REPO / "snakemake_workflows")))
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    process = subprocess.Popen(command, cwd=REPO, env=environment)
    running = Stub(f"http://127.0.0.1:{port}", process)
    try:
        _wait(running)
        yield running
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def s3(latency: float = 0.02) -> Iterator[Stub]:
    """Run the S3 stub."""
    with stub("bench.s3_stub", "--latency", latency) as running:
        yield running


@contextmanager
def batch(s3: Stub, *options: object) -> Iterator[Stub]:
    """Run the Batch stub; its jobs do their work in the S3 stub."""
    runner = ("--runner", "bench.runner:work")
    with stub("bench.batch_stub", *runner, *options, AWS_ENDPOINT_URL_S3=s3.url) as running:
        yield running


def environment(s3: Stub, batch: Stub | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a process that is to take the stubs for AWS."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **plain,
        "AWS_ENDPOINT_URL": s3.url,  # nothing may reach the real AWS
        **({"AWS_ENDPOINT_URL_BATCH": batch.url} if batch else {}),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }


def _wait(running: Stub) -> None:
    for _ in range(200):
        if running.process.poll() is not None:
            raise RuntimeError(f"a stub ended at once: {running.process.args!r}")
        try:
            running.count()
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"a stub does not answer: {running.process.args!r}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
