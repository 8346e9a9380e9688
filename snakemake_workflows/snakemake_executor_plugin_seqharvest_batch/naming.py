"""Job names that are the same from run to run."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

MAX_NAME = 128  # SubmitJob's limit, characters
MAX_PREFIX = 100  # leaves "--", 13 letters of the rule's name, "-" and the hash
HASH = 12
ARRAY = "-array-"  # before the hash of an array's records; Batch itself marks arrays, not this
SEPARATOR = (
    "--"  # between the run's prefix and the job's own part; terminate-by-prefix relies on it
)


def check_prefix(prefix: str) -> str:
    """Return the prefix, or raise `WorkflowError` when Batch would refuse names made from it."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", prefix) or len(prefix) > MAX_PREFIX:
        raise WorkflowError(
            f"--seqharvest-batch-name-prefix {prefix!r} is not 1 to {MAX_PREFIX} letters, digits, "
            "'-' or '_'"
        )
    return prefix


def default_prefix(*parts: str) -> str:
    """Name a run by what it works on."""
    return f"snakemake-{digest(parts)}"


def digest(parts: Sequence[str]) -> str:
    """Hash strings to 12 hex digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:HASH]


def content_hash(body: bytes) -> str:
    """Hash an object's content to 12 hex digits, which name it."""
    return hashlib.sha256(body).hexdigest()[:HASH]


def job_name(prefix: str, job: Any) -> str:
    """Name a job or group job: `<prefix>--<rule or group>-<hash>`.

    A group is known by its last job (Snakemake's own choice for its `jobid`), because which of its
    earlier jobs are still needed may differ after a restart. The attempt is left out for the same
    reason.
    """
    name = label(job)
    identity = str(job.jobid) if job.is_group() else job.uuid()
    room = MAX_NAME - len(prefix) - len(SEPARATOR) - 1 - HASH
    return f"{prefix}{SEPARATOR}{name[:room]}-{digest([name, identity])}"


def array_name(prefix: str, label: str, content: str) -> str:
    """Name an array job by the hash of its records: `<prefix>--<rule or group>-array-<hash>`."""
    room = MAX_NAME - len(prefix) - len(SEPARATOR) - len(ARRAY) - HASH
    return f"{prefix}{SEPARATOR}{label[:room]}{ARRAY}{content}"


def array_content(name: str) -> str:
    """Return the hash of an array's records from the array's name."""
    return name.rpartition(ARRAY)[2]


def label(job: Any) -> str:
    """Return the rule's or group's name in letters Batch takes."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", str(job.groupid if job.is_group() else job.rule.name))


def wildcards(job: Any) -> dict[str, str]:
    """Return a job's wildcards; of a group those of all its jobs, the first value winning."""
    merged: dict[str, str] = {}
    for single in job.jobs if job.is_group() else [job]:
        for key, value in single.wildcards_dict.items():
            merged.setdefault(key, str(value))
    return merged


def describe(job: Any) -> str:
    """Name a job for people: `sample (fastp, star) sample=S1`."""
    rules = sorted(job.rules)
    head = f"{job.groupid} ({', '.join(rules)})" if job.is_group() else rules[0]
    return " ".join([head, *(f"{key}={value}" for key, value in wildcards(job).items())])
