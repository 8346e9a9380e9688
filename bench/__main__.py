"""Run the benchmarks: `python -m bench [name …] [--keep]`; without names all, the quick ones first.

`--keep` writes what they print, with machine and versions, into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.heads import STOCK_PYTHON
from bench.stubs import REPO

#: Module and options, in the order they run.
BENCHMARKS: dict[str, tuple[str, ...]] = {
    "disk_simulation": (),
    "listing": (),
    "first_shard": (),
    "worker_start": ("--stock", str(STOCK_PYTHON)),
    "submission": (),
    "duplicates": (),
    "api_calls": (),
    "first_submission": (),
    "fetch": (),
}
KEPT = REPO / "docs" / "benchmarks.md"
MARK = "<!-- below: written by `make bench KEEP=yes` -->"
PACKAGES = ("snakemake", "snakemake-storage-plugin-s3", "boto3", "botocore", "urllib3", "aiohttp")


def main() -> int:
    """Run them one after the other; a failing one does not stop the others."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}"
        )
    print(about(), flush=True)
    printed, failed = [], []
    for name in given.names or BENCHMARKS:
        began = time.monotonic()
        code, text = run(name)
        took = f"(`{name}`: {time.monotonic() - began:,.0f} s)"
        print(took, flush=True)
        printed.append(f"{text.strip()}\n\n{took}\n")
        if code:
            failed.append(name)
    if given.keep and not failed:
        before = KEPT.read_text().partition(MARK)[0]
        KEPT.write_text(f"{before}{MARK}\n\n{about()}\n\n" + "\n".join(printed))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


def run(name: str) -> tuple[int, str]:
    """Run one, its lines passed on as they come; return its exit code and what it printed."""
    command = [sys.executable, "-u", "-m", f"bench.{name}", *BENCHMARKS[name]]
    process = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout or ():
        print(line, end="", flush=True)
        lines.append(line)
    return process.wait(), "".join(lines)


def about() -> str:
    """Say on what machine and with which versions."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=REPO, capture_output=True, text=True
    ).stdout.strip()
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    knobs = {name: value for name, value in os.environ.items() if name.startswith("BENCH_")}
    machine = f"{os.cpu_count()} × {model[1] if model else '?'}, {memory:.0f} GiB"
    return (
        f"{datetime.date.today()}, commit {commit}; {machine}; "
        f"Python {platform.python_version()}, {versions}; "
        f"stock: snakemake-executor-plugin-aws-batch 0.2.1. {_knobs(knobs)}"
    )


def _knobs(knobs: dict[str, str]) -> str:
    if not knobs:
        return "All knobs at their defaults."
    return "Knobs: " + ", ".join(f"{name}={value}" for name, value in sorted(knobs.items())) + "."


if __name__ == "__main__":
    sys.exit(main())
