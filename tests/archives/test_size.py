"""What a run takes is told before it is submitted, and a disk is never promised twice."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqharvest.archives import scratch, size
from seqharvest.archives.model import FastqFile, Run
from seqharvest.errors import SeqharvestError
from seqharvest.settings import settings

ALL = ("sra", "ena", "prefetch")
GB = size.GB


def run(gb: float) -> Run:
    return Run("SRR1", "SRX1", "paired", sra_url="http://x", sra_size=int(gb * GB))


@pytest.fixture
def knobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    settings.cache_clear()
    yield monkeypatch
    monkeypatch.undo()
    settings.cache_clear()


@pytest.mark.parametrize(
    ("gb", "vcpus", "queue"),
    [
        (1.6, 1, "worker"),
        (2.5, 1, "worker"),
        (8, 4, "worker"),
        (22, 8, "worker"),  # the largest of 1,000 public runs
        (40, 8, "large_disk"),
    ],
)
def test_cores_come_with_the_disk_a_run_takes(gb: float, vcpus: int, queue: str) -> None:
    shape = size.size_of(run(gb).as_dict(), ALL)
    assert (shape.vcpus, shape.queue) == (vcpus, f"{queue}_queue")
    assert 1000 < shape.memory_mb < 2000 * vcpus


def test_without_a_large_disk_queue_the_largest_shape_is_taken(knobs: pytest.MonkeyPatch) -> None:
    knobs.setenv("SEQHARVEST_LARGE_DISK_QUEUE", "")
    settings.cache_clear()
    assert size.size_of(run(40).as_dict(), ALL).queue == "worker_queue"


def test_a_plan_knows_sources_and_what_is_published() -> None:
    fastq = tuple(FastqFile(f"http://x/{mate}.fastq.gz", size=2 * GB) for mate in (1, 2))
    published = Run("SRR1", "SRX1", "paired", spots=50_000_000, bases=10 * GB, fastq=fastq)
    assert size.scratch_bytes(published, ("ena",)) < 5 * GB
    # Plain FASTQ is two bytes a base and its headers; the archive is a seventh of it.
    assert 27 * GB < size.scratch_bytes(published, ALL) < 40 * GB
    assert size.scratch_bytes(Run("SRR1", "SRX1", "paired"), ALL) > 20 * GB  # nothing is known
    assert size.size_of({"accession": "SRR1"}, ALL).vcpus == 1  # no run: its job will say so


def test_a_disk_is_not_promised_twice_and_comes_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(total=100 * GB, free=100 * GB)
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: usage)
    order: list[str] = []

    def reserve(gb: int, patience: float, name: str) -> None:
        with scratch.reserved(tmp_path, gb * GB, patience, every=0.01):
            order.append(name)

    with scratch.reserved(tmp_path, 60 * GB, patience=0) as folder:
        assert list(folder.iterdir()) == [folder / scratch.PLAN]
        with pytest.raises(SeqharvestError, match="disk full"):
            reserve(60, 0.02, "never")
        reserve(39, 0, "beside")
        waiting = threading.Thread(target=reserve, args=(60, 10, "after"))
        waiting.start()
        time.sleep(0.05)
        order.append("end")
    waiting.join()
    assert order == ["beside", "end", "after"] and list(tmp_path.iterdir()) == []
    with pytest.raises(SeqharvestError, match="large-disk queue"):
        reserve(101, 60, "never")


def test_what_a_dead_job_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / f"{scratch.PREFIX}dead"
    left.mkdir()
    (left / scratch.PLAN).write_text(str(10**15))
    with scratch.reserved(tmp_path, 1, patience=0):
        assert not left.exists()
