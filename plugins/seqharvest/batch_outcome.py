"""What a Batch job left behind: the kind of its failure and its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from botocore.exceptions import ClientError

LOG_GROUP = "/aws/batch/job"  # where Batch logs when the job definition names no other group


class FailureKind(StrEnum):
    """Why a job failed, as far as it decides what to do next."""

    SPOT_RECLAIM = "spot_reclaim"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    IMAGE = "image"
    TIMEOUT = "timeout"
    TERMINATED = "terminated"
    USER_ERROR = "user_error"


@dataclass(frozen=True)
class Failure:
    """A failed job's kind, Batch's reason and the command's exit code where it got that far."""

    kind: FailureKind
    reason: str
    exit_code: int | None


def failure(job: Mapping[str, Any], log_tail: Iterable[str] = ()) -> Failure:
    """Say why a failed job failed; the end of its log tells a full disk from other errors."""
    last = (job.get("attempts") or [{}])[-1]
    container = {**last.get("container", {}), **job.get("container", {})}
    status_reason = job.get("statusReason") or last.get("statusReason") or ""
    container_reason = container.get("reason") or ""
    exit_code = container.get("exitCode")
    # A container reason comes from Docker and is more specific than Batch's own.
    reason = container_reason or status_reason or f"exit code {exit_code}"
    text = "\n".join((status_reason, container_reason, *log_tail))
    return Failure(_kind(job, text, exit_code), reason, exit_code)


def _kind(job: Mapping[str, Any], text: str, exit_code: int | None) -> FailureKind:
    for pattern, kind in _KINDS:
        if re.search(pattern, text, re.MULTILINE | re.IGNORECASE):
            return kind
    if job.get("isTerminated") or job.get("isCancelled"):
        return FailureKind.TERMINATED
    if exit_code == 137:  # SIGKILL: the kernel's, since nobody asked for an end
        return FailureKind.OUT_OF_MEMORY
    return FailureKind.USER_ERROR


#: What Batch, ECS and Docker write, most certain first.
_KINDS = (
    (r"^Host EC2", FailureKind.SPOT_RECLAIM),
    (r"^Job attempt duration exceeded timeout", FailureKind.TIMEOUT),
    (r"^OutOfMemoryError", FailureKind.OUT_OF_MEMORY),
    (r"no space left on device|disk quota exceeded", FailureKind.DISK_FULL),
    (r"^Cannot(Pull|Inspect)|ImagePull|manifest unknown", FailureKind.IMAGE),
)


def log_lines(logs: Any, job: Mapping[str, Any], token: str | None) -> tuple[list[str], str | None]:
    """Return a job's log lines since `token`, and the token to ask with next time.

    Gives at most 20 pages; an empty list means there is nothing new. A stream that does not
    exist yet has no lines. When Batch tried again, the new attempt is read from its start.
    """
    stream = job.get("container", {}).get("logStreamName")
    if not stream:
        return [], token
    known, _, position = (token or "").partition("\n")
    position = position if known == stream else ""
    lines: list[str] = []
    for _ in range(20):  # a page is up to 1 MB
        events, following = _log_page(logs, job, stream, position)
        lines += events
        if following in ("", position):
            break
        position = following
    return lines, f"{stream}\n{position}" if position else token


def _log_page(
    logs: Any, job: Mapping[str, Any], stream: str, position: str
) -> tuple[list[str], str]:
    options = {"nextToken": position} if position else {}
    try:
        page = logs.get_log_events(
            logGroupName=log_group(job), logStreamName=stream, startFromHead=True, **options
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return [], ""
        raise
    return [event["message"] for event in page["events"]], page.get("nextForwardToken", "")


def log_tail(logs: Any, job: Mapping[str, Any], lines: int = 20) -> list[str]:
    """Return the last lines of a job's log; none where there is no log."""
    stream = job.get("container", {}).get("logStreamName")
    if not stream:
        return []
    try:
        page = logs.get_log_events(
            logGroupName=log_group(job), logStreamName=stream, limit=lines, startFromHead=False
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return []
        raise
    return [event["message"] for event in page["events"]][-lines:]


def log_group(job: Mapping[str, Any]) -> str:
    """Return the CloudWatch Logs group of a job."""
    options = job.get("container", {}).get("logConfiguration", {}).get("options", {})
    return options.get("awslogs-group", LOG_GROUP)
