"""Reads of a dump become mates and single reads, whatever pieces they come in."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.archives.mates import MateStream
from seqharvest.archives.pending import PendingObject
from seqharvest.archives.spots import SpotSplitter
from seqharvest.errors import VerificationError


def read(spot: int, number: int, name: str = "n") -> bytes:
    return f"@SRR1.{spot}/{number} {name}/{number}\nACGT\n+\nFF@F\n".encode()


def split(content: bytes, step: int) -> tuple[bytes, bytes, bytes]:
    splitter = SpotSplitter("SRR1")
    pieces = [content[place : place + step] for place in range(0, len(content), step)]
    parts = [*map(splitter.feed, pieces), splitter.finish()]
    first, second, single = (b"".join(part) for part in zip(*parts, strict=True))
    assert splitter.pairs == first.count(b"ACGT") == second.count(b"ACGT")
    assert splitter.singles == single.count(b"ACGT")
    return first, second, single


@given(st.lists(st.sampled_from(["both", "1", "2"]), max_size=12), st.integers(1, 200))
def test_pieces_of_any_size_are_sorted_alike(spots: list[str], step: int) -> None:
    dump, wanted = b"", (b"", b"", b"")
    for spot, kind in enumerate(spots, 1):
        if kind == "both":
            reads = (read(spot, 1), read(spot, 2), b"")
        else:
            reads = (b"", b"", read(spot, int(kind)))
        dump += b"".join(reads)
        wanted = tuple(a + b for a, b in zip(wanted, reads, strict=True))  # type: ignore[assignment]
    assert split(dump, step) == wanted


def test_three_reads_of_a_spot_and_half_a_read_are_refused() -> None:
    with pytest.raises(VerificationError, match=r"spot @SRR1.2 of run SRR1 has 3 biological"):
        split(read(1, 1) + read(2, 1) + read(2, 2) + read(2, 3), 1000)
    with pytest.raises(VerificationError, match="middle of a read"):
        split(read(1, 1) + read(1, 2)[:-5], 1000)


def test_a_stream_of_many_parts_is_one_whole_object_and_the_same_bytes_again(aws: Any) -> None:
    plain = b"".join(read(n, 1, f"{n * 7919:x}" * 9) for n in range(60_000))
    s3, bodies = aws.client("s3"), []
    for key in ("one", "two"):
        target = PendingObject(s3, aws.bucket, f"stream/{key}")
        target.part_size = 5 << 20 if key == "one" else 16 << 20
        target.part_size //= 10  # ministack takes small parts
        stream = MateStream("SRR1_1.fastq", target, 2)
        for place in range(0, len(plain), 1 << 20):
            stream.write(plain[place : place + (1 << 20)])
        mate = stream.finish()
        stream.close()
        assert "Contents" not in s3.list_objects_v2(Bucket=aws.bucket, Prefix=f"stream/{key}")
        mate.object.complete()
        bodies.append(s3.get_object(Bucket=aws.bucket, Key=f"stream/{key}")["Body"].read())
        assert (mate.report.reads, mate.size) == (60_000, len(bodies[-1]))
    assert bodies[0] == bodies[1] and gzip.decompress(bodies[0]) == plain


def test_what_is_no_fastq_ends_the_stream(aws: Any, tmp_path: Path) -> None:
    target = PendingObject(aws.client("s3"), aws.bucket, "stream/bad")
    stream = MateStream("SRR1_1.fastq", target, 1)
    with pytest.raises(VerificationError, match="read 2: its header"):
        stream.write(read(1, 1) + b">x\nA\n+\nF\n")
        stream.finish()
    stream.close()
    target.abort()
