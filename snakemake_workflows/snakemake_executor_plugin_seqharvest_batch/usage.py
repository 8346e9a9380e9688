"""What jobs used of what they asked for: measured in the worker, summed up in the head.

The worker imports this before Snakemake: at import it needs the standard library only.
"""

import json
import os
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SLOWEST = 2.0  # seconds between two looks at a job
SHARE = 20  # a look that took t seconds is followed by a rest of at least 20 t: 5 % of one core
PAGE = os.sysconf("SC_PAGE_SIZE")
MIB = 1 << 20
COLUMNS = (
    *("", "jobs", "failed", "hours", "vCPUs", "used", "memory MiB", "peak", "used"),
    *("disk MiB", "peak", "used", "minutes", "longest", "used"),
)
READERS = 16  # records are read so many at a time


def uri(bundle_prefix: str, job_name: str) -> str:
    """Return where a job's record goes: below the bundle prefix, by the job's name."""
    return f"{bundle_prefix.rstrip('/')}/usage/{job_name}.json"


def about(job: Any, resources: Any) -> dict[str, Any]:
    """Return what a record says of its job besides the measurements: what it is, what it asked."""
    from snakemake_executor_plugin_seqharvest_batch import naming

    return {
        "label": str(job.groupid) if job.is_group() else str(job.rule.name),
        "rules": sorted(job.rules),
        "wildcards": naming.wildcards(job),
        "attempt": job.attempt,
        "asked": asdict(resources),
    }


@contextmanager
def measured(
    uri: str | None, about: Mapping[str, Any], *, folder: Path | None = None, s3: Any = None
) -> Iterator[None]:
    """Measure what runs inside and, at its end, store it as one JSON object at an S3 URI.

    `about` is what `about()` made in the head. `folder` is the job's scratch folder (default: the
    working directory). No URI: nothing is measured. Trouble of its own is a line on stderr, never
    the job's failure.
    """
    if not uri:
        yield
        return
    watch = Watch((folder or Path.cwd()).resolve())
    watch.start()
    exit_code: int | None = 1
    try:
        yield
        exit_code = 0
    except SystemExit as end:
        exit_code = end.code if isinstance(end.code, int) else int(bool(end.code))
        raise
    finally:
        try:
            record = {**about, **watch.stop(), **_whereabouts(), "exit_code": exit_code}
            _put(uri, record, s3)
        except Exception as error:  # whatever it is, the job's own end is what counts
            print(f"usage of this job is not kept: {error}", file=sys.stderr, flush=True)


class Watch:
    """Looks at this process, its descendants and a folder from time to time, in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._began = time.monotonic()
        self._cpu = _cpu_seconds()
        self._memory = self._disk = 0
        self._instance_type: str | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="usage", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """Look a last time, and return wall and CPU seconds and the peaks of memory and disk."""
        self._over.set()
        self._thread.join(timeout=5)
        self._look()
        # Of each child that ended the kernel knows the peak, between our looks as well.
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        found = {
            "wall_seconds": round(time.monotonic() - self._began, 2),
            "cpu_seconds": round(_cpu_seconds() - self._cpu, 2),
            "memory": -(-max(self._memory, largest) // MIB),
            "disk": -(-self._disk // MIB),
        }
        return {**found, "instance_type": self._instance_type} if self._instance_type else found

    def _watch(self) -> None:
        rest = 0.1
        first = True
        while not self._over.wait(rest):
            began = time.monotonic()
            self._look()
            if first:
                self._instance_type = _instance_type()
                first = False
            took = time.monotonic() - began
            rest = max(min(rest * 1.5, SLOWEST), took * SHARE)

    def _look(self) -> None:
        self._memory = max(self._memory, sum(map(_resident, _tree(os.getpid()))))
        self._disk = max(self._disk, _size(self._folder))


def report(
    s3: Any,
    bundle_prefix: str,
    name_prefix: str,
    *,
    path: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Read the records of a run's jobs, say an efficiency table, write it as JSON to a file.

    Earlier lives of the run count as well; of a job that ran several times the last one does.
    Never fails the run: trouble is said.
    """
    try:
        records = _read(s3, bundle_prefix, name_prefix)
        rows = [_row(label, group) for label, group in sorted(_by_label(records).items())]
        over = [_over(record) for record in records if _overfilled(record)]
        if rows:
            say("\n".join(_table(rows)))
        for line in over:
            say(line)
        if path:
            content = {"rows": [asdict(row) for row in rows], "more_disk_than_asked": over}
            path.write_text(json.dumps(content, indent=1))
    except Exception as error:  # the jobs are done, whatever is wrong with this
        say(f"No efficiency report: {error}")


@dataclass(frozen=True)
class Row:
    """What the jobs of one rule or group asked for and used; memory and disk in MiB.

    Shares are used by asked: of vCPU seconds, and on average of memory, disk and time-out. 0 is
    also what stands for nothing asked.
    """

    label: str
    jobs: int
    failed: int
    hours: float  # of the jobs, not of vCPUs
    vcpus: float
    vcpu_share: float
    memory: int
    memory_peak: int
    memory_share: float
    disk: int
    disk_peak: int
    disk_share: float
    minutes: float
    minutes_peak: float
    time_share: float


def _row(label: str, records: Sequence[Mapping[str, Any]]) -> Row:
    walls = [record["wall_seconds"] for record in records]
    asked = [record["asked"] for record in records]
    booked = sum(need["vcpus"] * wall for need, wall in zip(asked, walls, strict=True))
    return Row(
        label=label,
        jobs=len(records),
        failed=sum(record["exit_code"] != 0 for record in records),
        hours=round(sum(walls) / 3600, 2),
        vcpus=round(booked / sum(walls), 1) if sum(walls) else 0,
        vcpu_share=_share(sum(record["cpu_seconds"] for record in records), booked),
        memory=max(need["memory"] for need in asked),
        memory_peak=max(record["memory"] for record in records),
        memory_share=_mean(_share(each["memory"], each["asked"]["memory"]) for each in records),
        disk=max(need["disk"] for need in asked),
        disk_peak=max(record["disk"] for record in records),
        disk_share=_mean(_share(each["disk"], each["asked"]["disk"]) for each in records),
        minutes=round(max(need["timeout"] for need in asked) / 60, 1),
        minutes_peak=round(max(walls) / 60, 2),
        time_share=_mean(_share(r["wall_seconds"], r["asked"]["timeout"]) for r in records),
    )


def _table(rows: Sequence[Row]) -> Iterator[str]:
    lines = [list(COLUMNS)]
    for row in rows:
        lines.append(
            [
                *(row.label, str(row.jobs), str(row.failed), f"{row.hours:.2f}"),
                *(f"{row.vcpus:g}", f"{row.vcpu_share:.0%}"),
                *(str(row.memory), str(row.memory_peak), f"{row.memory_share:.0%}"),
                *(str(row.disk), str(row.disk_peak), f"{row.disk_share:.0%}"),
                *(f"{row.minutes:g}", f"{row.minutes_peak:g}", f"{row.time_share:.0%}"),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    yield "What jobs asked for and what they used of it (memory, disk, time: on average):"
    for first, *others in lines:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells])


def _overfilled(record: Mapping[str, Any]) -> bool:
    return bool(record["asked"]["disk"]) and record["disk"] > record["asked"]["disk"]


def _over(record: Mapping[str, Any]) -> str:
    what = " ".join(f"{key}={value}" for key, value in record["wildcards"].items())
    return (
        f"{record['label']} {what}: used {record['disk']} MiB of disk and asked for "
        f"{record['asked']['disk']}: its host may have run out; raise disk_mb"
    )


def _by_label(records: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    groups = defaultdict(list)
    for record in records:
        groups[record["label"]].append(record)
    return dict(groups)


def _share(used: float, asked: float) -> float:
    return round(used / asked, 3) if asked else 0.0


def _mean(values: Iterator[float]) -> float:
    found = list(values)
    return round(sum(found) / len(found), 3)


def _read(s3: Any, bundle_prefix: str, name_prefix: str) -> list[dict[str, Any]]:
    bucket, prefix = _place(uri(bundle_prefix, f"{name_prefix}--"))
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix.removesuffix(".json")
    )
    keys = [item["Key"] for page in pages for item in page.get("Contents", [])]

    def get(key: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        return content

    with ThreadPoolExecutor(READERS) as pool:
        return [record for record in pool.map(get, keys) if "asked" in record]


def _put(uri: str, record: Mapping[str, Any], s3: Any) -> None:
    if s3 is None:
        import boto3

        s3 = boto3.client("s3")
    bucket, key = _place(uri)
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(record).encode())


def _place(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def _whereabouts() -> dict[str, Any]:
    names = {"job_id": "AWS_BATCH_JOB_ID", "batch_attempt": "AWS_BATCH_JOB_ATTEMPT"}
    return {
        name: os.environ[variable] for name, variable in names.items() if variable in os.environ
    }


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and of all descendants that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _tree(pid: int) -> Iterator[int]:
    """Return a process and its living descendants."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))
    except OSError:
        return  # it has ended


def _resident(pid: int) -> int:
    """Return a process's own memory in bytes.

    Files it has mapped are left out, and with them the page cache that a cgroup's peak counts: the
    kernel gives that back when a job needs it.
    """
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE


def _size(folder: Path) -> int:
    """Return the bytes of disk that a folder's files take."""
    total, waiting = 0, [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue  # removed while we looked
    return total


def _instance_type() -> str | None:
    """Return this host's type, if it is one of EC2 that tells."""
    if not os.environ.get("AWS_EXECUTION_ENV", "").startswith("AWS_ECS_EC2"):
        return None
    where = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
    try:
        ask = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = _http(f"{where}/latest/api/token", ask, "PUT")
        return _http(
            f"{where}/latest/meta-data/instance-type", {"X-aws-ec2-metadata-token": token}, "GET"
        )
    except OSError:  # containers are often kept from it
        return None


def _http(url: str, headers: dict[str, str], method: str) -> str:
    import urllib.request  # 20 ms, and on EC2 only

    request = urllib.request.Request(url, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=1) as answer:
        text: str = answer.read().decode()
        return text
