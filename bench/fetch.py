"""Fetch of a run against `prefetch`, `fasterq-dump`, `pigz` and `aws s3 cp` in sequence.

    python -m bench.fetch [--pairs 1000000] [--rate 40] [--latency 20]

Both take the run from the local archive over the same network (each answer late, each connection
narrow, as S3's are) and put it into the same S3. Wall time, and the most that lay on scratch.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import numpy as np

from bench.stubs import REPO, _free_port
from bench.table import Table
from seqharvest.archives import ena
from seqharvest.archives.mates import GZIP_LEVEL
from seqharvest.settings import settings

RUN, BUCKET = "SRR9999001", "bench"
LOOK = 0.02  # seconds between looks at scratch


@dataclass(frozen=True)
class Figures:
    """What one way took: seconds, and bytes on scratch at the worst moment."""

    seconds: float
    scratch: int
    stored: int


def main() -> None:
    """Run each way in a folder of its own and print the table."""
    parser = argparse.ArgumentParser(prog="bench.fetch", description=__doc__)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=40, help="MB/s of each connection")
    parser.add_argument("--latency", type=float, default=20, help="ms before each answer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-fetch-") as folder:
        place = Path(folder)
        series = place / "GSE9999001"
        make_series(series, options.pairs)
        with (
            s3(place / "s3") as aws,
            archive(place, series, options) as url,
            resolver(url) as sdl,
        ):
            compare(place, environment(aws, url, sdl), options)


def compare(place: Path, given: Mapping[str, str], options: argparse.Namespace) -> None:
    """Take the figures and print them."""
    os.environ.update(given)
    settings.cache_clear()
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    ways = {
        "prefetch, fasterq-dump, pigz, aws s3 cp": peer(place, given, 6),
        f"the same with pigz -{GZIP_LEVEL}": peer(place, given, GZIP_LEVEL),
        "ours": ours(place, given),
    }
    table = Table(
        "Fetch of a run to S3 (goal: at most 0.6 of the time and of the scratch)",
        *("", "s", "of the peer's", "peak scratch, MB", "of the peer's", "stored, MB"),
    )
    first = next(iter(ways.values()))
    for name, took in ways.items():
        time_share = f"{took.seconds / first.seconds:.2f}"
        disk_share = f"{took.scratch / first.scratch:.2f}"
        megabytes = (f"{took.scratch / 1e6:,.0f}", f"{took.stored / 1e6:,.0f}")
        table.add(name, took.seconds, time_share, megabytes[0], disk_share, megabytes[1])
    table.show(
        f"{options.pairs:,} pairs of 101 bases; each connection {options.rate:g} MB/s and "
        f"{options.latency:g} ms before each answer, S3 (ministack) without limit; {os.cpu_count()}"
        " cores, shared with both servers. Ours also checks md5, vdb-validate, every record and "
        "the mates' names, which the peer does not; its time includes Python's start."
    )


def peer(place: Path, given: Mapping[str, str], level: int) -> Figures:
    """What people write: one tool after the other."""
    work = place / f"peer{level}"
    work.mkdir()
    config = place / "ncbi.mkfg"
    config.write_text(
        '/LIBS/GUID = "8b0d4d7e-1111-2222-3333-444455556666"\n'
        f'/repository/remote/main/SDL.2/resolver-cgi = "{given["SEQHARVEST_SDL_URL"]}"\n'
    )
    cores = str(os.cpu_count() or 1)
    mates = [f"{RUN}_1.fastq", f"{RUN}_2.fastq"]
    commands = [
        ["prefetch", RUN, "--max-size", "u"],
        ["fasterq-dump", f"./{RUN}/{RUN}.sra", "--split-3", "--threads", cores],
        ["pigz", f"-{level}", "-p", cores, *mates],
        *(["aws", "s3", "cp", f"{mate}.gz", f"s3://{BUCKET}/peer{level}/"] for mate in mates),
    ]
    return measure(work, commands, {**given, "NCBI_SETTINGS": str(config)}, f"peer{level}/")


def ours(place: Path, given: Mapping[str, str]) -> Figures:
    """The Batch child, as Batch starts it."""
    work = place / "ours"
    work.mkdir()
    (run,) = ena.runs(RUN)
    manifest = {
        "stage": "fetch",
        "project": "GSE9999001",
        "bucket": BUCKET,
        "sources": ["sra", "ena", "prefetch"],
        "runs": [{"sample": "SRX1", "run": run.as_dict()}],
    }
    key = "manifests/project=GSE9999001/fetch-bench.json"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=json.dumps(manifest).encode())
    command = [sys.executable, "-m", "seqharvest.archives.fetch", f"s3://{BUCKET}/{key}"]
    return measure(work, [command], given, "raw/")


def measure(
    work: Path, commands: Sequence[Sequence[str]], given: Mapping[str, str], prefix: str
) -> Figures:
    """Run commands one after the other in a folder, watching what lies in it."""
    ended, peak = threading.Event(), 0

    def watch() -> None:
        nonlocal peak
        while not ended.wait(LOOK):
            peak = max(peak, on_disk(work))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.monotonic()
    try:
        for command in commands:
            done = subprocess.run(
                command, cwd=work, env={**os.environ, **given}, capture_output=True, text=True
            )
            if done.returncode:
                sys.exit(f"{command[0]} failed: {done.stdout}{done.stderr}")
        took = time.monotonic() - began
    finally:
        ended.set()
        watcher.join()
    shutil.rmtree(work)
    page = boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
    stored = sum(found["Size"] for found in page["Contents"] if found["Key"].endswith(".gz"))
    return Figures(took, peak, stored)


def on_disk(folder: Path) -> int:
    """Return the bytes a folder takes on disk."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_blocks * 512  # noqa: PTH116, PTH118
            except FileNotFoundError:
                continue
    return total


def make_series(folder: Path, pairs: int) -> None:
    """Write a series of one paired run: reads of a random genome, qualities as a NovaSeq bins."""
    folder.mkdir()
    random = np.random.default_rng(7)
    genome = np.frombuffer(b"ACGT", np.uint8)[random.integers(0, 4, 20_000_000)]
    levels = np.frombuffer(b"F:,#", np.uint8)
    for mate in (1, 2):
        with gzip.open(folder / f"{RUN}_{mate}.fastq.gz", "wb", compresslevel=1) as out:
            for start in range(0, pairs, 50_000):
                count = min(50_000, pairs - start)
                # A transcript is read again and again, as in RNA.
                places = (random.pareto(1.2, count) * 40_000).astype(np.int64) % 19_000_000
                bases = genome[places[:, None] + np.arange(101) + 150 * mate]
                quality = levels[random.choice(4, (count, 101), p=[0.91, 0.05, 0.035, 0.005])]
                rows = zip(bases, quality, strict=True)
                out.write(
                    b"".join(
                        b"@A00:1:H:%d:%d\n%s\n+\n%s\n" % (n % 4, n, b.tobytes(), q.tobytes())
                        for n, (b, q) in enumerate(rows, start)
                    )
                )
    (folder / "samples.csv").write_text(
        f"run,fastq_1,fastq_2,offered\n{RUN},{RUN}_1.fastq.gz,{RUN}_2.fastq.gz,sra\n"
    )


def environment(aws: str, url: str, sdl: str) -> dict[str, str]:
    """Return what makes a process take the local services for AWS and the archives."""
    return {
        "AWS_ENDPOINT_URL": aws,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_EC2_METADATA_DISABLED": "true",
        "SEQHARVEST_ENA_PORTAL_URL": f"{url}/ena/portal/api",
        "SEQHARVEST_SRA_URL": url,
        "SEQHARVEST_SDL_URL": sdl,
        "SEQHARVEST_ENA_FASTQ_SCHEME": "http",
        "PYTHONPATH": os.pathsep.join(map(str, (REPO / "plugins", REPO))),
    }


@contextmanager
def archive(place: Path, series: Path, options: argparse.Namespace) -> Iterator[str]:
    """Run the local archive behind its network, until the run's .sra is made."""
    port = _free_port()
    command = [sys.executable, "-m", "local.archive", "--port", str(port), "--series", str(series)]
    network = ["--rate", str(options.rate), "--latency", str(options.latency)]
    with server([*command, *network, "--state", str(place / "archive")], place) as log:
        url = f"http://127.0.0.1:{port}"
        wait(f"{url}/health", log)
        wait(f"{url}/sra/{RUN}/{RUN}", log, method="HEAD")
        yield url


@contextmanager
def resolver(url: str) -> Iterator[str]:
    """Answer prefetch's question for the run with its address at the archive.

    Not part of the archive: a NUL follows the body of prefetch's request, which uvicorn refuses.
    """
    with urllib.request.urlopen(f"{url}/sra/{RUN}/{RUN}", timeout=300) as answer:
        size, md5 = int(answer.headers["Content-Length"]), answer.headers["ETag"].strip('"')
    place = {"service": "ncbi", "region": "public", "link": f"{url}/sra/{RUN}/{RUN}"}
    file = {"object": f"srapub|{RUN}", "type": "sra", "name": RUN, "size": size, "md5": md5}
    file |= {"modificationDate": "2026-01-01T00:00:00Z", "locations": [place]}
    found = {"bundle": RUN, "status": 200, "msg": "ok", "files": [file]}
    body = json.dumps({"version": "2", "result": [found]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/sdl/2/retrieve"
        server.shutdown()


@contextmanager
def s3(state: Path) -> Iterator[str]:
    """Run ministack."""
    port = _free_port()
    ministack = REPO / ".local" / "ministack" / "bin" / "ministack"
    state.mkdir()
    given = {"GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
    with server([str(ministack)], state, **given) as log:
        url = f"http://127.0.0.1:{port}"
        wait(f"{url}/_ministack/health", log)
        yield url


@contextmanager
def server(command: Sequence[str], folder: Path, **more: str) -> Iterator[Path]:
    """Run a server for as long as the block lasts; gives the address of its log."""
    path = os.pathsep.join(map(str, (REPO / "plugins", REPO)))
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=REPO,
            env={**os.environ, "PYTHONPATH": path, **more},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield log
    finally:
        os.killpg(process.pid, 9)  # it holds nothing worth a clean exit
        process.wait()


def wait(address: str, log: Path, method: str = "GET") -> None:
    """Ask until it answers; making the archive of a million pairs takes half a minute."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(
                urllib.request.Request(address, method=method), timeout=300
            ).close()
            return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"{address} does not answer:\n{log.read_text()[-2000:]}")


if __name__ == "__main__":
    main()
