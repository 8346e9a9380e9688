"""Batch API calls of 20,000 worker chains, from the first submit to the last end of a job.

BENCH_CHAINS (20000) chains in shards of BENCH_SHARD (1000), one head after the other; once with
array jobs and once without. The Batch stub's jobs wait 1 s and run 5 to 20 s.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

from bench import heads
from bench.stubs import Stub
from bench.table import Table

JOBS = ("--wait", 1, "--run", 5, 20)


def main() -> None:
    """Run all heads to their end, both ways, and print a table."""
    chains = int(os.environ.get("BENCH_CHAINS", "20000"))
    shard = min(chains, int(os.environ.get("BENCH_SHARD", "1000")))
    table = Table(
        f"Batch API calls for {chains:,} worker chains, shards of {shard:,}",
        *("Run", "RegisterJobDefinition", "SubmitJob", "chains a SubmitJob"),
        *("rounds", "DescribeJobs", "most above active/100", "ListJobs", "others"),
    )
    for name, profile in (("arrays", {}), ("no arrays", heads.NO_ARRAYS)):
        counts, rounds = run(chains, shard, profile)
        submits = counts.pop("SubmitJob", 0)
        row = (counts.pop("RegisterJobDefinition", 0), submits, round(chains / max(submits, 1), 1))
        described, listed = counts.pop("DescribeJobs", 0), counts.pop("ListJobs", 0)
        above = max(calls - allowed for calls, allowed in rounds)
        table.add(name, *row, len(rounds), described, above, listed, sum(counts.values()))
    table.show(
        "Goals: no RegisterJobDefinition; SubmitJob at most one per 100 chains with arrays and one "
        "per chain without; DescribeJobs at most active/100, rounded up, in a round.",
        "Stock: one RegisterJobDefinition, SubmitJob, TerminateJob and DeregisterJobDefinition per "
        "chain, and one DescribeJobs per chain and round.",
    )


def run(
    chains: int, shard: int, profile: Mapping[str, object]
) -> tuple[Counter[str], list[tuple[int, int]]]:
    """Run the project to its end; return the calls, and the status rounds."""
    with heads.aws(chains, 0, batch=JOBS) as (s3, batch, folder):
        side = heads.Ours(folder, s3, batch, profile, shard_size=shard, batch_poll_seconds=2)
        manifests, _ = side.plan(chains)
        for manifest in manifests:
            head = side.head(manifest)
            if code := head.wait():
                raise RuntimeError(f"a head ended with {code}: {head.log.read_text()[-3000:]}")
        done = batch.ask("_work")
        if sorted(set(done.values())) != [1] or len(done) != chains:
            raise RuntimeError(f"{len(done)} of {chains} samples ran, {Counter(done.values())}")
        return Counter(batch.count()), rounds_of(batch)


def rounds_of(batch: Stub) -> list[tuple[int, int]]:
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
