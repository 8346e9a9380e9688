"""Run planners and heads, the peer's and ours, against the stubs, and watch them."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from bench import project, stubs
from bench.stubs import REPO, Stub

WORKFLOW = REPO / "bench" / "workflow"
STOCK_PYTHON = Path(os.environ.get("BENCH_STOCK_PYTHON", REPO / ".local" / "bench/bin/python"))
LOOK = 0.1  # seconds between two looks at a process
#: In the profile of a run without array jobs.
NO_ARRAYS = {"seqharvest-batch-array-size": 0}

Starter = Callable[[], "Watched"]


@dataclass
class Watched:
    """A process with all of its children, and the memory that they took at most."""

    process: subprocess.Popen[bytes]
    started: float  # epoch seconds
    log: Path
    peaks: dict[int, int] = field(default_factory=dict)  # KiB by process id

    @property
    def mib(self) -> int:
        """The sum of each process's own peak, in MiB: no less than they ever took at once."""
        return sum(self.peaks.values()) // 1024

    def look(self) -> bool:
        """Note the memory of every process of the group; return whether the first still runs."""
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(status.read_text().rpartition(")")[2].split()[2]) == self.process.pid:
                    pid = int(status.parent.name)
                    self.peaks[pid] = max(self.peaks.get(pid, 0), _peak(status.parent))
            except (OSError, IndexError, ValueError):
                continue  # it has just ended
        return self.process.poll() is None

    def kill(self) -> None:
        """End the whole group at once, as a lost host does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self, seconds: float = 3600) -> int:
        """Watch until it has ended, and return its exit code."""
        end = time.monotonic() + seconds
        while self.look():
            if time.monotonic() > end:
                raise RuntimeError(f"not ended within {seconds} s: {self.log.read_text()[-3000:]}")
            time.sleep(LOOK)
        return self.process.wait()


_started: list[Watched] = []  # to be ended with the stubs that they talk to


def first_submission(head: Watched, batch: Stub, seconds: float = 7200) -> float:
    """Watch a head until Batch has its first job; return when that was (epoch seconds)."""
    end = time.monotonic() + seconds
    while not (times := batch.times().get("SubmitJob")):
        if not head.look() or time.monotonic() > end:
            raise RuntimeError(f"no job was submitted: {head.log.read_text()[-3000:]}")
        time.sleep(LOOK)
    head.look()
    return times[0]


def settle(head: Watched, batch: Stub, quiet: float = 5.0) -> None:
    """Watch a head until no job has been submitted for some seconds."""
    while head.look():
        last = max(batch.times()["SubmitJob"])
        if time.time() - last > quiet:
            return
        time.sleep(LOOK)


class Ours:
    """Seqharvest's planner and head jobs, as Airflow and Batch would start them.

    Its heads use the real profile, with what `profile` adds to it.
    """

    def __init__(
        self,
        folder: Path,
        s3: Stub,
        batch: Stub,
        profile: Mapping[str, object] = MappingProxyType({}),
        **settings: object,
    ) -> None:
        self._folder = folder
        workflows = folder / "home" / "snakemake_workflows"
        workflows.mkdir(parents=True)
        (workflows / project.WORKFLOW).symlink_to(WORKFLOW)
        (workflows / "profiles" / "batch").mkdir(parents=True)
        real = REPO / "snakemake_workflows" / "profiles" / "batch" / "config.yaml"
        merged = {**yaml.safe_load(real.read_text()), **profile}
        (workflows / "profiles" / "batch" / "config.yaml").write_text(yaml.safe_dump(merged))
        (folder / "scratch").mkdir()
        knobs = {
            "bucket": project.BUCKET,
            "home": folder / "home",
            "scratch": folder / "scratch",
            "worker_queue": "worker",
            **settings,
        }
        path = [REPO / "plugins", REPO / "snakemake_workflows", REPO]
        self.environment = stubs.environment(
            s3,
            batch,
            PYTHONPATH=os.pathsep.join(map(str, path)),
            **{f"SEQHARVEST_{name.upper()}": str(value) for name, value in knobs.items()},
        )

    def plan(self, samples: int) -> tuple[list[str], int]:
        """Plan the project; return the manifests' URIs and the MiB the planner took."""
        command = [sys.executable, "-m", "bench.planner", str(samples)]
        done = subprocess.run(
            command, env=self.environment, cwd=REPO, stdout=subprocess.PIPE, check=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
        found = [f"s3://{project.BUCKET}/{shard['manifest']}" for shard in told["shards"]]
        return found, told["mib"]

    def head(self, manifest: str) -> Watched:
        """Start the head job of a manifest."""
        command = [sys.executable, "-m", "bench.head", manifest]
        return _start(command, self._folder, self.environment)


class Stock:
    """Stock Snakemake with its S3 storage plugin and its AWS Batch executor.

    It gets what of our profile is not our own, as its user could set it too.
    """

    OPTIONS = (
        *("--executor", "aws-batch", "--aws-batch-region", "us-east-1"),
        *("--aws-batch-job-queue", "worker"),
        *("--aws-batch-job-role", "arn:aws:iam::000000000000:role/worker"),
        *("--default-storage-provider", "s3"),
        *("--default-storage-prefix", f"s3://{project.BUCKET}"),
        *("--jobs", "10000", "--shared-fs-usage", "none", "--keep-going", "--nolock"),
        *("--rerun-triggers", "mtime", "--scheduler", "greedy", "--latency-wait", "5"),
        *("--max-jobs-per-timespan", "10000/1s", "--seconds-between-status-checks", "5"),
        # Its own defaults ask S3 for the size of every input.
        *("--default-resources", "mem_mb=2048", "disk_mb=1000", "runtime=120"),
    )

    def __init__(self, folder: Path, s3: Stub, batch: Stub, samples: Sequence[str]) -> None:
        if not STOCK_PYTHON.exists():
            raise SystemExit(f"{STOCK_PYTHON} is absent: run `make bench`, or local/setup.sh bench")
        self._folder = folder
        # --deploy-sources ships what git tracks below the working directory.
        (folder / "workflow").mkdir(parents=True)
        source = WORKFLOW / "workflow" / "Snakefile"
        (folder / "workflow" / "Snakefile").write_text(source.read_text())
        write_inputs(folder, samples)
        for command in (["init", "-q"], ["add", "-A"]):
            subprocess.run(["git", *command], cwd=folder, check=True)
        self.environment = stubs.environment(s3, batch)

    def head(self, *options: str) -> Watched:
        """Start Snakemake on all samples, as on a fresh host: with no records of an earlier run."""
        shutil.rmtree(self._folder / ".snakemake", ignore_errors=True)
        command = [str(STOCK_PYTHON), "-m", "snakemake", "--snakefile", "workflow/Snakefile"]
        command += ["--configfile", "config.yaml", *self.OPTIONS, *options, "--", "samples"]
        return _start(command, self._folder, self.environment)


def write_inputs(folder: Path, samples: Sequence[str]) -> None:
    """Write the configuration and the sheet, as the head job does for us."""
    config: Mapping[str, Any] = {
        "project": project.PROJECT,
        "results": project.result_prefix("").rpartition("/sample=")[0],
        "samples": "samples.tsv",
        "outputs": list(project.OUTPUTS),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with (folder / "samples.tsv").open("w", newline="") as file:
        sheet = csv.writer(file, delimiter="\t", lineterminator="\n")
        sheet.writerow(["sample", "layout", "runs", "strandedness"])
        sheet.writerows([name, "paired", project.RUN, ""] for name in samples)


@contextmanager
def aws(
    samples: int, complete: float, latency: float = 0.02, batch: Sequence[object] = ()
) -> Iterator[tuple[Stub, Stub, Path]]:
    """Run both stubs with a project in S3; give S3, Batch, and a folder that goes with them.

    Without `batch` options jobs are taken and not ended.
    """
    options = batch or ("--run", 86_400, 86_400)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # tidily, see `finally`
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
        stubs.s3(latency) as s3,
        stubs.batch(s3, "--latency", latency, *options) as running,
    ):
        s3.preload(samples, complete)
        try:
            yield s3, running, Path(folder)
        finally:
            while _started:
                _started.pop().kill()


def _start(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Watched:
    log = folder / f"log-{time.time_ns()}"
    with log.open("wb") as out:
        started = time.time()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    _started.append(watched := Watched(process, started, log))
    return watched


def _peak(process: Path) -> int:
    for line in (process / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return 0
