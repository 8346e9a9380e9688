"""The head job: run a workflow's Snakemake for one manifest, and say what became of its samples.

`python -m seqharvest.head s3://bucket/manifests/….json` is the command of Batch's head jobs.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import yaml
from botocore.exceptions import ClientError

from seqharvest import aws, inventory, sample_sheet
from seqharvest.batch import job_name
from seqharvest.errors import InputError, SeqharvestError
from seqharvest.layout import (
    outcome_key,
    progress_key,
    raw_prefix,
    release_prefix,
    result_prefix,
    uri,
)
from seqharvest.progress.record import EVERY_SECONDS, Recorder
from seqharvest.settings import settings
from seqharvest.workflows import WORKFLOWS

log = logging.getLogger(__name__)

TAIL_LINES = 40  # of Snakemake's own log, when it ends without having run a job
CONFIG, SHEET, FAILURES = "config.yaml", "samples.tsv", "failures.jsonl"
INVENTORY, EFFICIENCY = "inventory.tsv", "efficiency.json"


@dataclass(frozen=True)
class Manifest:
    """What a head job is to do."""

    bucket: str
    digest: str
    stage: str
    workflow: str
    project: str
    release: str
    fingerprint: str
    target: str
    config: Mapping[str, Any]
    samples: Sequence[Mapping[str, Any]]

    @property
    def results(self) -> str:
        """Key prefix of the results, without a slash at its end."""
        if self.workflow == "reference":
            return release_prefix(self.release).rstrip("/")
        return result_prefix(self.workflow, self.fingerprint, self.project).rstrip("/")

    @property
    def outcome(self) -> str:
        """Key of what became of it."""
        return outcome_key(self.stage, self.project, self.digest)


@dataclass
class Run:
    """How Snakemake ended: exit code, last counts of jobs, end of its log, failures by sample."""

    code: int
    counts: dict[str, int] = field(default_factory=dict)
    tail: list[str] = field(default_factory=list)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    efficiency: dict[str, Any] = field(default_factory=dict)  # what jobs asked for and used
    ended: bool = False  # by a signal to the head job


def main(argv: Sequence[str] | None = None) -> int:
    """Run the head job; return 0 if any sample is complete or nothing was to do, else 1.

    Bad input is reported in one line and gives 2.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        if len(arguments) != 1:
            raise InputError(
                f"{len(arguments)} arguments instead of a manifest",
                "python -m seqharvest.head s3://bucket/manifests/….json",
            )
        return run_head(read_manifest(arguments[0]))
    except SeqharvestError as error:
        log.error("%s", error)
        return error.exit_code


def run_head(manifest: Manifest) -> int:
    """Run the manifest's workflow, store the outcome, return the exit code."""
    log.info(
        "project %s: %s %s, %d samples",
        manifest.project,
        manifest.workflow,
        manifest.target,
        len(manifest.samples),
    )
    # What an earlier try left must not be read as this one's if this one dies.
    aws.client("s3").delete_object(Bucket=manifest.bucket, Key=manifest.outcome)
    if manifest.target == "samples" and not manifest.samples:
        run = Run(code=0)
    else:
        with scratch() as folder:
            prepare(manifest, folder)
            run = run_snakemake(manifest, folder)
    outcome = judge(manifest, run)
    store(manifest, outcome)
    if manifest.target == "samples":
        return 0 if outcome["done"] or not manifest.samples else 1
    return 0 if run.code == 0 else 1


def read_manifest(where: str) -> Manifest:
    """Read a manifest from S3; raise `InputError` when it is absent or lacks a field."""
    parts = urlsplit(where)
    bucket, key = parts.netloc, parts.path.lstrip("/")
    if parts.scheme != "s3" or not bucket or not key:
        raise InputError(f"manifest {where!r} is not s3://bucket/key", "give the key plan wrote")
    try:
        body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        content = json.loads(body)
        return Manifest(
            bucket=bucket,
            # The name is <stage>-<digest>.json.
            digest=Path(key).stem.rpartition("-")[2],
            stage=content["stage"],
            workflow=content["workflow"],
            project=content.get("project", ""),
            release=content["release"],
            fingerprint=content.get("fingerprint", ""),
            target=content["target"],
            config=content.get("config") or {},
            samples=content.get("samples") or [],
        )
    except ClientError as error:
        raise InputError(f"manifest {where} cannot be read: {error}", "plan the stage again") from (
            error
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"has no {error}" if isinstance(error, KeyError) else f"is not a manifest: {error}"
        raise InputError(f"manifest {where} {what}", "plan the stage again") from error


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a fresh working directory on the job's own disk, and remove it."""
    wanted = Path(settings().scratch)
    base = wanted if wanted.is_dir() and os.access(wanted, os.W_OK) else Path.cwd()
    folder = Path(tempfile.mkdtemp(prefix="head-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare(manifest: Manifest, folder: Path) -> None:
    """Write the configuration and the sample sheet that the workflow reads, and the inventory."""
    workflow = WORKFLOWS.get(manifest.workflow)
    config = {
        "project": manifest.project,
        "release": manifest.release,
        "fingerprint": manifest.fingerprint,
        "bucket": manifest.bucket,
        "results": manifest.results,
        "samples": SHEET,
        "outputs": list(workflow.outputs) if workflow else [],
        **(workflow.defaults if workflow else {}),
        **manifest.config,
    }
    (folder / CONFIG).write_text(yaml.safe_dump(config, sort_keys=False))
    recorded = any("recorded" in sample for sample in manifest.samples)  # for the QC report
    with (folder / SHEET).open("w", newline="") as file:
        sheet = csv.writer(file, delimiter="\t", lineterminator="\n")
        sheet.writerow([*sample_sheet.COLUMNS, *(["recorded"] if recorded else [])])
        for sample in manifest.samples:
            runs = ",".join(sample.get("runs") or [])
            row = [sample["sample"], sample["layout"], runs, sample.get("strandedness") or ""]
            said = [json.dumps(sample.get("recorded") or {})] if recorded else []
            sheet.writerow(row + said)
    names = [sample["sample"] for sample in manifest.samples]
    lines = inventory_lines(manifest.bucket, manifest.results, manifest.project, names)
    (folder / INVENTORY).write_text("".join(f"{line}\n" for line in lines))


def inventory_lines(
    bucket: str, results: str, project: str, samples: Sequence[str]
) -> Iterator[str]:
    """Yield what the storage plugin is to list before the DAG is built (see its `inventory`).

    The samples' folders of results, each with the reads they must not be older than: so Snakemake
    and `inventory.complete_samples` agree on what is there.
    """
    for sample in samples:
        folder = uri(bucket, f"{results}/sample={sample}/")
        yield f"{folder}\t{uri(bucket, raw_prefix(project, sample))}*.fastq.gz"


def command(manifest: Manifest) -> list[str]:
    """Return the Snakemake command of a manifest."""
    home = Path(settings().home) / "snakemake_workflows"
    snakefile = home / manifest.workflow / "workflow" / "Snakefile"
    if not snakefile.is_file():
        raise InputError(
            f"workflow {manifest.workflow!r} has no {snakefile}",
            f"SEQHARVEST_HOME must be the repository; workflows: {', '.join(WORKFLOWS)}",
        )
    prefix = job_name(manifest.stage, manifest.project, manifest.digest)
    options = {
        "--snakefile": snakefile,
        "--profile": home / "profiles" / "batch",
        "--configfile": CONFIG,
        "--default-storage-prefix": f"s3://{manifest.bucket}",
        "--seqharvest-batch-job-queue": settings().worker_queue,
        "--seqharvest-batch-job-definition": settings().worker_job,
        "--seqharvest-batch-name-prefix": prefix,
        "--seqharvest-batch-bundle-prefix": uri(manifest.bucket, f"manifests/bundles/{prefix}"),
        "--seqharvest-batch-worker-files": SHEET,
        "--seqharvest-batch-failures-file": FAILURES,
        "--seqharvest-batch-poll-seconds": settings().batch_poll_seconds,
        # Expanded by the worker: only it knows its own disk.
        "--seqharvest-batch-scratch-dir": "$SEQHARVEST_SCRATCH",
        "--seqharvest-batch-tags": f"seqharvest:project={manifest.project}",
    }
    if manifest.target == "samples":
        options["--storage-seqharvest-s3-inventory"] = INVENTORY
    if settings().large_disk_queue:
        options["--seqharvest-batch-large-disk-queue"] = settings().large_disk_queue
        options["--seqharvest-batch-large-disk-gib"] = settings().large_disk_gib
    flat = [str(part) for option in options.items() for part in option]
    return [sys.executable, "-m", "snakemake", *flat, "--", manifest.target]


def run_snakemake(manifest: Manifest, folder: Path) -> Run:
    """Run Snakemake in a folder, its log passed on line by line; SIGTERM ends it and its jobs."""
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    process = subprocess.Popen(
        command(manifest),
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with pass_signals_to(process) as signals, recorder(manifest, folder) as progress:
        for line in cast(Iterator[str], process.stdout):
            print(line, end="", flush=True)
            tail.append(line.rstrip("\n"))
            progress.see(line)
        code = process.wait()
    return Run(
        code,
        progress.counts,
        list(tail),
        read_failures(folder / FAILURES),
        read_efficiency(folder / EFFICIENCY),
        ended=bool(signals),
    )


def recorder(manifest: Manifest, folder: Path) -> Recorder:
    """Return what keeps the run's page in Airflow up to date."""
    key = progress_key(manifest.stage, manifest.project, manifest.digest)
    seconds = min(EVERY_SECONDS, settings().batch_poll_seconds)
    return Recorder(manifest.bucket, key, folder / FAILURES, seconds)


@contextmanager
def pass_signals_to(process: subprocess.Popen[str]) -> Iterator[list[int]]:
    """Hand SIGTERM and SIGINT on to the process, which ends its jobs; we stay for the outcome.

    Gives the list of the signals that came.
    """
    came: list[int] = []

    def hand_on(signum: int, _frame: object) -> None:
        came.append(signum)
        log.warning("%s: ending Snakemake and its worker jobs", signal.Signals(signum).name)
        process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def read_failures(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last failure of each sample, or of each job that is not a sample's."""
    if not path.exists():
        return {}
    found = {}
    for line in path.read_text().splitlines():
        failure = json.loads(line)
        found[failure["wildcards"].get("sample", failure["job"])] = failure
    return found


def read_efficiency(path: Path) -> dict[str, Any]:
    """Return what the executor says its jobs asked for and used; nothing when no job ran."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def judge(manifest: Manifest, run: Run) -> dict[str, Any]:
    """Say what became of the manifest: samples done by their outputs, the others with a reason."""
    done: list[str] = []
    failed: dict[str, dict[str, Any]] = {}
    if manifest.target == "samples":
        found = inventory.complete_samples(
            manifest.bucket,
            WORKFLOWS[manifest.workflow],
            manifest.fingerprint,
            manifest.project,
            [sample["sample"] for sample in manifest.samples],
        )
        done = sorted(found.complete)
        failed = {
            sample: _reason(run, run.failures.get(sample), missing)
            for sample, missing in sorted(found.missing.items())
        }
    elif run.code:
        names = list(run.failures) or [manifest.target]
        failed = {name: _reason(run, run.failures.get(name), []) for name in names}
    wanted = len(manifest.samples) if manifest.target == "samples" else 0
    return {
        "done": done,
        "failed": failed,
        "jobs": {
            "submitted": run.counts.get("submitted", 0),
            "attached": run.counts.get("attached", 0),
            "skipped": max(0, wanted - run.counts.get("total", 0)) + run.counts.get("skipped", 0),
            "succeeded": run.counts.get("done", 0),
            "failed": run.counts.get("failed", 0),
        },
        "efficiency": run.efficiency,
    }


def _reason(run: Run, failure: Mapping[str, Any] | None, missing: Sequence[str]) -> dict[str, Any]:
    if failure:
        return {
            "kind": failure["kind"],
            "reason": failure["summary"],
            "log": failure["log_stream"],
            "tail": failure["log"],
        }
    if run.ended or run.code in (-signal.SIGTERM, -signal.SIGKILL):
        return {"kind": "terminated", "reason": "the head job was ended", "log": "", "tail": []}
    # Without a failed job the workflow itself did not start (a bad config), or was interrupted.
    what = _error_line(run.tail) if run.code else ""
    reason = "; ".join(part for part in (what, *missing) if part)
    return {"kind": "workflow", "reason": reason, "log": "", "tail": run.tail if run.code else []}


def _error_line(tail: Sequence[str]) -> str:
    """Return Snakemake's last error with the line after it, where its message may be."""
    for number in range(len(tail) - 1, -1, -1):
        if re.search(r"error|exception", tail[number], re.I):
            return " ".join(line.strip() for line in tail[number : number + 2])
    return f"Snakemake's last words: {tail[-1].strip()}" if tail else ""


def store(manifest: Manifest, outcome: Mapping[str, Any]) -> None:
    """Store the outcome, and log it in a line."""
    body = json.dumps(outcome, indent=1, sort_keys=True).encode()
    aws.client("s3").put_object(Bucket=manifest.bucket, Key=manifest.outcome, Body=body)
    log.info(
        "project %s: %s done=%d failed=%d → %s",
        manifest.project,
        manifest.stage,
        len(outcome["done"]),
        len(outcome["failed"]),
        uri(manifest.bucket, manifest.outcome),
    )
    # Last, so that the end of the log, which Airflow shows, says what went wrong.
    for sample, why in outcome["failed"].items():
        log.error("%s %s: %s: %s", manifest.project, sample, why["kind"], why["reason"])


if __name__ == "__main__":
    sys.exit(main())
