"""A worker job's command: fetch the run's bundle, then be Snakemake, in one process."""

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from snakemake_executor_plugin_seqharvest_batch import records

LOG_LINES = 25  # of the failed rule's log file; fits the log tail the head asks for
RULER = "=" * 80


def main(argv: Sequence[str]) -> None:
    """Run `worker BUNDLE_URI [a record's arguments (records.py) | SNAKEMAKE ARGUMENTS…]`."""
    bundle_uri, *arguments = argv
    bundle = json.loads(_get(bundle_uri))
    job = records.read(arguments, _get, os.environ)
    if job is not None:
        arguments = job["arguments"]
    with _working_directory(bundle.get("scratch")):
        _write(bundle["files"])
        # Imported late: a bundle that cannot be had should say so at once.
        from snakemake.cli import main as snakemake

        try:
            snakemake(["--snakefile", bundle["snakefile"], *arguments, *bundle["arguments"]])
        except SystemExit as end:
            if end.code:
                _show_newest_log()
            raise


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


def _get(uri: str, span: str | None = None) -> bytes:
    import boto3

    parts = urlsplit(uri)
    part = {"Range": span} if span else {}
    response = boto3.client("s3").get_object(Bucket=parts.netloc, Key=parts.path[1:], **part)
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
