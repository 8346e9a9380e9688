"""What a worker is to do: one record per job, in the command itself or in an object on S3.

The worker imports this before anything else: it needs nothing but the standard library.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

#: Which child of an array job this is; Batch sets it, other jobs do not have it.
INDEX = "AWS_BATCH_JOB_ARRAY_INDEX"

#: Gets the content of an S3 URI, or the part of it that an HTTP range names.
Get = Callable[[str, str | None], bytes]


def record(name: str, arguments: Sequence[str], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's record: its name, its Snakemake arguments, and what its usage record says."""
    return {"name": name, "arguments": list(arguments), "about": dict(about)}


def inline(record: Mapping[str, Any]) -> list[str]:
    """Return the worker's arguments for a record small enough for a command."""
    return ["--job", json.dumps(record, separators=(",", ":"))]


def single(uri: str) -> list[str]:
    """Return the worker's arguments for a record of its own object."""
    return ["--job-from", uri]


def array(uri: str, width: int) -> list[str]:
    """Return the worker's arguments, the same for all children, for records packed in an object."""
    return ["--array-from", uri, str(width)]


def pack(records: Sequence[Mapping[str, Any]]) -> tuple[bytes, int]:
    """Return records as JSON lines of one width, and that width.

    A child finds its line by arithmetic: one range request of a few hundred bytes, whatever the
    size of the array.
    """
    lines = [json.dumps(record, sort_keys=True).encode() for record in records]
    width = max(map(len, lines)) + 1
    return b"".join(line.ljust(width - 1) + b"\n" for line in lines), width


def names(body: bytes) -> list[str]:
    """Return the names of packed records in the order of their indexes."""
    return [json.loads(line)["name"] for line in body.splitlines()]


def read(
    arguments: Sequence[str], get: Get, environment: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return this worker's record from its command's arguments; None if these are Snakemake's."""
    match list(arguments):
        case ["--job", text]:
            body: str | bytes = text
        case ["--job-from", uri]:
            body = get(uri, None)
        case ["--array-from", uri, width]:
            start = int(environment[INDEX]) * int(width)
            body = get(uri, f"bytes={start}-{start + int(width) - 1}")
        case _:
            return None
    content: dict[str, Any] = json.loads(body)
    if "from" in content:  # too long for its array's common width
        content = json.loads(get(content["from"], None))
    return content
