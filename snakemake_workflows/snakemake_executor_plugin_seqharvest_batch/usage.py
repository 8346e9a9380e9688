"""What jobs used of what they asked for: measured in the worker, summed up in the head."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def measured(
    uri: str | None, about: Mapping[str, Any], *, folder: Path | None = None, s3: Any = None
) -> Iterator[None]:
    """Measure what runs inside and, at its end, store it as one JSON object at an S3 URI.

    `about` is what `about()` made in the head. `folder` is the job's scratch folder (default: the
    working directory). No URI: nothing is measured. Trouble of its own is a line on stderr, never
    the job's failure.
    """
    yield


def about(job: Any, resources: Any) -> dict[str, Any]:
    """Return what a record says of its job besides the measurements: label, rules, asked."""
    return {}


def uri(bundle_prefix: str, job_name: str) -> str:
    """Return where a job's record goes."""
    return f"{bundle_prefix.rstrip('/')}/usage/{job_name}.json"


def report(
    s3: Any,
    bundle_prefix: str,
    name_prefix: str,
    *,
    path: Path | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Read the records of a run's jobs, say an efficiency table, write it as JSON to a file.

    Never fails the run: trouble is said.
    """
