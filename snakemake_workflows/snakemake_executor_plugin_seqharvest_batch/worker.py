"""A worker job's command: fetch the run's bundle, then be Snakemake, in one process."""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from snakemake_executor_plugin_seqharvest_batch import lean, records, usage

LOG_LINES = 25  # of the failed rule's log file; fits the log tail the head asks for
RULER = "=" * 80


def main(argv: Sequence[str]) -> None:
    """Run `worker BUNDLE_URI [a record's arguments (records.py) | SNAKEMAKE ARGUMENTS…]`."""
    # Imported and made here, not in a thread: the storage plugin shares the session's caches.
    import boto3

    s3 = boto3.client("s3")
    bundle, job, snakemake = _prepare(s3, *argv)
    with _working_directory(bundle.get("scratch")), _measured(bundle, job, s3):
        _write(bundle["files"])
        try:
            snakemake(["--snakefile", bundle["snakefile"], *job["arguments"], *bundle["arguments"]])
        except SystemExit as end:
            if end.code:
                _show_newest_log()
            raise


def _prepare(
    s3: Any, bundle_uri: str, *arguments: str
) -> tuple[dict[str, Any], dict[str, Any], Callable[[Sequence[str]], None]]:
    """Return bundle, record and Snakemake; this is imported while those are on their way."""
    get = partial(_get, s3)
    with ThreadPoolExecutor(max_workers=2) as pool:
        bundle = pool.submit(get, bundle_uri)
        job = pool.submit(records.read, arguments, get, os.environ)
        snakemake = lean.snakemake()
        return (
            json.loads(bundle.result()),
            job.result() or {"arguments": arguments},
            snakemake,
        )


def _measured(
    bundle: Mapping[str, Any], job: Mapping[str, Any], s3: Any
) -> AbstractContextManager[None]:
    prefix = bundle.get("usage")
    uri = usage.uri(prefix, job["name"]) if prefix and "name" in job else None
    return usage.measured(uri, job.get("about", {}), s3=s3)


@contextmanager
def _working_directory(wanted: str | None) -> Iterator[None]:
    """Work in a fresh folder below the wanted one, or stay where we are when there is none."""
    base = os.path.expandvars(wanted or "$")
    if "$" in base:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="job-", dir=base, ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(base)


def _show_newest_log() -> None:
    """Print the end of the failed rule's log file, which is the last one written.

    Snakemake's own --show-failed-logs does not find log files that are kept in storage.
    """
    own = Path(".snakemake/log")  # Snakemake's log of this run has been seen already
    found = (path for path in Path().rglob("*.log") if own not in path.parents)
    logs = [path for path in found if path.is_file() and path.stat().st_size]
    if logs:
        newest = max(logs, key=lambda path: path.stat().st_mtime)
        lines = newest.read_text(errors="replace").splitlines()[-LOG_LINES:]
        print(f"End of {newest.name}:", RULER, *lines, RULER, sep="\n", flush=True)


def _get(s3: Any, uri: str, span: str | None = None) -> bytes:
    parts = urlsplit(uri)
    part = {"Range": span} if span else {}
    response = s3.get_object(Bucket=parts.netloc, Key=parts.path[1:], **part)
    body: bytes = response["Body"].read()
    return body


def _write(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        # Snakemake's rate limiter leaves timers behind that would keep this process for a second.
        os._exit(end.code if isinstance(end.code, int) else 1)
