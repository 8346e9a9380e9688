"""Sustained submission of single jobs (no arrays): stock and ours, 20 ms a Batch call.

BENCH_CHAINS (2000, at most a shard) for ours, BENCH_STOCK_JOBS (200) for stock: it first looks at
S3 for a second a sample, which is not counted here.
"""

from __future__ import annotations

import os

from bench import heads, project
from bench.stubs import Stub
from bench.table import Table, ratio


def main() -> None:
    """Submit everything, and print jobs a second from the first submit to the last."""
    chains = min(2000, int(os.environ.get("BENCH_CHAINS", "2000")))
    jobs = int(os.environ.get("BENCH_STOCK_JOBS", "200"))
    table = Table(
        "Sustained submission without arrays, 20 ms a call",
        *("Run", "jobs", "jobs a second", "ours / stock", "throttled", "API calls a job"),
    )
    peer = stock(jobs)
    table.add("stock", jobs, peer[0], "", *peer[1:])
    for name, rate in (("ours", 0), ("ours, account limit 50/s", 50)):
        speed, *rest = ours(chains, rate)
        table.add(name, chains, speed, ratio(speed, peer[0]), *rest)
    table.show("Goal: 50 a second at least, the service's own limit for an account.")


def ours(chains: int, rate: int) -> tuple[float, int, float]:
    """Submit a project of one shard."""
    with heads.aws(chains, 0, batch=(*FOR_EVER, "--rate", rate)) as (s3, batch, folder):
        side = heads.Ours(folder, s3, batch, heads.NO_ARRAYS, shard_size=chains)
        manifests, _ = side.plan(chains)
        return measure(side.head(manifests[0]), batch)


def stock(jobs: int) -> tuple[float, int, float]:
    """Submit the same chains with the stock executor."""
    with heads.aws(jobs, 0, batch=FOR_EVER) as (s3, batch, folder):
        side = heads.Stock(folder / "stock", s3, batch, project.samples(jobs))
        return measure(side.head(), batch)


FOR_EVER = ("--run", 86_400, 86_400)


def measure(head: heads.Watched, batch: Stub) -> tuple[float, int, float]:
    """Return jobs a second, throttled submits, and calls a job, once all are submitted."""
    heads.first_submission(head, batch)
    heads.settle(head, batch)
    counts = batch.count()
    throttled = counts.get("SubmitJob throttled", 0)
    times = batch.times()["SubmitJob"]
    jobs = len(times) - throttled
    calls = sum(counts.get(name, 0) for name in ("RegisterJobDefinition", "SubmitJob"))
    return (jobs - 1) / (times[-1] - times[0]), throttled, round(calls / jobs, 2)


if __name__ == "__main__":
    main()
