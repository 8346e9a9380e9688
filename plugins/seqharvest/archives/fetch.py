"""Fetches one run to S3, as a child of a Batch array: verified reads first, provenance last."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import PurePosixPath
from types import FrameType
from typing import TYPE_CHECKING, Any

from seqharvest.archives.model import Run
from seqharvest.archives.scratch import reserved, scratch
from seqharvest.archives.size import scratch_bytes
from seqharvest.aws import client
from seqharvest.errors import ArchiveError, InputError, SeqharvestError, VerificationError
from seqharvest.layout import (
    check_project_id,
    check_sample_id,
    outcome_key,
    provenance_key,
    raw_prefix,
    read_key,
    uri,
)
from seqharvest.settings import settings

if TYPE_CHECKING:
    from seqharvest.archives.limits import Limits
    from seqharvest.archives.reads import Attempt, Reads, Workbench

log = logging.getLogger(__name__)

# Imported when used: a child that finds its run stored needs neither httpx nor numpy.
SOURCES = {
    "sra": "seqharvest.archives.sra",
    "ena": "seqharvest.archives.ena_fastq",
    "prefetch": "seqharvest.archives.prefetch",
}
# More threads than this only wait for the disk.
MOST_THREADS = 8
SCRATCH_PATIENCE = 3600.0  # seconds; a neighbour's run of average size takes some minutes


@dataclass(frozen=True)
class Order:
    """One run to fetch, and where to."""

    bucket: str
    project: str
    sample: str
    run: Run
    sources: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the run at this child's place in the manifest; the exit code is the error's."""
    parser = argparse.ArgumentParser(prog="seqharvest.archives.fetch", description=__doc__)
    parser.add_argument("manifest", help="s3://bucket/key of the fetch manifest")
    parser.add_argument("--index", type=int, default=None, help="place (default: Batch's index)")
    parser.add_argument("--threads", type=int, default=_cores())
    options = parser.parse_args(arguments)
    index = options.index
    if index is None:
        index = int(os.environ.get("AWS_BATCH_JOB_ARRAY_INDEX", "0"))
    signal.signal(signal.SIGTERM, _terminated)
    s3 = client("s3")
    try:
        order = read_order(s3, options.manifest, index)
    except SeqharvestError as error:
        log.error("%s", error)
        return error.exit_code
    digest = PurePosixPath(options.manifest).stem.rpartition("-")[2]
    attempts: list[Attempt] = []
    try:
        fetch(s3, order, options.threads, attempts=attempts)
    except Exception as error:  # whatever it was, the registry is to know why
        return _failed(s3, order, digest, error, attempts)
    return 0


def fetch(
    s3: Any,
    order: Order,
    threads: int = 2,
    limits: Limits | None = None,
    attempts: list[Attempt] | None = None,
) -> dict[str, Any]:
    """Bring a run's reads to S3 and return its provenance; a run that is stored stays untouched.

    What was tried is appended to `attempts`, also when it fails. Raises `ArchiveError` naming each
    source's failure when none gave the run whole.
    """
    where = f"{order.project} {order.sample} {order.run.accession}"
    known = stored(s3, order)
    if known is not None:
        log.info("%s: already stored, nothing to fetch", where)
        return known
    from seqharvest.archives.limits import Limits
    from seqharvest.archives.pending import Shelf
    from seqharvest.archives.progress import Progress
    from seqharvest.archives.reads import Workbench
    from seqharvest.registry.fetching import note

    started = time.monotonic()
    tried = [] if attempts is None else attempts
    shelf = Shelf(
        s3, order.bucket, partial(read_key, order.project, order.sample, order.run.accession)
    )
    need = scratch_bytes(order.run, order.sources)
    tell = partial(note, order.project, order.sample, order.run.accession)
    patience = limits or Limits()
    with (
        Progress(tell, patience.tell_every) as progress,
        reserved(scratch(), need, SCRATCH_PATIENCE) as folder,
    ):
        bench = Workbench(folder, shelf, threads, patience, tried, progress)
        try:
            reads = obtain(order, bench)
            files = store(reads)
        finally:
            shelf.clear()
    provenance = {
        "run": order.run.accession,
        "sample": order.sample,
        "project": order.project,
        "source": reads.source,
        "url": reads.url,
        "md5s": list(reads.md5s),
        "sizes": list(reads.sizes),
        "spots": reads.spots,
        "layout": reads.layout,
        "declared_layout": order.run.layout,
        "files": files,
        "orphans": reads.orphans,
        "constant_quality": reads.mates[0].report.constant_quality,
        "attempts": [asdict(attempt) for attempt in tried],
        "tools": reads.tools,
        "seconds": round(time.monotonic() - started, 1),
        "fetched_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    key = provenance_key(order.project, order.sample, order.run.accession)
    _put_json(s3, order.bucket, key, provenance)
    log.info(
        "%s: %d spots, %s, from %s in %.1f s",
        *(where, reads.spots, reads.layout, reads.source, provenance["seconds"]),
    )
    return provenance


def stored(s3: Any, order: Order) -> dict[str, Any] | None:
    """Return a run's provenance if it and each file it names, in its size, are in S3."""
    prefix = raw_prefix(order.project, order.sample)
    sizes: dict[str, int] = {}
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=order.bucket, Prefix=f"{prefix}{order.run.accession}"
    )
    for page in pages:
        sizes |= {found["Key"]: found["Size"] for found in page.get("Contents", ())}
    key = provenance_key(order.project, order.sample, order.run.accession)
    if key not in sizes:
        return None
    try:
        provenance = json.loads(s3.get_object(Bucket=order.bucket, Key=key)["Body"].read())
        files = provenance["files"]
        whole = bool(files) and all(sizes.get(file["key"]) == file["size"] for file in files)
    except (ValueError, KeyError, TypeError) as error:
        log.warning("%s is not provenance (%s): the run is fetched again", key, error)
        return None
    return provenance if whole else None


def obtain(order: Order, bench: Workbench) -> Reads:
    """Try the sources in order; return the first one's verified reads, pending in S3."""
    from seqharvest.archives.reads import Attempt

    root = bench.folder
    for source in order.sources:
        bench.folder = root / source
        bench.folder.mkdir()
        bench.progress.wait(source)
        try:
            reads: Reads = importlib.import_module(SOURCES[source]).obtain(order.run, bench)
        except (ArchiveError, VerificationError) as error:
            log.warning("%s: source %s failed: %s", order.run.accession, source, error)
            bench.attempts.append(Attempt(source, _url(order.run, source), str(error)))
            bench.shelf.clear()
            shutil.rmtree(bench.folder)
            continue
        bench.attempts.append(Attempt(source, reads.url))
        return reads
    # The last word of each source; the outcome has all that was tried.
    last = {attempt.source: attempt.error for attempt in bench.attempts}
    raise ArchiveError(
        f"run {order.run.accession} of sample {order.sample} could not be fetched whole: "
        + "; ".join(f"{source}: {error}" for source, error in last.items())
    )


def store(reads: Reads) -> list[dict[str, Any]]:
    """Let the mates appear in S3, now that all are verified; return what provenance says of them.

    Should the job die between two mates, the provenance is absent and the run is fetched again.
    """
    files = []
    for mate in reads.mates:
        mate.object.complete()
        report = mate.report
        files.append(
            {
                "key": mate.object.key,
                "md5": mate.md5,
                "size": mate.size,
                "reads": report.reads,
                "bases": report.bases,
                "shortest": report.shortest,
                "longest": report.longest,
            }
        )
    return files


def read_order(s3: Any, manifest: str, index: int) -> Order:
    """Return the manifest's run at a place; raises `InputError` naming what is wrong with it."""
    bucket, _, key = manifest.removeprefix("s3://").partition("/")
    if not manifest.startswith("s3://") or not key:
        raise InputError(f"{manifest!r} is not s3://bucket/key")
    try:
        content = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except s3.exceptions.ClientError as error:
        raise InputError(f"manifest {manifest} cannot be read: {error}") from error
    except ValueError as error:
        raise InputError(f"manifest {manifest} is not JSON: {error}") from error
    return _order(content, index, bucket, manifest)


def _order(content: Mapping[str, Any], index: int, bucket: str, manifest: str) -> Order:
    try:
        runs = content["runs"]
        if not 0 <= index < len(runs):
            raise InputError(f"manifest {manifest} has {len(runs)} runs, none at index {index}")
        entry = runs[index]
        sources = content.get("sources") or settings().fetch_sources.split(",")
        order = Order(
            bucket=content.get("bucket", bucket),
            project=check_project_id(content["project"]),
            sample=check_sample_id(entry["sample"]),
            run=Run.from_dict(entry["run"]),
            sources=tuple(source.strip() for source in sources if source.strip()),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"manifest {manifest} is not a fetch manifest: {error!r}") from error
    check_sample_id(order.run.accession)  # it names files and keys as a sample does
    unknown = sorted(set(order.sources) - set(SOURCES))
    if unknown or not order.sources:
        raise InputError(
            f"fetch sources are {', '.join(order.sources) or 'empty'}",
            f"name some of {', '.join(SOURCES)} in SEQHARVEST_FETCH_SOURCES",
        )
    return order


def _url(run: Run, source: str) -> str:
    if source == "ena":
        return ";".join(file.url for file in run.fastq)
    return run.sra_url if source == "sra" else run.accession


def _failed(
    s3: Any, order: Order, digest: str, error: Exception, attempts: Sequence[Attempt]
) -> int:
    """Record why the run was not fetched, where the stage looks for it."""
    known = isinstance(error, SeqharvestError)
    reason = str(error) if known else f"{type(error).__name__}: {error}"
    run = order.run.accession
    log.error("%s %s %s: %s", order.project, order.sample, run, reason, exc_info=not known)
    key = outcome_key("fetch", order.project, f"{digest}-{run}")
    outcome = {
        "sample": order.sample,
        "run": run,
        "reason": reason,
        "attempts": [asdict(attempt) for attempt in attempts],
    }
    try:
        _put_json(s3, order.bucket, key, outcome)
    except Exception:
        # S3 itself may be the reason; the exit code and the log still tell.
        log.exception("cannot record the failure at %s", uri(order.bucket, key))
    return error.exit_code if isinstance(error, SeqharvestError) else 1


def _put_json(s3: Any, bucket: str, key: str, content: Mapping[str, Any]) -> None:
    body = json.dumps(content, indent=1, ensure_ascii=False).encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")


def _terminated(_signal: int, _frame: FrameType | None) -> None:
    # Batch sends SIGTERM 30 s before SIGKILL: enough to clean scratch and to say why.
    raise SeqharvestError("the fetch was ended by Batch (terminated, or over its time)")


def _cores() -> int:
    return min(MOST_THREADS, len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)  # it tells where credentials are
    sys.exit(main())
