"""The S3 stub: it is S3 as far as the benchmarks look, and no faster than it says."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from hypothesis import given
from hypothesis import strategies as st

from bench import planner, project
from bench.s3_store import Bucket
from bench.stubs import Stub
from seqharvest.workflows import fingerprint
from tests.bench.conftest import client
from tests.conftest import Aws

KEYS = ("a/b/1", "a/b/2", "a/c", "a+b", "b c&d", "d<é>", "e/", "e/f", "z%2F")
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("list_objects_v2", {}),
    ("list_objects_v2", {"Prefix": "a/"}),
    ("list_objects_v2", {"Prefix": "a"}),
    ("list_objects_v2", {"Delimiter": "/"}),
    ("list_objects_v2", {"Delimiter": "/", "Prefix": "a/"}),
    ("list_objects_v2", {"StartAfter": "a/b/1"}),
    ("list_objects_v2", {"StartAfter": "a/b", "Prefix": "a/"}),
    ("list_objects_v2", {"MaxKeys": 3}),
    ("list_objects_v2", {"Prefix": "nothing"}),
    ("list_objects", {"Prefix": "a"}),
    ("list_objects", {"Marker": "a/c", "MaxKeys": 2}),
    ("head_object", {"Key": "a/c"}),
    ("head_object", {"Key": "d<é>"}),
    ("head_object", {"Key": "z%2F"}),
    ("head_object", {"Key": "a/b"}),
    ("get_object", {"Key": "a/c"}),
    ("get_object", {"Key": "a/c", "Range": "bytes=1-3"}),
    ("get_object", {"Key": "a/c", "Range": "bytes=4-"}),
    ("get_object", {"Key": "a/c", "Range": "bytes=-2"}),
    ("get_object", {"Key": "absent"}),
    ("head_bucket", {}),
    ("delete_object", {"Key": "absent"}),
)


@pytest.fixture(scope="module")
def both(aws: Aws, s3_stub: Stub) -> list[tuple[Any, str]]:
    """Clients of ministack and of the stub, with the same objects in a bucket of the test's."""
    sides = [(boto3.client("s3"), f"same-{uuid.uuid4().hex[:8]}"), (client(s3_stub, "s3"), "same")]
    for s3, bucket in sides:
        s3.create_bucket(Bucket=bucket)
        for key in KEYS:
            s3.put_object(Bucket=bucket, Key=key, Body=f"the body of {key}".encode())
    return sides


@pytest.mark.parametrize(("call", "arguments"), CALLS, ids=lambda part: str(part))
def test_it_answers_as_ministack_does(
    both: list[tuple[Any, str]], call: str, arguments: dict[str, Any]
) -> None:
    theirs, ours = (_answer(s3, bucket, call, arguments) for s3, bucket in both)
    assert ours == theirs


def test_pages_of_a_walk_fit_together(both: list[tuple[Any, str]]) -> None:
    for s3, bucket in both:
        for version in ("list_objects_v2", "list_objects"):
            pages = s3.get_paginator(version).paginate(
                Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2}
            )
            seen = [entry for page in pages for entry in _shown(page)]
            assert seen == ["a+b", "a/", "b c&d", "d<é>", "e/", "z%2F"], version


def test_uploads_and_bulk_deletes_arrive(s3_stub: Stub, tmp_path: Any) -> None:
    s3 = client(s3_stub, "s3")
    (tmp_path / "file").write_bytes(b"hello\r\nworld")
    s3.upload_file(str(tmp_path / "file"), "bench", "up/1")
    s3.copy_object(Bucket="bench", Key="up/2", CopySource="bench/up/1")
    assert s3.get_object(Bucket="bench", Key="up/2")["Body"].read() == b"hello\r\nworld"
    s3.delete_objects(Bucket="bench", Delete={"Objects": [{"Key": "up/1"}, {"Key": "up/2"}]})
    assert s3.list_objects_v2(Bucket="bench", Prefix="up/")["KeyCount"] == 0


names = st.text(alphabet="ab/-é", min_size=1, max_size=5)


@given(
    keys=st.sets(names, max_size=30),
    prefix=st.text(alphabet="ab/-é", max_size=2),
    delimiter=st.sampled_from(["", "/"]),
    most=st.integers(1, 5),
)
def test_any_walk_shows_everything_once(
    keys: set[str], prefix: str, delimiter: str, most: int
) -> None:
    bucket = Bucket()
    for key in keys:
        bucket.put(key, b"")
    seen, after = [], ""
    while True:
        page = bucket.page(prefix, after, delimiter, most)
        seen += [stored.key for stored in page.objects] + page.prefixes
        after = page.after
        if not after:
            break
        assert len(page.objects) + len(page.prefixes) == most
    wanted = set()
    for key in keys:
        if key.startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            wanted.add(key if cut < 0 else key[: cut + 1])
    assert sorted(seen) == sorted(wanted)


def test_it_is_as_late_as_it_says_and_serves_many_at_once(s3_stub: Stub) -> None:
    s3 = client(s3_stub, "s3")
    s3_stub.latency(0.1)
    s3_stub.reset()
    try:
        started = time.monotonic()
        s3.list_objects_v2(Bucket="bench")
        one = time.monotonic() - started
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda _: s3.head_bucket(Bucket="bench"), range(10)))
        ten = time.monotonic() - started - one
    finally:
        s3_stub.latency(0)
    assert one >= 0.1
    assert 0.1 <= ten < 0.6, "requests do not wait for each other"
    assert s3_stub.count() == {"ListObjectsV2": 1, "HeadBucket": 10}


def test_a_fault_strikes_what_it_is_for_and_then_no_more(s3_stub: Stub) -> None:
    s3 = client(s3_stub, "s3")
    s3.put_object(Bucket="bench", Key="one", Body=b"1")
    for kind, error in (
        ("throttle", "SlowDown"),
        ("denied", "ExpiredToken"),
        ("truncate", "IncompleteRead|500"),  # botocore takes half a document for an error
        ("drop", "closed"),
    ):
        s3_stub.faults({"operation": "ListObjectsV2", "kind": kind, "after": 1})
        s3.head_object(Bucket="bench", Key="one")
        s3.list_objects_v2(Bucket="bench")
        with pytest.raises((ClientError, BotoCoreError), match=f"(?i){error}"):
            s3.list_objects_v2(Bucket="bench")
        assert s3.list_objects_v2(Bucket="bench")["KeyCount"]


def test_the_project_is_the_one_the_planner_looks_for(s3_stub: Stub) -> None:
    assert fingerprint(planner.WORKFLOW, project.RELEASE) == project.FINGERPRINT
    assert s3_stub.preload(200, 0.95) == 200 * 11 - 10 * 9
    listed = client(s3_stub, "s3").list_objects_v2(
        Bucket="bench", Prefix=project.result_prefix(project.unfinished(200, 0.95)[0])
    )
    assert listed["KeyCount"] == 0
    s3_stub.preload(0, 1)


def _answer(s3: Any, bucket: str, call: str, arguments: dict[str, Any]) -> Any:
    try:
        answer = getattr(s3, call)(Bucket=bucket, **arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    if "Body" in answer:
        return answer["Body"].read(), answer["ETag"], answer["ContentLength"]
    if call == "head_object":
        assert answer["LastModified"].microsecond == 0
        return answer["ETag"], answer["ContentLength"]
    if call.startswith("list"):
        entries = [(e["Key"], e["Size"], e["ETag"]) for e in answer.get("Contents", [])]
        return entries, answer.get("CommonPrefixes"), answer["IsTruncated"]
    return None


def _shown(page: dict[str, Any]) -> list[str]:
    entries = [entry["Key"] for entry in page.get("Contents", [])]
    return sorted(entries + [entry["Prefix"] for entry in page.get("CommonPrefixes", [])])
