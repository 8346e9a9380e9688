"""A file arrives whole, to the byte, or not at all."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from seqharvest.archives.download import Transfer
from seqharvest.archives.limits import Limits
from seqharvest.archives.model import FastqFile
from seqharvest.errors import ArchiveError, SeqharvestError, VerificationError

from .conftest import ArchiveServer, Reply

BODY = random.Random(7).randbytes(3_000_000)
MD5 = hashlib.md5(BODY).hexdigest()


def transfer(url: str, folder: Path, limits: Limits, md5: str = MD5) -> Transfer:
    return Transfer(FastqFile(url, md5, len(BODY)), folder / "file", limits)


def test_a_reset_transfer_is_resumed_where_it_broke(
    archive: ArchiveServer, tmp_path: Path, limits: Limits
) -> None:
    tag = {"ETag": '"v1"'}
    url = archive.serve(
        "/f",
        Reply(BODY, headers=tag, cut=1_000_000),
        Reply(b"", 503),
        Reply(BODY, headers=tag, cut=1_500_000),
        Reply(BODY, headers=tag),
    )
    moved = transfer(url, tmp_path, limits)
    assert moved.run() == FastqFile(url, MD5, len(BODY))
    assert (tmp_path / "file").read_bytes() == BODY
    asked = archive.asked("/f")
    assert "Range" not in asked[0] and asked[1]["If-Range"] == '"v1"'
    resumed_at = int(asked[3]["Range"].removeprefix("bytes=").rstrip("-"))
    assert resumed_at > 1_000_000
    assert len(moved.interruptions) == 3


@pytest.mark.parametrize("status", [200, 416])
def test_a_server_that_cannot_resume_starts_afresh(
    status: int, archive: ArchiveServer, tmp_path: Path, limits: Limits
) -> None:
    again = [Reply(b"", 416)] if status == 416 else []
    url = archive.serve("/f", Reply(BODY, cut=90_000), *again, Reply(BODY, ranges=False))
    transfer(url, tmp_path, limits).run()
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_wrong_md5_is_rejected_without_a_second_download(
    archive: ArchiveServer, tmp_path: Path, limits: Limits
) -> None:
    url = archive.serve("/f", Reply(BODY))
    with pytest.raises(VerificationError, match=f"has md5 {MD5}, published is aaaa"):
        transfer(url, tmp_path, limits, md5="a" * 32).run()
    assert len(archive.requests) == 1


def test_parts_of_different_copies_are_fetched_again_as_one(
    archive: ArchiveServer, tmp_path: Path, limits: Limits
) -> None:
    other = bytes(len(BODY))
    url = archive.serve("/f", Reply(other, cut=500_000), Reply(BODY), Reply(BODY))
    transfer(url, tmp_path, limits).run()
    assert (tmp_path / "file").read_bytes() == BODY


@pytest.mark.parametrize(
    ("reply", "error", "why"),
    [
        (Reply(BODY[:-1]), VerificationError, "has 2999999 B, published are 3000000 B"),
        (Reply(b""), VerificationError, "has 0 B, published are 3000000 B"),
        (Reply(BODY, headers={"Content-Length": "17"}), VerificationError, "has 17 B"),
        (Reply(b"", 404), ArchiveError, "HTTP 404"),
        (Reply(b"", 204), ArchiveError, "controlled access"),
        (Reply(b"", 500), ArchiveError, "HTTP 500"),
        (Reply(b"<html>sorry", headers={"Content-Type": "text/html"}), ArchiveError, "web page"),
        (Reply(b"<!DOCTYPE html>", headers={"Content-Length": "3000000"}), ArchiveError, "web"),
        (Reply(BODY, cut=10), ArchiveError, "broke off"),
    ],
    ids=["short", "empty", "length", "404", "204", "500", "html", "hidden html", "reset"],
)
def test_what_never_gets_right_is_an_error_after_some_tries(
    reply: Reply,
    error: type[SeqharvestError],
    why: str,
    archive: ArchiveServer,
    tmp_path: Path,
    limits: Limits,
) -> None:
    url = archive.serve("/f", reply)
    with pytest.raises(error, match=why):
        transfer(url, tmp_path, limits).run()
    assert len(archive.requests) <= limits.fruitless_attempts


def test_a_trickle_is_cut_off_by_its_rate(
    archive: ArchiveServer, tmp_path: Path, limits: Limits
) -> None:
    url = archive.serve("/f", Reply(BODY, pause=0.05), Reply(BODY))
    moved = transfer(url, tmp_path, limits)
    moved.run()
    assert (tmp_path / "file").read_bytes() == BODY
    assert "stalled" in moved.interruptions[0]


def test_silence_is_cut_off(archive: ArchiveServer, tmp_path: Path, limits: Limits) -> None:
    url = archive.serve("/f", Reply(BODY, pause=30), Reply(BODY))
    moved = transfer(url, tmp_path, replace(limits, silence=0.3))
    moved.run()
    assert (tmp_path / "file").read_bytes() == BODY


def test_interruptions_with_progress_may_go_on(
    archive: ArchiveServer, tmp_path: Path, limits: Limits
) -> None:
    cuts = [Reply(BODY, cut=400_000) for _ in range(7)]
    url = archive.serve("/f", *cuts, Reply(BODY))
    moved = transfer(url, tmp_path, replace(limits, progress=100_000))
    moved.run()
    assert len(moved.interruptions) == 7


def test_a_file_that_scratch_cannot_hold_is_not_begun(
    archive: ArchiveServer, tmp_path: Path, limits: Limits
) -> None:
    url = archive.serve("/f", Reply(BODY))
    huge = Transfer(FastqFile(url, MD5, 10**18), tmp_path / "file", limits)
    with pytest.raises(SeqharvestError, match="large-disk queue"):
        huge.run()
    assert archive.requests == []


@pytest.fixture
def parallel(limits: Limits) -> Limits:
    return replace(limits, parallel_from=1, span=200_000, progress=100_000)


def test_a_large_file_comes_in_ranges_over_several_connections(
    archive: ArchiveServer, tmp_path: Path, parallel: Limits
) -> None:
    moved = transfer(archive.serve("/f", Reply(BODY)), tmp_path, parallel)
    assert moved.run().md5 == MD5
    assert (tmp_path / "file").read_bytes() == BODY
    spans = sorted(int(one["Range"][6:].split("-")[0]) for one in archive.asked("/f"))
    assert spans == list(range(0, len(BODY), 200_000)) and moved.interruptions == []


def test_ranges_that_fail_are_asked_for_again_and_no_others(
    archive: ArchiveServer, tmp_path: Path, parallel: Limits
) -> None:
    bad = [Reply(BODY), Reply(b"", 503), Reply(BODY), Reply(BODY, cut=9), Reply(BODY, pause=0.1)]
    url = archive.serve("/f", *bad, Reply(BODY))
    moved = transfer(url, tmp_path, parallel)
    assert moved.run().md5 == MD5
    assert (tmp_path / "file").read_bytes() == BODY
    assert 1 <= len(moved.interruptions) <= 3
    # At worst what was in flight at each failure comes twice.
    assert len(archive.requests) <= 15 + 3 * (parallel.connections + 1)


def test_without_ranges_one_connection_does(
    archive: ArchiveServer, tmp_path: Path, parallel: Limits
) -> None:
    url = archive.serve("/f", Reply(BODY, ranges=False))
    moved = transfer(url, tmp_path, parallel)
    assert moved.run().md5 == MD5 and moved.interruptions == []
    assert (tmp_path / "file").read_bytes() == BODY


def test_a_file_that_is_replaced_while_it_comes_is_brought_anew(
    archive: ArchiveServer, tmp_path: Path, parallel: Limits
) -> None:
    old = [Reply(bytes(len(BODY)), headers={"ETag": '"old"'})] * 4
    url = archive.serve("/f", *old, Reply(BODY, headers={"ETag": '"new"'}))
    moved = transfer(url, tmp_path, parallel)
    assert moved.run().md5 == MD5
    assert any("changed while" in why for why in moved.interruptions)
