"""Batch API calls of 20,000 worker chains, from the first submit to the last end of a job.

BENCH_CHAINS (20000) chains in shards of BENCH_SHARD (2000), one head after the other; once with
array jobs and once without. Stock runs BENCH_STOCK_CHAINS (50): it takes seconds for each. The
jobs of the Batch stub wait 1 s and run 5 to 20 s.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping

from bench import heads, project
from bench.stubs import Stub
from bench.table import Table

#: Of each status round: how often DescribeJobs was asked, how often its active jobs allow.
Rounds = list[tuple[int, int]]
JOBS = ("--wait", 1, "--run", 5, 20)


def main() -> None:
    """Run all heads to their end, both ways and stock's, and print a table."""
    chains = int(os.environ.get("BENCH_CHAINS", "20000"))
    shard = min(chains, int(os.environ.get("BENCH_SHARD", "2000")))
    few = int(os.environ.get("BENCH_STOCK_CHAINS", "50"))
    table = Table(
        f"Batch API calls for worker chains; ours in shards of {shard:,}",
        *("Run", "chains", "RegisterJobDefinition", "SubmitJob", "chains a SubmitJob"),
        *("DescribeJobs", "most in a round above active/100", "ListJobs", "others"),
    )
    show(table, "stock", few, *stock(few))
    show(table, "ours, arrays", chains, *ours(chains, shard, {}))
    show(table, "ours, no arrays", chains, *ours(chains, shard, heads.NO_ARRAYS))
    table.show(
        "Goals: no RegisterJobDefinition; SubmitJob at most one per 100 chains with arrays and one "
        "per chain without; DescribeJobs at most active/100, rounded up, in a round.",
        "Stock's others are a TerminateJob and a DeregisterJobDefinition per chain; ours are the "
        "checks of queue and compute environment, once a head.",
    )


def show(table: Table, name: str, chains: int, calls: Counter[str], rounds: Rounds) -> None:
    """Add a run's row."""
    told = [calls.pop(call, 0) for call in ("RegisterJobDefinition", "SubmitJob")]
    described, listed = calls.pop("DescribeJobs", 0), calls.pop("ListJobs", 0)
    above = max(asked - allowed for asked, allowed in rounds)
    each = round(chains / told[1], 1)
    table.add(name, chains, *told, each, described, above, listed, calls.total())


def ours(chains: int, shard: int, profile: Mapping[str, object]) -> tuple[Counter[str], Rounds]:
    """Run the project to its end; return the calls, and the status rounds."""
    with heads.aws(chains, 0, batch=JOBS) as (s3, batch, folder):
        side = heads.Ours(folder, s3, batch, profile, shard_size=shard, batch_poll_seconds=2)
        manifests, _ = side.plan(chains)
        return finished(map(side.head, manifests), batch, chains)


def stock(chains: int) -> tuple[Counter[str], Rounds]:
    """Run stock Snakemake to its end."""
    with heads.aws(chains, 0, batch=JOBS) as (s3, batch, folder):
        side = heads.Stock(folder / "stock", s3, batch, project.samples(chains))
        return finished([side.head()], batch, chains)


def finished(
    running: Iterable[heads.Watched], batch: Stub, chains: int
) -> tuple[Counter[str], Rounds]:
    """Wait for each head, check that all samples ran once, and return calls and rounds."""
    for head in running:
        if code := head.wait():
            raise RuntimeError(f"a head ended with {code}: {head.log.read_text()[-3000:]}")
    done = batch.ask("_work")
    if sorted(set(done.values())) != [1] or len(done) != chains:
        raise RuntimeError(f"{len(done)} of {chains} samples ran, {Counter(done.values())}")
    return Counter(batch.count()), rounds_of(batch)


def rounds_of(batch: Stub) -> Rounds:
    """Return the DescribeJobs of each status round, and how many its active jobs allow."""
    rounds: list[list[dict[str, float]]] = []
    for call in batch.ask("_describes"):
        # Calls of a round follow each other at once; rounds are seconds apart.
        if rounds and call["at"] - rounds[-1][-1]["at"] < 1:
            rounds[-1].append(call)
        else:
            rounds.append([call])
    return [(len(calls), -(-int(calls[0]["active"]) // 100)) for calls in rounds]


if __name__ == "__main__":
    main()
