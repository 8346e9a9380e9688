"""The stubs of the benchmarks, each running for the session, and clients of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

from bench import stubs

PLAIN = Config(retries={"total_max_attempts": 1})


@pytest.fixture(scope="session")
def s3_stub() -> Iterator[stubs.Stub]:
    """An S3 stub without latency, with a bucket `bench`."""
    with stubs.s3(latency=0) as running:
        client(running, "s3").create_bucket(Bucket="bench")
        yield running


@pytest.fixture(scope="session")
def batch_stub(s3_stub: stubs.Stub) -> Iterator[stubs.Stub]:
    """A Batch stub without latency whose jobs last about half a second."""
    with stubs.batch(s3_stub, "--latency", 0, "--wait", 0.1, "--run", 0.2, 0.6) as running:
        yield running


def client(stub: stubs.Stub, service: str) -> Any:
    """Return a client of a stub that tries once."""
    return boto3.client(
        service,
        endpoint_url=stub.url,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=PLAIN,
    )
