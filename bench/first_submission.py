"""Time from nothing to the first job in Batch, and what S3 was asked for it: stock and ours.

BENCH_SAMPLES (20000): of the project, for ours alone. BENCH_STOCK_SAMPLES (1000): for both, side
by side; stock takes about a second a sample. 95 % of the samples are complete.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from bench import heads, project
from bench.table import Table, ratio

COMPLETE = 0.95


@dataclass
class Run:
    """What one run took: seconds, S3 requests by operation, MiB of its largest process group."""

    seconds: float
    requests: dict[str, int]
    mib: int
    planned: float = 0.0

    @property
    def asked(self) -> int:
        """All S3 requests."""
        return sum(self.requests.values())


def ours(samples: int) -> Run:
    """Plan, and run the first shard's head until its first job is submitted."""
    with heads.aws(samples, COMPLETE) as (s3, batch, folder):
        side = heads.Ours(folder, s3, batch)
        began = time.time()
        manifests, mib = side.plan(samples)
        planned = time.time() - began
        head = side.head(manifests[0])
        at = heads.first_submission(head, batch)
        return Run(at - began, s3.count(), max(mib, head.mib), planned)


def stock(samples: int) -> Run:
    """Run stock Snakemake on the whole project until its first job is submitted."""
    with heads.aws(samples, COMPLETE) as (s3, batch, folder):
        head = heads.Stock(folder / "stock", s3, batch, project.samples(samples)).head()
        at = heads.first_submission(head, batch)
        return Run(at - head.started, s3.count(), head.mib)


def main() -> None:
    """Run them and print two tables."""
    whole = int(os.environ.get("BENCH_SAMPLES", "20000"))
    beside = int(os.environ.get("BENCH_STOCK_SAMPLES", "1000"))
    ours_whole, ours_beside, peer = ours(whole), ours(beside), stock(beside)
    title = f"Time to the first submission, {COMPLETE:.0%} complete, 20 ms a request"
    table = Table(title, "Run", "samples", "seconds", "of these planning", "MiB", "stock / ours")
    table.add("stock", beside, peer.seconds, "", peer.mib, "")
    beaten = ratio(peer.seconds, ours_beside.seconds)
    table.add("ours", beside, ours_beside.seconds, ours_beside.planned, ours_beside.mib, beaten)
    line = peer.seconds / beside * whole
    table.add("stock, straight line", whole, line, "", "", "")
    beaten = ratio(line, ours_whole.seconds)
    table.add("ours", whole, ours_whole.seconds, ours_whole.planned, ours_whole.mib, beaten)
    table.show(f"Goals: {whole:,} samples in 15 s at most; at {beside:,} samples 100 times faster.")
    table = Table("S3 requests until then", "Run", "samples", "keys", "LIST", "HEAD", "all", "goal")
    for name, samples, run in (
        ("stock", beside, peer),
        ("ours", beside, ours_beside),
        ("ours", whole, ours_whole),
    ):
        lists = sum(run.requests.get(name, 0) for name in ("ListObjects", "ListObjectsV2"))
        keys = sum(1 for _ in project.objects(samples, COMPLETE))
        looks = run.requests.get("HeadObject", 0) + run.requests.get("HeadBucket", 0)
        table.add(name, samples, keys, lists, looks, run.asked, keys * 2 // 1000 + 50)
    table.show("Goal: at most one request per 1,000 keys × 2 + 50, of all kinds.")


if __name__ == "__main__":
    main()
