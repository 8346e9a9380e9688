"""Why a Batch job failed, told by kind, and the record of it."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class Kind(StrEnum):
    """What a failure calls for."""

    SPOT_RECLAIM = "spot_reclaim"  # the host was taken away more often than `attempts`
    OUT_OF_MEMORY = "out_of_memory"  # more mem_mb
    DISK_FULL = "disk_full"  # more scratch
    IMAGE = "image"  # the container never started
    TIMEOUT = "timeout"  # more runtime
    TERMINATED = "terminated"  # somebody ended it
    LOST = "lost"  # Batch does not know it
    USER_ERROR = "user_error"  # the tool or its input: the same again gives the same


#: Repeating these is pointless (the same input fails again) or against somebody's will.
FINAL = frozenset({Kind.USER_ERROR, Kind.TERMINATED})

_BY_REASON = (
    (Kind.TIMEOUT, re.compile(r"exceeded timeout", re.I)),
    (Kind.SPOT_RECLAIM, re.compile(r"^Host EC2", re.I)),
    (Kind.OUT_OF_MEMORY, re.compile(r"OutOfMemory", re.I)),
    (
        Kind.IMAGE,
        re.compile(r"CannotPull|CannotCreateContainer|ImagePull|pull access denied", re.I),
    ),
    (Kind.DISK_FULL, re.compile(r"no space left on device|disk full", re.I)),
)
# Inside a container the kernel kills the tool, not Snakemake: the job itself then exits with 1.
_BY_LOG = (
    (
        Kind.DISK_FULL,
        re.compile(r"No space left on device|Disk quota exceeded|OSError: \[Errno 28\]"),
    ),
    (Kind.OUT_OF_MEMORY, re.compile(r"exit status 137|SIGKILL|std::bad_alloc|MemoryError")),
)
_RULER = re.compile(r"={20,}$")
# Snakemake's own frame around an error says nothing about it.
_FRAME = re.compile(
    r"Error in (rule|group)|RuleException|WorkflowError:$|\(command exited|for error details"
    r"|job execution failed"
)
_ERROR = re.compile(r"error|exception", re.I)
_OOM_EXIT = 137  # 128 + SIGKILL: the kernel's out-of-memory killer


@dataclass(frozen=True)
class Failure:
    """A failed job as it goes to the failures file."""

    job: str
    id: str
    rules: list[str]
    wildcards: dict[str, str]
    kind: Kind
    reason: str
    exit_code: int | None
    attempt: int = 1
    will_retry: bool = False
    action: str = ""
    summary: str = ""
    log_stream: str = ""
    log: list[str] = field(default_factory=list)


def classify(detail: dict[str, Any], log: Sequence[str] = ()) -> tuple[Kind, str, int | None]:
    """Return kind, reason and exit code of a FAILED job from its DescribeJobs detail and log."""
    last = _last_container(detail)
    exit_code = last.get("exitCode")
    parts = [str(detail.get("statusReason") or ""), str(last.get("reason") or "")]
    reason = "; ".join(dict.fromkeys(part for part in parts if part)) or "no reason given"
    kind = _kind(detail, parts, exit_code, "\n".join(log))
    return kind, reason, exit_code


def _kind(detail: dict[str, Any], parts: Sequence[str], exit_code: int | None, log: str) -> Kind:
    for kind, pattern in _BY_REASON:
        if any(pattern.search(part) for part in parts):
            return kind
    if detail.get("isTerminated") or detail.get("isCancelled"):
        return Kind.TERMINATED
    if exit_code == _OOM_EXIT:
        return Kind.OUT_OF_MEMORY
    return next((kind for kind, pattern in _BY_LOG if pattern.search(log)), Kind.USER_ERROR)


def _last_container(detail: dict[str, Any]) -> dict[str, Any]:
    container = dict(detail.get("container") or {})
    attempts = detail.get("attempts") or []
    if attempts:
        container.update(attempts[-1].get("container") or {})
    return container


def summary(reason: str, exit_code: int | None, log: Sequence[str]) -> str:
    """Say in one line why a job failed: the tool's own last words if the log has them."""
    told = f"{reason} (exit code {exit_code})" if exit_code is not None else reason
    words = _last_words(log)
    return f"{words} [{told}]" if words else told


def _last_words(log: Sequence[str]) -> str:
    """Return the last line of the log file the worker showed between rulers, else of errors."""
    rulers = [number for number, line in enumerate(log) if _RULER.match(line)]
    if len(rulers) > 1:
        shown = [line.strip() for line in log[rulers[-2] + 1 : rulers[-1]] if line.strip()]
        if shown:
            return shown[-1]
    errors = [line.strip() for line in log if _ERROR.search(line) and not _FRAME.search(line)]
    return errors[-1] if errors else ""


def record(path: str | None, failure: Failure) -> None:
    """Append a failure to the failures file, one JSON object a line."""
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(asdict(failure)) + "\n")
