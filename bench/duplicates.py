"""Work done twice when the head job is killed again and again: stock and ours.

BENCH_KILLS (20) heads are ended with SIGKILL at seeded moments between their start and some
seconds after their first submit; one more may finish. BENCH_KILL_SAMPLES (100) samples; for
stock BENCH_STOCK_KILLS (5) and 20 samples, because each of its starts looks at S3 for so long.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial

from bench import heads, project
from bench.stubs import Stub
from bench.table import Table

SEED = 11
#: Longer than a head lives on average, so that most kills leave jobs behind that still run.
JOBS = ("--wait", 1, "--run", 10, 40)


def main() -> None:
    """Kill heads of both, and print how often samples were worked on."""
    samples = int(os.environ.get("BENCH_KILL_SAMPLES", "100"))
    kills = int(os.environ.get("BENCH_KILLS", "20"))
    stock_kills = int(os.environ.get("BENCH_STOCK_KILLS", "5"))
    table = Table(
        "Duplicate work after kills of the head job",
        *("Run", "samples", "kills", "kills that left running jobs", "jobs run", "done twice"),
    )
    table.add("stock", 20, stock_kills, *stock(20, stock_kills))
    for name, profile in (("ours, arrays", {}), ("ours, no arrays", heads.NO_ARRAYS)):
        table.add(name, samples, kills, *ours(samples, kills, profile))
    table.show("Goal: 0 done twice. The kills' moments come from a fixed seed.")


def ours(samples: int, kills: int, profile: Mapping[str, object]) -> tuple[int, int, int]:
    """Kill heads of one shard, then let one finish."""
    with heads.aws(samples, 0, batch=JOBS) as (s3, batch, folder):
        side = heads.Ours(folder, s3, batch, profile, shard_size=samples, batch_poll_seconds=1)
        manifests, _ = side.plan(samples)
        start = partial(side.head, manifests[0])
        return kill_again_and_again(start, batch, kills, 12, samples)


def stock(samples: int, kills: int) -> tuple[int, int, int]:
    """Kill stock Snakemake in the same way; it needs longer to submit."""
    with heads.aws(samples, 0, batch=JOBS) as (s3, batch, folder):
        side = heads.Stock(folder / "stock", s3, batch, project.samples(samples))
        return kill_again_and_again(side.head, batch, kills, 60, samples)


def kill_again_and_again(
    start: heads.Starter, batch: Stub, kills: int, most: float, samples: int
) -> tuple[int, int, int]:
    """Return kills that left jobs behind, jobs that ran, and how many of them were needless."""
    chosen, left = random.Random(SEED), 0
    for _ in range(kills):
        head = start()
        end = time.monotonic() + chosen.uniform(0.5, most)
        while head.look() and time.monotonic() < end:
            time.sleep(heads.LOOK)
        head.kill()
        left += batch.ask("_active") > 0
    head = start()
    if code := head.wait():
        raise RuntimeError(f"the last head ended with {code}: {head.log.read_text()[-3000:]}")
    done: Counter[str] = Counter(batch.ask("_work"))
    if len(done) != samples:
        raise RuntimeError(f"{len(done)} of {samples} samples were worked on")
    return left, done.total(), done.total() - samples


if __name__ == "__main__":
    main()
