"""How far a stage's head jobs are: what Airflow knows of their tasks, and what they recorded."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from seqharvest import aws
from seqharvest.layout import manifest_parts, outcome_key, progress_key
from seqharvest.registry import fetching
from seqharvest.settings import settings

FRESH_SECONDS = 4  # people who look at one run together cost one look at S3 in so many
FETCH_SECONDS = 10  # and one at the samples of a project that is fetched
READERS = 16
MOST_FAILURES = 50  # listed for a stage; the others are counted

#: A task's state in Airflow: what it means for its shard.
STATES = {
    "running": "running",
    "deferred": "running",
    "success": "done",
    "failed": "failed",
    "upstream_failed": "skipped",
    "skipped": "skipped",
    "removed": "skipped",
    "up_for_retry": "retrying",
    "up_for_reschedule": "retrying",
    "restarting": "retrying",
}
WAITING = "waiting"  # any other state: for a slot of the pool, or a process to submit from


@dataclass
class Task:
    """A task instance as far as it matters here; times are seconds since the epoch."""

    state: str | None = None
    try_number: int = 0
    started: float = 0.0
    ended: float = 0.0


@dataclass
class Shard:
    """One head job: its task's state, and its counts of jobs as far as they are known."""

    state: str
    samples: int
    counts: dict[str, int] = field(default_factory=dict)
    left: int | None = None  # seconds, once the head can tell
    seconds: int = 0  # since it began, or that it took
    failures: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass
class Stage:
    """The shards of one task of the DAG."""

    name: str
    state: str
    unit: str
    shards: list[Shard]
    counts: dict[str, int]
    left: int | None
    failures: list[dict[str, str]]
    more_failures: int
    note: str = ""  # of a fetch: its bytes, and how fast they come


def stage_of(task_id: str, plans: Sequence[Mapping[str, Any]], tasks: Mapping[int, Task]) -> Stage:
    """Describe a task of the DAG from its plans and its instances by map index.

    Raises what boto3 raises when S3 cannot be read.
    """
    of_plans = [(plan, tasks.get(n) or tasks.get(-1) or Task()) for n, plan in enumerate(plans)]
    with ThreadPoolExecutor(READERS) as pool:
        try:
            shards = list(pool.map(_shard, *zip(*of_plans, strict=True))) if of_plans else []
        except (ClientError, BotoCoreError):
            pool.shutdown(cancel_futures=True)  # the others would wait for the same error
            raise
    failures = list(_failures(shards))
    fetches = {
        manifest_parts(plan["manifest"])[1]
        for (plan, _), shard in zip(of_plans, shards, strict=True)
        if "runs" in plan and shard.state == "running"
    }
    return Stage(
        name=task_id.removesuffix(".run").replace(".", " "),
        state=_together([s.state for s in shards] or [_state(t) for t in tasks.values()], plans),
        unit="runs" if any("runs" in plan for plan in plans) else "samples",
        shards=shards,
        counts=dict(sum((Counter(_sized(shard)) for shard in shards), Counter())),
        left=_left(shards),
        failures=failures[:MOST_FAILURES],
        more_failures=max(0, len(failures) - MOST_FAILURES),
        note="; ".join(filter(None, map(_downloads, sorted(fetches)))),
    )


def _shard(plan: Mapping[str, Any], task: Task) -> Shard:
    size = int(plan.get("runs", plan.get("samples", 0)))
    shard = Shard(_state(task), size)
    if task.started:
        shard.seconds = round((task.ended or time.time()) - task.started)
    if shard.state in (WAITING, "skipped") or not plan.get("manifest"):
        return shard
    names = manifest_parts(plan["manifest"])
    record = _read(progress_key(*names), _as_of(task))
    if record and not _of_an_earlier_try(record, task):
        shard.counts = dict(record["counts"])
        shard.failures = record["failures"]
        eta = shard.counts.pop("eta", None)
        if eta is not None and shard.state == "running":
            shard.left = max(0, eta - round(time.time() - record["updated"]))
    if task.ended and (outcome := _read(outcome_key(*names), _as_of(task))):
        shard.failures = outcome.get("failed") or {}
    return shard


def _downloads(project: str) -> str:
    return _together_at(project, int(time.time() // FETCH_SECONDS))


@lru_cache(maxsize=256)
def _together_at(project: str, _now: int) -> str:
    return fetching.together(project)


def _state(task: Task) -> str:
    return STATES.get(task.state or "", WAITING)


def _together(states: Sequence[str], plans: Sequence[Any]) -> str:
    """Return the state of a stage from those of its shards."""
    there = set(states)
    if there <= {WAITING}:
        return WAITING if plans else "later"
    for state in ("running", "retrying", WAITING):
        if state in there:
            return "running" if state == WAITING else state
    return next(state for state in ("failed", "done", "skipped") if state in there)


def _of_an_earlier_try(record: Mapping[str, Any], task: Task) -> bool:
    """Whether a record is of a head that had ended before this task began."""
    return record["state"] == "ended" and record["updated"] < task.started - 1


def _as_of(task: Task) -> str:
    """What a reading is good for: for ever once the task has ended, else some seconds."""
    if task.ended:
        return f"{task.try_number} {task.ended}"
    return f"{time.time() // FRESH_SECONDS:.0f}"


@lru_cache(maxsize=8192)
def _read(key: str, _as_of: str) -> dict[str, Any] | None:
    """Return the JSON object, None when there is none."""
    s3 = aws.brief_client("s3")
    try:
        body = s3.get_object(Bucket=settings().bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None
    found: dict[str, Any] = json.loads(body)
    return found


def _sized(shard: Shard) -> dict[str, int]:
    """Return a shard's counts; where there are none, a job stands for a sample."""
    if shard.counts.get("total"):
        return shard.counts
    done = shard.samples - len(shard.failures) if shard.state == "done" else 0
    return {"total": shard.samples, "done": max(0, done)}


def _left(shards: Sequence[Shard]) -> int | None:
    """Estimate a stage's seconds: its running shards', then the waiting ones in their place."""
    running = [shard for shard in shards if shard.state == "running"]
    known = [shard.left for shard in running if shard.left is not None]
    if not running or len(known) < len(running):
        return None
    waiting = sum(shard.state in (WAITING, "retrying") for shard in shards)
    took = [shard.seconds for shard in shards if shard.state == "done"]
    if waiting and not took:
        return None
    rounds = math.ceil(waiting / len(running))
    return max(known) + (round(rounds * sum(took) / len(took)) if took else 0)


def _failures(shards: Iterable[Shard]) -> Iterator[dict[str, str]]:
    for shard in shards:
        for name, why in sorted(shard.failures.items()):
            yield {"name": name, "kind": why.get("kind", ""), "reason": why.get("reason", "")}
