"""What a worker job does between its start and its tool's: stock, ours before, ours now.

Each head really runs and submits; what it submitted is caught, and run as Batch would run it.

    python -m bench.worker_start --stock .local/bench/bin/python [--runs 5] [--latency-ms 20]
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
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
CHAIN = REPO / "bench" / "worker_chain"
BEFORE = "cd97ed6"  # the last commit before workers were made small
BUCKET = "bench-workers"
SAMPLES = 1_000  # of the run: what a shard's sheet has
OUTPUTS = (
    "fastp.json Log.final.out SJ.out.tab.gz quant.sf.gz gene_quant.parquet "
    "transcript_quant.parquet junctions.parquet versions.json"
).split()
ENDED = 60  # seconds after which a head or a worker is given up


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


class Recorder:
    """A Batch endpoint that keeps what is submitted and never runs it."""

    def __init__(self) -> None:
        self.definitions: dict[str, dict[str, Any]] = {}
        self.submitted: list[dict[str, Any]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802 - http.server's name
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
                answer = json.dumps(recorder.answer(self.path.rpartition("/")[2], body)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, action: str, body: dict[str, Any]) -> dict[str, Any]:
        """Answer as Batch does, as far as the two executors look."""
        if action == "registerjobdefinition":
            name = body["jobDefinitionName"]
            self.definitions[f"{name}:1"] = body["containerProperties"]
            return {"jobDefinitionName": name, "jobDefinitionArn": f"{name}:1", "revision": 1}
        if action == "submitjob":
            self.submitted.append(body)
            return {"jobName": body["jobName"], "jobId": f"job-{len(self.submitted)}"}
        if action == "listjobs":
            return {"jobSummaryList": []}
        if action == "describejobqueues":
            queues = [
                {"jobQueueName": name, "jobQueueArn": name, "state": "ENABLED", "status": "VALID"}
                | {"priority": 1, "computeEnvironmentOrder": []}
                for name in body.get("jobQueues", [])
            ]
            return {"jobQueues": queues}
        return {"jobs": [], "computeEnvironments": []}

    def first(self) -> tuple[list[str], dict[str, str]] | None:
        """Return command and environment of the first job submitted, if there is one."""
        if not self.submitted:
            return None
        job = self.submitted[0]
        container = self.definitions.get(job["jobDefinition"]) or job["containerOverrides"]
        environment = {pair["name"]: pair["value"] for pair in container.get("environment", [])}
        if job.get("arrayProperties"):
            environment["AWS_BATCH_JOB_ARRAY_INDEX"] = "0"
        return container["command"], environment


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--stock", default=str(REPO / ".local/bench/bin/python"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--latency-ms", type=float, default=20)
    parser.add_argument("--s3", help="endpoint of a running stub; default: one is started")
    parser.add_argument("--pip", action="store_true", help="also run stock's own pip step (PyPI)")
    parser.add_argument("--no-before", action="store_true", help="leave the former version out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="worker-start-") as folder, s3_stub(options) as s3:
        place = Path(folder)
        workers = []
        stock = submitted_by("stock", options.stock, stock_head(), "", s3, place)
        with_pip = Worker("stock, with its pip step", list(stock.command), dict(stock.environment))
        stock.command[-1] = without_pip(stock.command[-1])
        workers.append(stock)
        if options.pip:
            workers.append(with_pip)
        if not options.no_before:
            before = former(place / "former")
            workers.append(ours("ours, before", before, s3, place))
        workers.append(ours("ours", REPO, s3, place))
        for _ in range(options.runs):  # in turns: what slows the machine down slows all of them
            for worker in workers:
                if worker is not with_pip or not worker.figures:
                    worker.figures.append(run(worker, s3, place))
        print_table(workers, options)


def ours(name: str, home: Path, s3: str, place: Path) -> Worker:
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


def stock_head() -> list[str]:
    """Return the options of the stock executor; what is not its own is as in our profile."""
    return [
        *("--executor", "aws-batch", "--default-storage-provider", "s3"),
        *("--aws-batch-region", "us-east-1", "--aws-batch-job-queue", "worker"),
        *("--aws-batch-job-role", "arn:aws:iam::000000000000:role/worker"),
        *("--jobs", "1000", "--shared-fs-usage", "none", "--rerun-triggers", "mtime"),
        *("--scheduler", "greedy", "--nolock", "--latency-wait", "5"),
        *("--default-resources", "mem_mb=2048", "disk_mb=1000", "runtime=120"),
    ]


def submitted_by(
    name: str, python: str, head: Sequence[str], path: str, s3: str, place: Path
) -> Worker:
    """Run a head until it has submitted its first job, end it, and return that job."""
    slug = "".join(letter for letter in name if letter.isalnum())
    folder = place / f"head-{slug}"
    # The stock executor ships what it finds below the working directory, so all is there.
    shutil.copytree(CHAIN / "workflow", folder / "workflow")
    rows = "".join(f"S{number}\tpaired\tR1\t\n" for number in range(SAMPLES))
    (folder / "samples.tsv").write_text(f"sample\tlayout\truns\tstrandedness\n{rows}")
    config = {"samples": "samples.tsv", "outputs": OUTPUTS}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    put_reads(s3)
    batch = Recorder()
    environment = clean_environment(python, path, s3) | {"AWS_ENDPOINT_URL_BATCH": batch.url}
    command = [
        *(python, "-m", "snakemake", "--snakefile", "workflow/Snakefile"),
        *("--configfile", "config.yaml", "--default-storage-prefix", f"s3://{BUCKET}"),
        *(*head, "--", *(f"results/sample=S0/{output}" for output in OUTPUTS)),
    ]
    log = folder / "head.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True
        )
        try:
            end = time.monotonic() + ENDED
            while not (caught := batch.first()):
                if process.poll() is not None or time.monotonic() > end:
                    sys.exit(f"{name}: its head submitted nothing:\n{log.read_text()[-3000:]}")
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    given = clean_environment(python, path, s3) | caught[1]
    return Worker(name, caught[0], given)


def run(worker: Worker, s3: str, place: Path) -> tuple[float, float, int, int]:
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
        ask(s3, "_reset", method="POST")
        log = at / "log"
        with log.open("wb") as out:
            started = time.time()
            process = subprocess.Popen(
                worker.command, cwd=at / "job", env=environment, stdout=out, stderr=out
            )
            first = None
            while process.poll() is None:
                if first is None and mark.exists() and mark.stat().st_size:
                    first = requests_of(s3)
                time.sleep(0.005)
            ended = time.time()
        if process.returncode or first is None:
            sys.exit(f"{worker.name}: failed:\n{' '.join(worker.command)}\n{log.read_text()}")
        tool = float(mark.read_text())
        return tool - started, ended - started, first, requests_of(s3)


def put_reads(s3: str) -> None:
    """Put the sample's reads, and nothing else of it, into the stub."""
    listed = [f"results/sample=S0/{output}" for output in OUTPUTS]
    for key in listed:
        ask(s3, f"{BUCKET}/{key}", method="DELETE")
    for mate in (1, 2):
        ask(s3, f"{BUCKET}/raw/sample=S0/R1_{mate}.fastq.gz", b"reads", method="PUT")


def requests_of(s3: str) -> int:
    """Return how many requests the stub has had since it was reset."""
    counts = json.loads(ask(s3, "_count"))
    return sum(counts.get("c", counts).values())


def ask(s3: str, path: str, body: bytes | None = None, method: str = "GET") -> bytes:
    """Make a plain request of the stub."""
    request = urllib.request.Request(f"{s3}/{path}", body, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def clean_environment(python: str, path: str, s3: str) -> dict[str, str]:
    """Return the environment of a container: the interpreter first on the path, AWS, no more."""
    return {
        "PATH": f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin",
        "PYTHONPATH": path,
        "HOME": os.environ.get("HOME", "/"),
        "LANG": "C.UTF-8",
        "AWS_ENDPOINT_URL_S3": s3,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def without_pip(command: str) -> str:
    """Return the stock worker's command less its installation of the storage plugin."""
    parts = [part for part in command.split(" && ") if not part.startswith("pip install")]
    return " && ".join(parts)


def former(folder: Path) -> Path:
    """Unpack the former version."""
    folder.mkdir()
    what = [BEFORE, "plugins", "snakemake_workflows"]
    tree = subprocess.run(["git", "archive", *what], cwd=REPO, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", folder], input=tree.stdout, check=True)
    # Compiled, like the image.
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)
    return folder


@contextmanager
def s3_stub(options: argparse.Namespace) -> Iterator[str]:
    """Give the address of a stub with the wanted latency, started for this run unless given."""
    if options.s3:
        yield options.s3
        return
    raise SystemExit("give --s3")


def print_table(workers: Sequence[Worker], options: argparse.Namespace) -> None:
    """Print the figures, and each as a share of stock's."""
    print(f"Worker start: medians of {options.runs} runs, {options.latency_ms:.0f} ms a request")
    print(f"{'':26}{'to its tool':>14}{'share':>8}{'requests':>10}{'in all':>12}{'requests':>10}")
    whole = workers[0].median(0)
    for worker in workers:
        tool, total, first, requests = (worker.median(which) for which in range(4))
        print(
            f"{worker.name:26}{tool:>12.2f} s{tool / whole:>8.0%}{first:>10.0f}"
            f"{total:>10.2f} s{requests:>10.0f}"
        )


if __name__ == "__main__":
    main()
