"""Clients outlast an AWS that is away for a while."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlparse

import boto3
import pytest

from seqharvest.aws import PATIENT, client
from tests.conftest import Aws


class _Door:
    """A port that refuses connections, then breaks one, then leads to the real endpoint."""

    def __init__(self, endpoint: str, closed_seconds: float) -> None:
        where = urlparse(endpoint)
        self.behind = (str(where.hostname), int(where.port or 80))
        self.door = socket.socket()
        self.door.bind(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        self.breaks = 1
        threading.Thread(target=self._open, args=(closed_seconds,), daemon=True).start()

    def _open(self, after_seconds: float) -> None:
        time.sleep(after_seconds)
        self.door.listen()
        while True:
            visitor, _ = self.door.accept()
            self.breaks -= 1
            if self.breaks >= 0:
                visitor.close()
                continue
            inside = socket.create_connection(self.behind)
            for one, other in ((visitor, inside), (inside, visitor)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        while some := one.recv(65536):
            other.sendall(some)
        other.close()


def test_a_call_made_while_aws_is_away_succeeds_when_it_is_back(aws: Aws) -> None:
    door = _Door(aws.endpoint, closed_seconds=0.5)
    began = time.monotonic()
    patient = boto3.client("dynamodb", endpoint_url=door.address, config=PATIENT)
    assert aws.table in patient.list_tables()["TableNames"]
    assert time.monotonic() - began > 0.5


def test_a_process_shares_its_clients(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client("s3") is client("s3")
    ours = client("s3")
    monkeypatch.setattr("os.getpid", lambda: -1)  # as in a forked child
    assert client("s3") is not ours
