"""Listings: every object once, in few requests, and nothing absent because S3 was in trouble."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.project import Made
from seqharvest import list_pages, listing
from seqharvest.errors import ListingError
from seqharvest.list_pages import read
from seqharvest.listing import Entry, Listing, below, entries, folders
from tests.conftest import Aws
from tests.s3_server import S3Server, s3_server

#: What sorts before, at and after "/" and "~", and what URLs, XML and UTF-8 make trouble with.
KEYS = st.lists(
    st.text("ab/./=+ %&<>\"'~é\U0001f9ec\U0010ffff", min_size=1, max_size=8), max_size=40
)
SOME = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


@pytest.fixture
def small_pages(server: S3Server) -> Iterator[Any]:
    """A client whose listings are cut into many parts although they are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "FOLDERS_A_THREAD", 2)
        yield server.client(page=3)


def project(samples: int, objects: int = 11) -> list[str]:
    return [f"raw/sample=S{s:05}/{o:02}.gz" for s in range(samples) for o in range(objects)]


def keys(listed: Iterator[Entry]) -> list[str]:
    return sorted(entry.key for entry in listed)


@SOME
@given(stored=KEYS, cut=st.integers(0, 4), data=st.data())
def test_every_object_below_a_prefix_is_listed_once(
    server: S3Server, small_pages: Any, stored: list[str], cut: int, data: st.DataObject
) -> None:
    server.fill(set(stored))
    prefix = data.draw(st.sampled_from(stored))[:cut] if stored else "a"
    assert keys(entries("bucket", prefix, s3=small_pages)) == sorted(
        key for key in set(stored) if key.startswith(prefix)
    )


@SOME
@given(stored=KEYS, others=KEYS, cut=st.integers(1, 6), data=st.data())
def test_every_object_below_many_prefixes_is_listed_once(
    server: S3Server,
    small_pages: Any,
    stored: list[str],
    others: list[str],
    cut: int,
    data: st.DataObject,
) -> None:
    server.fill(set(stored))
    chosen = data.draw(st.lists(st.sampled_from(stored), max_size=20)) if stored else []
    prefixes = [key[:cut] for key in chosen + others[:5]]
    assert keys(below("bucket", prefixes, s3=small_pages)) == sorted(
        key for key in set(stored) if key.startswith(tuple(prefixes))
    )


@pytest.mark.parametrize(
    "stored",
    [
        project(2000),
        project(20_000, objects=1),
        [f"flat/{n:06}" for n in range(20_000)],
        [f"one/folder/deep/{k}/{n:06}" for k in "ab" for n in range(10_000)],
        [f"{n % 7}/{n:05}/x" for n in range(20_000)],
    ],
    ids=["folders of eleven", "folders of one", "flat", "two long folders", "two levels"],
)
def test_an_unknown_prefix_takes_few_requests(server: S3Server, stored: list[str]) -> None:
    server.fill(stored)
    ours = Listing("bucket", server.client())
    assert keys(ours.entries("")) == sorted(stored)
    assert ours.requests == server.lists <= 2 * len(stored) / 1000 + 50


@pytest.mark.parametrize("every", [1, 10, 400])
def test_known_folders_take_no_more_requests_than_pages_or_folders(
    server: S3Server, every: int
) -> None:
    stored = project(4000)
    server.fill(stored)
    wanted = sorted({key.rpartition("/")[0] + "/" for key in stored})[::every]
    found = keys(below("bucket", wanted, s3=server.client()))
    assert found == [key for key in stored if key.startswith(tuple(wanted))]
    assert server.lists <= min(len(wanted), len(stored) / 1000) + 40


def test_a_small_listing_is_one_request(server: S3Server) -> None:
    server.fill(project(90))
    prefixes = [f"raw/sample=S{s:05}/" for s in range(90)]
    for listed in (
        entries("bucket", "raw/", s3=server.client()),
        below("bucket", prefixes, s3=server.client()),
    ):
        server.stub.counts.clear()
        assert len(list(listed)) == 990
        assert server.lists == 1
    assert list(below("bucket", [], s3=server.client())) == []


def test_folders_are_those_right_below(server: S3Server, small_pages: Any) -> None:
    server.fill([f"p/{n}/x/y" for n in range(8)] + ["p/file", "p/odd name+&/z"])
    assert list(folders("bucket", "p/", s3=small_pages)) == [
        *(f"p/{n}/" for n in range(8)),
        "p/odd name+&/",
    ]


def test_an_entry_has_size_and_time_in_whole_seconds(server: S3Server) -> None:
    server.fill([Made("a", 0, 1_767_225_600), Made("b", 5_000_000, 0)])
    assert list(entries("bucket", "", s3=server.client())) == [
        Entry("a", 0, datetime(2026, 1, 1, tzinfo=UTC)),
        Entry("b", 5_000_000, datetime(1970, 1, 1, tzinfo=UTC)),
    ]


@pytest.mark.parametrize("kind", ["throttle", "error", "truncate", "drop"])
def test_a_page_that_fails_is_asked_for_again(server: S3Server, kind: str) -> None:
    stored = project(1000)
    server.fill(stored)
    server.fail(kind, after=3, times=3)
    assert keys(entries("bucket", "raw/", s3=server.client())) == stored
    assert not server.stub.faults[0].times


@pytest.mark.parametrize("kind", ["throttle", "truncate", "drop"])
def test_a_page_that_goes_on_failing_is_an_error_and_not_absence(
    server: S3Server, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.fill(project(1000))
    server.fail(kind, after=4, times=-1)
    monkeypatch.setattr(list_pages, "PATIENCE_SECONDS", 1)
    prefixes = [f"raw/sample=S{s:05}/" for s in range(1000)]
    with pytest.raises(
        ListingError, match=r"s3://bucket/raw/sample=S\d*.*page after raw.* times in"
    ):
        list(below("bucket", prefixes, s3=server.client()))


@pytest.mark.parametrize(
    ("bucket", "code"), [("nobodys", "NoSuchBucket"), ("bucket", "ExpiredToken")]
)
def test_a_refusal_is_an_error_at_once(server: S3Server, bucket: str, code: str) -> None:
    server.fill(["a"])
    if code == "ExpiredToken":
        server.fail("denied")
    with pytest.raises(ListingError, match=f"s3://{bucket}/a.*{code}.*→"):
        list(entries(bucket, "a", s3=server.client()))
    assert server.lists == 1


def test_a_listing_without_credentials_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    s3 = boto3.Session().client("s3", region_name="eu-west-1")
    with pytest.raises(ListingError, match=r"s3://bucket/a.*credentials"):
        list(entries("bucket", "a", s3=s3))


def test_a_listing_left_early_leaves_no_thread_behind(server: S3Server) -> None:
    server.fill(project(2000))
    before = threading.active_count()
    listed = entries("bucket", "", s3=server.client())
    next(listed)
    listed.close()
    listed = below("bucket", [f"raw/sample=S{s:05}/" for s in range(2000)], s3=server.client())
    next(listed)
    listed.close()
    for thread in threading.enumerate():
        if thread.name == "seqharvest-listing":
            thread.join(10)
    assert threading.active_count() <= before


def test_what_a_listing_holds_does_not_grow_while_nobody_takes_it(server: S3Server) -> None:
    server.fill(project(20_000))
    listed = entries("bucket", "", s3=server.client())
    next(listed)
    time.sleep(1)
    assert server.lists <= 4 * listing.THREADS
    listed.close()


def test_a_listing_can_be_asked_again(server: S3Server) -> None:
    server.fill(project(500))
    ours = Listing("bucket", server.client())
    assert len(list(ours.entries("raw/"))) == 5500
    server.fail("throttle")
    assert len(list(ours.entries("raw/"))) == 5500
    assert list(ours.folders("")) == ["raw/"]
    assert ours.requests == server.lists


def test_requests_are_signed_with_version_4_for_any_client(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        asked: list[bytes] = []

        def answer() -> None:
            visitor, _ = door.accept()
            asked.append(visitor.recv(65536))
            visitor.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            visitor.close()

        thread = threading.Thread(target=answer)
        thread.start()
        s3 = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{door.getsockname()[1]}",
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            aws_session_token="token",
            config=Config(s3={"addressing_style": "path"}),
        )
        with pytest.raises(ListingError, match="403"):
            list(entries("bucket", "a b", s3=s3))
        thread.join()
    assert b"prefix=a%20b" in asked[0]
    assert b"X-Amz-Algorithm=AWS4-HMAC-SHA256" in asked[0]
    assert b"X-Amz-Security-Token=token" in asked[0]


LIST = (
    '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    "<IsTruncated>false</IsTruncated>{}</ListBucketResult>\n"
)


def test_a_page_is_read_whatever_the_order_of_its_fields_and_its_encoding() -> None:
    page = read(
        LIST.format(
            "<Contents>\n <Size>7</Size><ETag>&quot;e&quot;</ETag><Key>a&amp;b+c%3D</Key>"
            "<LastModified>2026-01-01T00:00:00.999Z</LastModified></Contents>"
            "<CommonPrefixes><Prefix>a &lt;%2B/</Prefix></CommonPrefixes><KeyCount>2</KeyCount>"
        )
    )
    assert page.entries == [Entry("a&b+c%3D", 7, datetime(2026, 1, 1, tzinfo=UTC))]
    assert page.folders == ["a <%2B/"]
    page = read(
        LIST.format(
            "<EncodingType>url</EncodingType><Contents><Key>a%253D%3D+b</Key>"
            "<LastModified>2026-01-01T00:00:00Z</LastModified><ETag>&quot;e&quot;</ETag>"
            "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm><Size>7</Size>"
            "<Owner><ID>me</ID></Owner></Contents>"
        )
    )
    assert page.entries == [Entry("a%3D= b", 7, datetime(2026, 1, 1, tzinfo=UTC))]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>a proxy's page</html>",
        LIST.format("<KeyCount>1</KeyCount>"),
        LIST.format("<Contents><Key>a</Key></Contents>"),
        LIST.format("").replace("false", "true"),
        LIST.format("").replace("<IsTruncated>false</IsTruncated>", ""),
        LIST.format("<Contents>")[:-30],
    ],
)
def test_an_answer_that_is_not_whole_is_not_a_page(text: str) -> None:
    with pytest.raises(list_pages.Trouble):
        read(text)


def test_the_laptops_s3_is_listed_too(aws: Aws) -> None:
    s3 = aws.client("s3")
    odd = ["a&b.txt", "a+b c/é<x>'\"", "a/1", "a/2", "a/2/3", "a%2F", "b"]
    for key in odd:
        s3.put_object(Bucket=aws.bucket, Key=f"listing/{key}", Body=b"x")
    s3.meta.events.register(
        "provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 2}
    )
    assert keys(entries(aws.bucket, "listing/", s3=s3)) == sorted(f"listing/{key}" for key in odd)
    assert keys(below(aws.bucket, ["listing/a/", "listing/b"], s3=s3)) == [
        *("listing/a/1", "listing/a/2", "listing/a/2/3", "listing/b")
    ]
    assert list(folders(aws.bucket, "listing/", s3=s3)) == ["listing/a+b c/", "listing/a/"]
