"""The head of a sample's runs: how much of each, what is known of the rest, what is refused."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqharvest.errors import InputError
from seqharvest.qc.subsample import subsample
from tests.conftest import Aws


def fastq(path: Path, reads: int, quality: str = "") -> str:
    draw = random.Random(path.name)
    records = []
    for number in range(reads):
        bases = "".join(draw.choices("ACGT", k=50))
        qualities = quality * 50 or "".join(draw.choices("#5AF", k=50))
        records.append(f"@{path.name}.{number}\n{bases}\n+\n{qualities}\n")
    path.write_bytes(gzip.compress("".join(records).encode()))
    return str(path)


def reads_in(path: Path) -> int:
    return path.read_text().count("\n") // 4


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    runs=st.lists(st.integers(0, 300), min_size=1, max_size=4).filter(any),
    wanted=st.integers(1, 600),
)
def test_it_takes_as_many_as_wanted_or_all_there_are(
    tmp_path: Path, runs: list[int], wanted: int
) -> None:
    files = [fastq(tmp_path / f"r{i}.gz", reads) for i, reads in enumerate(runs)]
    out = tmp_path / "out.fastq"
    stats = subsample([files], wanted, [out])
    assert stats["reads"] == reads_in(out) <= min(wanted, sum(runs))
    if wanted >= len(runs) * max(runs):
        assert (stats["reads"], stats["reads_total"], stats["exact"]) == (sum(runs),) * 2 + (True,)


def test_each_run_gives_its_share(tmp_path: Path) -> None:
    files = [fastq(tmp_path / name, 500) for name in ("a.gz", "b.gz")]
    out = tmp_path / "out.fastq"
    subsample([files], 100, [out])
    assert out.read_text().count("@a.gz") == out.read_text().count("@b.gz") == 50


def test_the_size_of_the_whole_is_estimated_from_the_compressed_bytes(tmp_path: Path) -> None:
    file = fastq(tmp_path / "a.gz", 40_000)
    stats = subsample([[file]], 10_000, [tmp_path / "out.fastq"])
    assert not stats["exact"]
    assert stats["reads_total"] == pytest.approx(40_000, rel=0.1)


def test_constant_qualities_are_told_from_measured_ones(tmp_path: Path) -> None:
    lite = fastq(tmp_path / "lite.gz", 100, quality="?")
    assert not subsample([[lite]], 50, [tmp_path / "out"])["qualities_measured"]
    # Reads that did not pass the sequencer's filter have 3 throughout.
    both = tmp_path / "both.gz"
    both.write_bytes(
        gzip.compress(b"".join(b"@r\nACGT\n+\n" + 4 * q + b"\n" for q in (b"?", b"$") * 50))
    )
    assert not subsample([[str(both)]], 50, [tmp_path / "out"])["qualities_measured"]
    real = fastq(tmp_path / "real.gz", 100)
    assert subsample([[real]], 50, [tmp_path / "out"])["qualities_measured"]


def test_the_same_reads_have_the_same_sketch_whatever_they_are_called(tmp_path: Path) -> None:
    file = fastq(tmp_path / "a.gz", 20_000)
    again = tmp_path / "b.gz"
    records = gzip.decompress(Path(file).read_bytes()).decode().replace("@a.gz", "@ERR1").split("@")
    again.write_bytes(gzip.compress("@".join(["", *reversed(records[1:])]).encode()))
    other = fastq(tmp_path / "c.gz", 20_000)
    sketches = [
        set(subsample([[name]], 20_000, [tmp_path / "out"])["sketch"])
        for name in (file, str(again), other)
    ]
    assert sketches[0] == sketches[1]
    assert 40 < len(sketches[0]) < 130  # one of 256
    assert not sketches[0] & sketches[2]


def test_mates_of_different_length_are_named(tmp_path: Path) -> None:
    one, two = fastq(tmp_path / "r_1.gz", 100), fastq(tmp_path / "r_2.gz", 90)
    with pytest.raises(InputError, match=r"r_1\.gz has 100, .*r_2\.gz has 90"):
        subsample([[one], [two]], 1000, [tmp_path / "1", tmp_path / "2"])


def test_a_file_that_ends_within_a_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"@r\nACGT\n+\nII"))
    with pytest.raises(InputError, match=r"cut\.gz is not FASTQ or ends within a record"):
        subsample([[str(path)]], 10, [tmp_path / "out"])


def test_an_object_is_read_only_as_far_as_needed(tmp_path: Path, aws: Aws) -> None:
    whole = Path(fastq(tmp_path / "big.gz", 40_000))
    key = "raw/project=P/sample=S/R_1.fastq.gz"
    aws.client("s3").put_object(Bucket=aws.bucket, Key=key, Body=whole.read_bytes())
    out = tmp_path / "out.fastq"
    stats = subsample([[f"s3://{aws.bucket}/{key}"]], 1_000, [out])
    assert (stats["reads"], stats["exact"]) == (1_000, False)
    assert reads_in(out) == 1_000
