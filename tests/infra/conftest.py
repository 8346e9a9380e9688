"""Emulated accounts: ministack, which enforces IAM, and moto, which knows Batch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.deploy import STACKS, Deployment, template_text
from tests.conftest import MINISTACK, REPO, free_port

TOOLS = REPO / ".local" / "infra" / "bin"
NAME, TAG = "seqharvest", "abc123"


@dataclass(frozen=True)
class Account:
    """An emulated AWS account: where it is, and what a deployment put out there."""

    endpoint: str
    outputs: dict[str, str]

    def client(self, service: str, **credentials: str) -> Any:
        """Return a client of its root, or of other credentials."""
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", **credentials}
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", **keys)

    def environment(self) -> dict[str, str]:
        """Return what a command needs to see to talk to this account."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SEQHARVEST_"))}
        return {
            **clean,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "PYTHONPATH": f"{REPO / 'plugins'}:{REPO}",
        }

    def make(self, *arguments: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
        """Run `python -m infra.deploy`; a variable that is None is unset."""
        env = {**self.environment(), **environment}
        return subprocess.run(
            [sys.executable, "-m", "infra.deploy", *arguments],
            env={name: value for name, value in env.items() if value is not None},
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account with nothing in it, for what changes things."""
    with ministack(tmp_path_factory.mktemp("empty")) as account:
        yield account


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account that enforces IAM, with all stacks but Batch's, which ministack does not know."""
    with ministack(tmp_path_factory.mktemp("account"), AUTH="true") as account:
        only = ",".join(stack for stack in STACKS if stack != "batch")
        # Nor does it know addresses and NAT gateways.
        ended = account.make("deploy", NAME, "--only", only, "--parameters", "Nat=no")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        account.outputs.update(outputs(account))
        yield account


@pytest.fixture(scope="session")
def batch_account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account with every stack, Batch's too.

    Made without change sets, after which moto forgets outputs.
    """
    server = TOOLS / "moto_server"
    if not server.exists():
        pytest.skip(f"{server} is absent: run `local/setup.sh infra`")
    port = free_port()
    command = [server, "-H", "127.0.0.1", "-p", str(port)]
    here = tmp_path_factory.mktemp("moto")
    with running(command, here, f"http://127.0.0.1:{port}", "/moto-api/data.json") as account:
        given = {
            "ImageTag": TAG,
            # moto takes no default lists, names no Athena workgroup, knows no service-linked role.
            "WorkerTypes": "r5d,m5d,c5d,r6id,m6id,c6id",
            "AthenaWorkgroup": NAME,
            "BatchServiceRole": "arn:aws:iam::123456789012:role/seqharvest-host",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in account.environment().items():
                if name.startswith("AWS_"):
                    patch.setenv(name, value)
            deployment = Deployment(NAME, given)
            for stack in STACKS:
                account.client("cloudformation").create_stack(
                    StackName=f"{NAME}-{stack}",
                    TemplateBody=template_text(stack),
                    Parameters=deployment.arguments(stack, dry_run=False),
                    Capabilities=["CAPABILITY_NAMED_IAM"],
                )
                deployment.outputs |= deployment.outputs_of(stack)
            account.outputs.update(given | deployment.outputs)
        yield account


def outputs(account: Account) -> dict[str, str]:
    """Return the outputs of all stacks in an account."""
    stacks = account.client("cloudformation").describe_stacks()["Stacks"]
    return {o["OutputKey"]: o["OutputValue"] for s in stacks for o in s.get("Outputs", [])}


@contextmanager
def ministack(here: Path, **environment: str) -> Iterator[Account]:
    """Run a ministack."""
    if not MINISTACK.exists():
        pytest.skip(f"{MINISTACK} is absent: run `make setup` (local/setup.sh)")
    port = free_port()
    more = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
    url = f"http://127.0.0.1:{port}"
    with running([MINISTACK], here, url, "/_ministack/health", {**more, **environment}) as account:
        yield account


@contextmanager
def running(
    command: list[Any], here: Path, url: str, health: str, more: Mapping[str, str] | None = None
) -> Iterator[Account]:
    """Run an emulator until it answers; end it, with what it started, afterwards."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (here / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(part) for part in command],
            cwd=here,
            env={**clean, **(more or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _until(lambda: _answers(url + health), server, here / "log")
        yield Account(url, {})
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # it holds nothing worth a clean exit
        server.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def _until(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    patience = time.monotonic() + 60
    while not ready():
        if server.poll() is not None or time.monotonic() > patience:
            pytest.fail(f"{server.args} did not start: {log.read_text()[-2000:]}")
        time.sleep(0.1)
