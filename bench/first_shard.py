"""Nothing complete: time to the first shard's first job, and memory, as the project grows.

BENCH_SAMPLES (20000) is the largest project; a twentieth and a quarter of it go before.
"""

from __future__ import annotations

import os
import time

from bench import heads
from bench.table import Table
from seqharvest.settings import Settings

SHARD = Settings().shard_size


def main() -> None:
    """Plan and start one head for each size of the project, and print a table."""
    most = int(os.environ.get("BENCH_SAMPLES", "20000"))
    table = Table(
        f"Nothing complete, shards of {SHARD}, 20 ms a request",
        *("Samples", "shards", "s to plan", "s of the head", "s in all"),
        *("MiB of the planner", "MiB of the head", "S3 requests"),
    )
    for samples in (most // 20, most // 4, most):
        with heads.aws(samples, 0) as (s3, batch, folder):
            side = heads.Ours(folder, s3, batch, shard_size=SHARD)
            began = time.time()
            manifests, mib = side.plan(samples)
            head = side.head(manifests[0])
            at = heads.first_submission(head, batch)
            requests = sum(s3.count().values())
            # The rest of the shard, so that the head's memory is its most.
            heads.settle(head, batch)
        planned = head.started - began
        row = (planned, at - head.started, at - began, mib, head.mib, requests)
        table.add(f"{samples:,}", len(manifests), *row)
    table.show(
        "Goals: 5 s in all for the first shard, 300 MiB a head, flat as the project grows. The "
        "head is two processes, the head job and its Snakemake; both are counted."
    )


if __name__ == "__main__":
    main()
