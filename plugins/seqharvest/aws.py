"""AWS clients as all of Seqharvest uses them: patient with an AWS that is down for a minute."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

#: Standard mode repeats throttling, 5xx and refused connections after random(0, 1) × 2^n s, at
#: most 20 s: 14 repeats wait about 160 s in all, and hardly ever less than the 90 s that are
#: promised (with 11 repeats one call in six gave up within 60 s). A client's retry quota
#: (500 tokens, 5 a repeat) lets 7 calls be that patient at once.
PATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 15},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=32,
)
#: For what asks again by itself or has a person waiting: a stuck call must not keep a thread.
BRIEF = Config(
    retries={"mode": "standard", "total_max_attempts": 2},
    connect_timeout=5,
    read_timeout=20,
    max_pool_connections=32,
)


def client(service: str) -> Any:
    """Return this process's client of an AWS service; clients are safe to share by threads.

    Region, credentials and endpoints are boto3's own business (`AWS_ENDPOINT_URL[_SERVICE]`).
    """
    # A connection pool must not be shared with a forked child, hence the process id.
    return _client(service, os.getpid())


def brief_client(service: str) -> Any:
    """Return a client that gives up within seconds: for triggers and pages, which ask again."""
    return _client(service, os.getpid(), brief=True)


def forget_clients() -> None:
    """Make the next call for a client read the environment anew."""
    _client.cache_clear()


@cache
def _client(service: str, _process: int, brief: bool = False) -> Any:
    return boto3.client(service, config=BRIEF if brief else PATIENT)
