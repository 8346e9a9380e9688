"""List every object of the project: boto3's paginator, boto3 in threads, and ours.

BENCH_SAMPLES (20000) of eleven objects each; at 20 and at 100 ms a page.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

from bench import project, stubs
from bench.table import Table, ratio
from seqharvest import listing

THREADS = 32


def paginator() -> int:
    """List with boto3's paginator, a page after the other."""
    return _length("")


def in_threads() -> int:
    """List with boto3's paginators, one a thread, over the known folders cut evenly."""
    folders = [project.raw_prefix(sample) for sample in _samples()]
    folders += [project.result_prefix(sample) for sample in _samples()]
    step = -(-len(folders) // THREADS)
    bounds = [(folders[at], folders[at : at + step][-1]) for at in range(0, len(folders), step)]
    client = boto3.client("s3", config=Config(max_pool_connections=THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        return sum(pool.map(lambda bound: _between(client, *bound), bounds))


def ours() -> int:
    """List with `seqharvest.listing`, nothing known of what is there."""
    return sum(1 for _ in listing.entries(project.BUCKET, ""))


def ours_known() -> int:
    """List with `seqharvest.listing`, the samples known, as a planner has them."""
    raw = [project.raw_prefix(sample) for sample in _samples()]
    results = [project.result_prefix(sample) for sample in _samples()]
    return sum(1 for row in (raw, results) for _ in listing.below(project.BUCKET, row))


WAYS: tuple[tuple[str, Callable[[], int]], ...] = (
    ("boto3's paginator", paginator),
    (f"boto3, {THREADS} threads", in_threads),
    ("ours, nothing known", ours),
    ("ours, samples known", ours_known),
)


def _length(prefix: str) -> int:
    pages = boto3.client("s3").get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=project.BUCKET, Prefix=prefix)
    return sum(len(page.get("Contents", ())) for page in found)


def _between(client: object, first: str, last: str) -> int:
    pages = client.get_paginator("list_objects_v2")  # type: ignore[attr-defined]
    count = 0
    for page in pages.paginate(Bucket=project.BUCKET, StartAfter=first):
        keys = [entry["Key"] for entry in page.get("Contents", ())]
        mine = [key for key in keys if key < last or key.startswith(last)]
        count += len(mine)
        if len(mine) < len(keys):
            break
    return count


def _samples() -> Iterable[str]:
    return project.samples(int(os.environ.get("BENCH_SAMPLES", "20000")))


def main() -> None:
    """Run all ways at two latencies and print a table."""
    samples = int(os.environ.get("BENCH_SAMPLES", "20000"))
    with stubs.s3() as stub:
        keys = stub.preload(samples, 0.95)
        os.environ.update(stubs.environment(stub))
        columns = ("Way", "s at 20 ms", "boto3 / it", "s at 100 ms", "boto3 / it", "requests")
        table = Table(f"Listing of {keys:,} keys", *columns)
        first: dict[float, float] = {}
        for name, way in WAYS:
            cells: list[object] = []
            for latency in (0.02, 0.1):
                stub.latency(latency)
                stub.reset()
                began = time.monotonic()
                found = way()
                took = time.monotonic() - began
                if found != keys:
                    sys.exit(f"{name} found {found} keys of {keys}")
                cells += [took, ratio(first.setdefault(latency, took), took)]
            table.add(name, *cells, sum(stub.count().values()))
    table.show(f"Pages of 1,000 keys: {-(-keys // 1000)}.")


if __name__ == "__main__":
    main()
