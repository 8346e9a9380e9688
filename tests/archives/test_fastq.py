"""FASTQ is checked record by record, at any chunk size, whoever wrote it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.archives import fastq
from seqharvest.errors import VerificationError

RECORDS = st.lists(
    st.tuples(
        st.from_regex(r"[A-Za-z0-9.:_#-]{1,12}", fullmatch=True),
        st.sampled_from(["", " 1:N:0:ACGT", " length=5", "\tx y", "/1", "/2", "/1 z"]),
        st.from_regex(r"[ACGTN]{0,9}", fullmatch=True),
    ),
    min_size=1,
    max_size=8,
)


def text(records: list[tuple[str, str, str]]) -> bytes:
    lines = (f"@{n}{comment}\n{s}\n+\n{'F' * len(s)}\n" for n, comment, s in records)
    return "".join(lines).encode()


def scan(content: bytes, step: int = 1 << 20) -> fastq.FastqReport:
    checked = fastq.FastqScan("r.fastq")
    for place in range(0, len(content), step):
        checked.feed(content[place : place + step])
    return checked.finish()


@given(RECORDS, st.integers(1, 40), st.booleans())
def test_pieces_of_any_size_give_the_same_report(
    records: list[tuple[str, str, str]], step: int, last_line_ends: bool
) -> None:
    content = text(records) if last_line_ends or not records[-1][2] else text(records)[:-1]
    report = scan(content, step)
    assert report.reads == len(records)
    assert report.bases == sum(len(sequence) for *_, sequence in records)
    assert report == scan(text(records))


@given(RECORDS)
def test_mates_match_by_name_whatever_follows_it(records: list[tuple[str, str, str]]) -> None:
    first = scan(text([(name, "/1 a", "ACGT") for name, *_ in records]))
    second = scan(text([(name, "/2 b", "TT") for name, *_ in records]))
    fastq.check_mates(first, second, "SRR1")
    casava = scan(text([(name, " 2:N:0", "TT") for name, *_ in records]))
    fastq.check_mates(first, casava, "SRR1")


def test_mates_of_different_count_or_order_are_rejected() -> None:
    three = [("a", "", "A"), ("b", "", "A"), ("c", "", "A")]
    with pytest.raises(VerificationError, match="SRR1: R1 has 3 reads and R2 2"):
        fastq.check_mates(scan(text(three)), scan(text(three[:2])), "SRR1")
    with pytest.raises(VerificationError, match="names of R1 and R2 differ"):
        fastq.check_mates(scan(text(three)), scan(text(three[::-1])), "SRR1")


GOOD = b"@a\nACGT\n+\nFFFF\n"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (GOOD + b">a\nACGT\n+\nFFFF\n", "read 2: its header does not begin"),
        (GOOD + b"@\nACGT\n+\nFFFF\n", "read 2: its header has no name"),
        (GOOD + b"@a\nACGT\n-\nFFFF\n", "read 2: its third line"),
        (GOOD + b"@a\nACGT\n+\nFFF\n", "read 2: its sequence and quality"),
        (GOOD + b"@a\nAC\x00T\n+\nFFFF\n", "read 2: it holds the control character"),
        (b"@a\r\nACGT\r\n+\r\nFFFF\r\n", "read 1: it holds the control character"),
        (GOOD + "@a\nACGT\n+\nFFFé\n".encode(), "read 2: "),
        (GOOD + b"@a\nAC!T\n+\nFFFF\n", "read 2: its sequence holds '!'"),
        (GOOD + b"@a\nACGT\n+\nFF", "read 2: is cut"),
        (GOOD + b"@a\nAC", "read 2: is cut"),
        (b"<!DOCTYPE html>\n<html>\n<body>\nx\n", "read 1: its header"),
        (b"", "has no reads"),
    ],
)
def test_a_broken_record_is_named(content: bytes, why: str) -> None:
    with pytest.raises(VerificationError, match=why):
        scan(content)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_a_report_or_a_verification_error(content: bytes, step: int) -> None:
    try:
        scan(content, step)
    except VerificationError:
        return


def test_qualities_that_were_not_measured_are_noticed() -> None:
    assert scan(b"@a\nAC\n+\n??\n" * 5, 7).constant_quality == "?"
    assert scan(b"@a\nAC\n+\n??\n" * 5 + GOOD, 7).constant_quality == ""


@pytest.mark.parametrize("damage", ["cut", "flipped", "followed by junk"])
def test_a_damaged_gzip_file_is_rejected(damage: str, tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(text([(f"r{n}", "", "ACGTN" * 9) for n in range(2000)])))
    if damage == "cut":
        del packed[-500:]
    elif damage == "flipped":
        packed[len(packed) // 2] ^= 0x10
    else:
        packed += b"not gzip at all" * 10
    (tmp_path / "SRR1_1.fastq.gz").write_bytes(packed)
    with pytest.raises(VerificationError, match=r"SRR1_1.fastq"):
        fastq.inspect(tmp_path / "SRR1_1.fastq.gz")


def test_real_mates_agree_and_strangers_do_not(data: Path) -> None:
    folder = data / "reads/yeast_GSE110004/fastq"
    first, second, other = (
        fastq.inspect(folder / f"SRR{name}.fastq.gz")
        for name in ("6357070_1", "6357070_2", "6357071_2")
    )
    fastq.check_mates(first, second, "SRR6357070")
    assert (first.reads, first.longest) == (50_000, 101)
    with pytest.raises(VerificationError):
        fastq.check_mates(first, other, "SRR6357070")
