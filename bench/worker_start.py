"""What a worker job does between its start and its tool's: stock, ours before, ours now.

Each head really runs and submits; what it submitted is caught, and run as Batch would run it.

    python -m bench.worker_start --stock .local/bench/bin/python [--pip]
"""

from __future__ import annotations

import argparse
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import yaml

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
READS = "raw/project=p/sample=S{}/"
WORKFLOWS = ("chain", "analysis")
WITH_PIP = "stock with its pip step"
#: Read by every bash: notes when the real workflow's first tool would begin, and ends it.
TOOL_STARTS = """
case "$BASH_EXECUTION_STRING" in
*scripts/trim.py*)
  [ -e "$BENCH_STARTED" ] || echo "$EPOCHREALTIME" > "$BENCH_STARTED"
  sleep 0.3
  exit 3 ;;
esac
"""
ABOUT = {
    "chain": (
        "A chain of 4 rules, 2 inputs, 8 stored outputs, of a run with 1,000 samples; medians of "
        "{runs} runs in turns, S3 at {latency:.0f} ms. Stock: --deploy-sources and the job itself, "
        "without its pip step unless said. Ours: a child of an array job. Before: commit "
        f"{BEFORE}. The first tool works for 0.3 s, the others not at all."
    ),
    "analysis": (
        "The same with the real analysis workflow, whose configuration and sheet are checked by "
        "schemas. Stock and ours run today's rules."
    ),
}
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
    workflow: str
    command: list[str]
    environment: dict[str, str]
    #: Seconds to the tool's first line, seconds in all, requests to the tool, requests in all.
    figures: list[tuple[float, float, int, int]] = field(default_factory=list)

    def median(self, which: int) -> float:
        """Return the median of a figure over the runs."""
        return statistics.median(figures[which] for figures in self.figures)


def main() -> None:
    """Measure and print the tables."""
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
        (place / "tool.sh").write_text(TOOL_STARTS)
        before = former(place / "former")
        for workflow in WORKFLOWS:
            workers = submitted(workflow, options, before, s3, place / workflow)
            for _ in range(options.runs):  # in turns: the machine's moods meet all of them
                for worker in workers:
                    if worker.name != WITH_PIP or not worker.figures:
                        worker.figures.append(run(worker, s3, place))
            show(workflow, workers, options)


def submitted(
    workflow: str, options: argparse.Namespace, before: Path | None, s3: Stub, place: Path
) -> list[Worker]:
    """Let each of the heads submit the workflow, and return a worker of each."""
    python = str(Path(options.stock).absolute())
    stock = submitted_by("stock", workflow, python, REPO, STOCK_HEAD, s3, place)
    whole = replace(stock, name=WITH_PIP, command=list(stock.command), figures=[])
    stock.command[-1] = without_pip(stock.command[-1])
    workers = [stock, whole] if options.pip and workflow == WORKFLOWS[0] else [stock]
    for name, home in (("ours before", before), ("ours", REPO)):
        if home:
            head = our_head(home)
            workers.append(submitted_by(name, workflow, sys.executable, home, head, s3, place))
    return workers


def our_head(home: Path) -> list[str]:
    """Return the options of our executor as the head job gives them."""
    profile = home / "snakemake_workflows/profiles/batch"
    options = [
        *("--profile", str(profile)),
        *("--seqharvest-batch-job-queue", "worker"),
        *("--seqharvest-batch-job-definition", "worker"),
        *("--seqharvest-batch-name-prefix", "bench"),
        *("--seqharvest-batch-worker-files", "samples.tsv"),
        *("--seqharvest-batch-scratch-dir", "$BENCH_SCRATCH"),
    ]
    if "seqharvest-s3" in (profile / "config.yaml").read_text():
        options += ["--storage-seqharvest-s3-inventory", "inventory.tsv"]
    return options


def submitted_by(
    name: str,
    workflow: str,
    python: str,
    home: Path,
    head: Sequence[str],
    s3: Stub,
    place: Path,
) -> Worker:
    """Run a head until it has submitted its jobs, end it, and return the first of them."""
    folder = place / name.replace(" ", "-")
    write_project(folder, home)
    put_reads(s3)
    log = folder / "head.log"
    command = [
        *(python, "-m", "snakemake", "--snakefile", f"workflows/{workflow}/workflow/Snakefile"),
        *("--configfile", "config.yaml", "--default-storage-prefix", f"s3://{BUCKET}"),
        # Two samples: our executor makes an array job of them.
        *(*head, "--", *(f"results/sample=S{n}/{output}" for n in (0, 1) for output in OUTPUTS)),
    ]
    # Our plugins are no business of stock's: it would import them.
    path = [home / "plugins", *([] if name == "stock" else [home / "snakemake_workflows"])]
    environment = container(python, path, s3)
    with stubs.batch(s3, "--latency", 0.02) as batch, log.open("wb") as out:
        at_batch = {**environment, "AWS_ENDPOINT_URL_BATCH": batch.url}
        process = subprocess.Popen(
            command, cwd=folder, env=at_batch, stdout=out, stderr=out, start_new_session=True
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
    return Worker(name, workflow, job["container"]["command"], environment | given)


def write_project(folder: Path, home: Path) -> None:
    """Write what a head finds: the workflows, sheet, configuration and inventory.

    The stock executor ships what git knows below the working directory, so all of it is there.
    """
    source = home / "snakemake_workflows"
    shutil.copytree(CHAIN, folder / "workflows" / "chain")
    shutil.copytree(source / "analysis", folder / "workflows" / "analysis")
    shutil.copy(source / "common.smk", folder / "workflows")
    rows = "".join(f"S{number}\tpaired\tR1\treverse\n" for number in range(SAMPLES))
    (folder / "samples.tsv").write_text(f"sample\tlayout\truns\tstrandedness\n{rows}")
    config = {
        **{"project": "p", "release": "r", "fingerprint": "f", "bucket": BUCKET},
        **{"results": "results", "samples": "samples.tsv", "outputs": OUTPUTS},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    lines = (
        f"s3://{BUCKET}/results/sample=S{n}/\ts3://{BUCKET}/{READS.format(n)}*" for n in (0, 1)
    )
    (folder / "inventory.tsv").write_text("\n".join(lines))


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
            "BASH_ENV": str(place / "tool.sh"),
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
        if first is None or (process.returncode and worker.workflow == WORKFLOWS[0]):
            sys.exit(f"{worker.name}: failed:\n{' '.join(worker.command)}\n{log.read_text()}")
        tool = float(mark.read_text())
        return tool - started, ended - started, first, sum(s3.count().values())


def put_reads(s3: Stub) -> None:
    """Put the samples' reads, and nothing else of them, into the stub."""
    for n in (0, 1):
        for output in OUTPUTS:
            ask(s3, f"{BUCKET}/results/sample=S{n}/{output}", method="DELETE")
        for mate in (1, 2):
            key = f"{READS.format(n)}R1_{mate}.fastq.gz"
            ask(s3, f"{BUCKET}/{key}", b"reads", method="PUT")


def ask(s3: Stub, path: str, body: bytes | None = None, method: str = "GET") -> None:
    """Make a plain request of the stub."""
    request = urllib.request.Request(f"{s3.url}/{path}", body, method=method)
    urllib.request.urlopen(request, timeout=10).close()


def container(python: str, path: Sequence[Path], s3: Stub) -> dict[str, str]:
    """Return the environment of a container: the interpreter first on the path, AWS, no more."""
    given = stubs.environment(s3)
    return {
        **{name: value for name, value in given.items() if name.startswith("AWS_")},
        "PATH": f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
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


def show(workflow: str, workers: Sequence[Worker], options: argparse.Namespace) -> None:
    """Print the figures, and each as a share of stock's."""
    table = Table(
        f"Worker start to tool start, {workflow} (goal: at most 40 % of stock's)",
        *("", "to the tool, s", "of stock's", "requests", "whole job, s", "requests"),
    )
    stock = workers[0].median(0)
    for worker in workers:
        tool, whole, first, requests = (worker.median(which) for which in range(4))
        # The tools of the real workflow are not run.
        job = (f"{whole:.2f}", int(requests)) if workflow == WORKFLOWS[0] else ("", "")
        table.add(worker.name, f"{tool:.2f}", f"{tool / stock:.0%}", int(first), *job)
    table.show(ABOUT[workflow].format(runs=options.runs, latency=options.latency_ms))


if __name__ == "__main__":
    main()
