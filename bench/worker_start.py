"""What a worker job does between its start and its tool's: stock, ours before, ours now.

Each head really runs and submits; what it submitted is caught, and run as Batch would run it.

    python -m bench.worker_start --stock .local/bench/bin/python [--pip]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from bench import stubs
from bench.stubs import REPO, Stub
from bench.table import Table

CHAIN = REPO / "bench" / "worker_chain"
BEFORE = "cd97ed6"  # the last commit before workers were made small
BUCKET = "bench-workers"
SAMPLES = 1_000  # of the run: what a shard's sheet has
OUTPUTS = [
    *("fastp.json", "Log.final.out", "SJ.out.tab.gz", "quant.sf.gz", "gene_quant.parquet"),
    *("transcript_quant.parquet", "junctions.parquet", "versions.json"),
]
TOOL = 0.3  # seconds, as the chain's Snakefile has it
ENDED = 60  # seconds after which a head is given up
#: What is not the stock executor's own is as in our profile.
STOCK_HEAD = (
    *("--executor", "aws-batch", "--default-storage-provider", "s3"),
    *("--aws-batch-region", "us-east-1", "--aws-batch-job-queue", "worker"),
    *("--aws-batch-job-role", "arn:aws:iam::000000000000:role/worker"),
    *("--jobs", "1000", "--shared-fs-usage", "none", "--rerun-triggers", "mtime"),
    *("--scheduler", "greedy", "--nolock", "--latency-wait", "5"),
    *("--default-resources", "mem_mb=2048", "disk_mb=1000", "runtime=120"),
)


@dataclass
class Worker:
    """What a head submitted: the command of one job and its environment."""

    name: str
    command: list[str]
    environment: dict[str, str]
    #: Seconds to the tool's first line, seconds in all, requests to the tool, requests in all.
    figures: list[tuple[float, float, int, int]] = field(default_factory=list)

    def median(self, which: int) -> float:
        """Return the median of a figure over the runs."""
        return statistics.median(figures[which] for figures in self.figures)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="bench.worker_start", description=__doc__)
    parser.add_argument("--stock", default=str(REPO / ".local/bench/bin/python"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--pip", action="store_true", help="also run stock's own pip step (PyPI)")
    options = parser.parse_args()
    latency = options.latency_ms / 1000
    with tempfile.TemporaryDirectory(prefix="worker-start-") as folder, stubs.s3(latency) as s3:
        place = Path(folder)
        ask(s3, BUCKET, method="PUT")
        stock = submitted_by(
            "stock", str(Path(options.stock).absolute()), STOCK_HEAD, "", s3, place
        )
        whole = Worker("stock with its pip step", list(stock.command), dict(stock.environment))
        stock.command[-1] = without_pip(stock.command[-1])
        workers = [stock, *([whole] if options.pip else [])]
        if before := former(place / "former"):
            workers.append(ours("ours before", before, s3, place))
        workers.append(ours("ours", REPO, s3, place))
        for _ in range(options.runs):  # in turns: what slows the machine down slows all of them
            for worker in workers:
                if worker is not whole or not worker.figures:
                    worker.figures.append(run(worker, s3, place))
    show(workers, options)


def ours(name: str, home: Path, s3: Stub, place: Path) -> Worker:
    """Catch a worker of the executor in a work tree."""
    path = f"{home}/plugins:{home}/snakemake_workflows:{home}"
    head = [
        *("--profile", str(home / "snakemake_workflows/profiles/batch")),
        *("--seqharvest-batch-job-queue", "worker"),
        *("--seqharvest-batch-job-definition", "worker"),
        *("--seqharvest-batch-name-prefix", "bench"),
        *("--seqharvest-batch-worker-files", "samples.tsv"),
        *("--seqharvest-batch-scratch-dir", "$BENCH_SCRATCH"),
    ]
    return submitted_by(name, sys.executable, head, path, s3, place)


def submitted_by(
    name: str, python: str, head: Sequence[str], path: str, s3: Stub, place: Path
) -> Worker:
    """Run a head until it has submitted its jobs, end it, and return the first of them."""
    folder = place / name.replace(" ", "-")
    # The stock executor ships what it finds below the working directory, so all is there.
    shutil.copytree(CHAIN / "workflow", folder / "workflow")
    rows = "".join(f"S{number}\tpaired\tR1\t\n" for number in range(SAMPLES))
    (folder / "samples.tsv").write_text(f"sample\tlayout\truns\tstrandedness\n{rows}")
    config = {"samples": "samples.tsv", "outputs": OUTPUTS}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    put_reads(s3)
    log = folder / "head.log"
    command = [
        *(python, "-m", "snakemake", "--snakefile", "workflow/Snakefile"),
        *("--configfile", "config.yaml", "--default-storage-prefix", f"s3://{BUCKET}"),
        # Two samples: our executor makes an array job of them.
        *(*head, "--", *(f"results/sample=S{n}/{output}" for n in (0, 1) for output in OUTPUTS)),
    ]
    environment = container(python, path, s3)
    with stubs.batch(s3, "--latency", 0.02) as batch, log.open("wb") as out:
        at_batch = {"AWS_ENDPOINT_URL_BATCH": batch.url}
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment | at_batch,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            end = time.monotonic() + ENDED
            while not (job := first_job(batch)):
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"{name}: its head submitted nothing:\n{log.read_text()[-3000:]}")
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    given = {pair["name"]: pair["value"] for pair in job["container"].get("environment", [])}
    if ":" in job["jobId"]:
        given["AWS_BATCH_JOB_ARRAY_INDEX"] = job["jobId"].rpartition(":")[2]
    return Worker(name, job["container"]["command"], environment | given)


def first_job(batch: Stub) -> dict[str, Any] | None:
    """Return a job that was submitted, or the first child of an array."""
    if not batch.times().get("SubmitJob"):
        return None
    client = boto3.client(
        "batch",
        endpoint_url=batch.url,
        region_name="us-east-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
    )
    filters = [{"name": "JOB_NAME", "values": ["*"]}]
    parent = client.list_jobs(jobQueue="worker", filters=filters)["jobSummaryList"][-1]
    child = ":0" if "arrayProperties" in parent else ""
    (job,) = client.describe_jobs(jobs=[parent["jobId"] + child])["jobs"]
    return dict(job)


def run(worker: Worker, s3: Stub, place: Path) -> tuple[float, float, int, int]:
    """Run a worker in an empty folder, as on a fresh host, and take its figures."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        at = Path(folder)
        mark = at / "started"
        for name in ("job", "home", "scratch"):
            (at / name).mkdir()
        environment = worker.environment | {
            "HOME": str(at / "home"),
            "BENCH_STARTED": str(mark),
            "BENCH_SCRATCH": str(at / "scratch"),
        }
        put_reads(s3)
        s3.reset()
        log = at / "log"
        with log.open("wb") as out:
            started = time.time()
            process = subprocess.Popen(
                worker.command, cwd=at / "job", env=environment, stdout=out, stderr=out
            )
            first = None
            while process.poll() is None:
                if first is None and mark.exists() and mark.stat().st_size:
                    first = sum(s3.count().values())
                time.sleep(0.005)
            ended = time.time()
        if process.returncode or first is None:
            sys.exit(f"{worker.name}: failed:\n{' '.join(worker.command)}\n{log.read_text()}")
        tool = float(mark.read_text())
        return tool - started, ended - started, first, sum(s3.count().values())


def put_reads(s3: Stub) -> None:
    """Put the samples' reads, and nothing else of them, into the stub."""
    for sample in ("S0", "S1"):
        for output in OUTPUTS:
            ask(s3, f"{BUCKET}/results/sample={sample}/{output}", method="DELETE")
        for mate in (1, 2):
            ask(s3, f"{BUCKET}/raw/sample={sample}/R1_{mate}.fastq.gz", b"reads", method="PUT")


def ask(s3: Stub, path: str, body: bytes | None = None, method: str = "GET") -> None:
    """Make a plain request of the stub."""
    request = urllib.request.Request(f"{s3.url}/{path}", body, method=method)
    urllib.request.urlopen(request, timeout=10).close()


def container(python: str, path: str, s3: Stub) -> dict[str, str]:
    """Return the environment of a container: the interpreter first on the path, AWS, no more."""
    given = stubs.environment(s3)
    return {
        **{name: value for name, value in given.items() if name.startswith("AWS_")},
        "PATH": f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": path,
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
    }


def without_pip(command: str) -> str:
    """Return the stock worker's command less its installation of the storage plugin."""
    parts = [part for part in command.split(" && ") if not part.startswith("pip install")]
    return " && ".join(parts)


def former(folder: Path) -> Path | None:
    """Unpack the former version, compiled like the image; None in a clone without history."""
    what = [BEFORE, "plugins", "snakemake_workflows"]
    tree = subprocess.run(["git", "archive", *what], cwd=REPO, capture_output=True)
    if tree.returncode:
        return None
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", folder], input=tree.stdout, check=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)
    return folder


def show(workers: Sequence[Worker], options: argparse.Namespace) -> None:
    """Print the figures, and each as a share of stock's."""
    table = Table(
        "Worker start to tool start (goal: at most 40 % of stock's)",
        *("", "to the tool, s", "of stock's", "requests", "whole job, s", "requests"),
    )
    stock = workers[0].median(0)
    for worker in workers:
        tool, whole, first, requests = (worker.median(which) for which in range(4))
        share = f"{tool / stock:.0%}"
        table.add(worker.name, f"{tool:.2f}", share, int(first), f"{whole:.2f}", int(requests))
    table.show(
        "A chain of 4 rules, 2 inputs, 8 stored outputs, of a run with 1,000 samples; medians of "
        f"{options.runs} runs in turns, S3 at {options.latency_ms:.0f} ms. Stock: --deploy-sources "
        "and the job itself, without its pip step unless said. Ours: a child of an array job. "
        f"Before: commit {BEFORE}. The tool is the chain's first; it and the others work for "
        f"{TOOL} s."
    )


if __name__ == "__main__":
    main()
