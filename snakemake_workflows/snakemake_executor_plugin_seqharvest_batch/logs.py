"""The end of a job's log, from CloudWatch Logs."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


def tail(logs: Any, group: str, detail: dict[str, Any], lines: int) -> list[str]:
    """Return the last lines of a job's log, or one line saying why there are none."""
    name = stream(detail)
    if not name:
        return ["(the job has no log: it never started)"]
    try:
        events = logs.get_log_events(
            logGroupName=group, logStreamName=name, startFromHead=False, limit=lines
        )["events"]
    except (ClientError, BotoCoreError) as error:
        return [f"(no log: {group}/{name}: {error})"]
    return [event["message"].rstrip("\n") for event in events[-lines:]]


def stream(detail: dict[str, Any]) -> str | None:
    """Return the log stream of a job's last attempt."""
    for attempt in reversed(detail.get("attempts") or []):
        if stream := (attempt.get("container") or {}).get("logStreamName"):
            return str(stream)
    return (detail.get("container") or {}).get("logStreamName")
