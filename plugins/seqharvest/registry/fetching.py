"""How far a sample's runs are fetched: kept on its item by the fetch jobs, shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from seqharvest import aws
from seqharvest.progress.counts import duration
from seqharvest.registry.items import from_item, now, to_item, to_value
from seqharvest.registry.states import SampleState
from seqharvest.settings import settings

#: On a SAMPLE item: by run, what `archives.progress` tells, and when (`at`).
ATTRIBUTE = "fetching"
STALE_SECONDS = 60
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def note(project: str, sample: str, run: str, told: Mapping[str, Any]) -> None:
    """Keep how far a run is, while its sample is in `fetching`; state and version stay.

    Raises what boto3 raises when DynamoDB does not answer.
    """
    values = {":told": to_value({**told, "at": now()})}
    try:
        if not _update(project, sample, "SET #fetching.#run = :told", {"#run": run}, values):
            return
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationException":
            raise
        # The first of the sample's runs: a path into a map needs the map.
        empty = {":empty": to_value({})}
        _update(project, sample, "SET #fetching = if_not_exists(#fetching, :empty)", {}, empty)
        _update(project, sample, "SET #fetching.#run = :told", {"#run": run}, values)


def words(sample: Mapping[str, Any]) -> str:
    """Say how far a sample's runs are, empty when nothing is known or it is past the fetch."""
    if sample["state"] != SampleState.FETCHING:
        return ""
    return "; ".join(f"{run} {_of_run(told)}" for run, told in _runs(sample))


def together(project: str) -> str:
    """Say how far a project's downloads are that are under way; empty when there are none.

    Raises what boto3 raises when DynamoDB does not answer.
    """
    pages = (
        aws.brief_client("dynamodb")
        .get_paginator("query")
        .paginate(
            TableName=settings().table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :samples)",
            FilterExpression="#state = :fetching AND attribute_exists(#fetching)",
            ProjectionExpression="#fetching",
            ExpressionAttributeNames={"#state": "state", "#fetching": ATTRIBUTE},
            ExpressionAttributeValues={
                ":pk": to_value(project),
                ":samples": to_value("SAMPLE#"),
                ":fetching": to_value(SampleState.FETCHING.value),
            },
        )
    )
    told = [run for page in pages for item in page["Items"] for _, run in _runs(from_item(item))]
    at_work = [run for run in told if run["phase"] == "downloading" and _fresh(run)]
    if not at_work:
        return ""
    # A run whose size nobody published counts with what has come of it.
    whole = {"phase": "downloading", "source": " and ".join(sorted({r["source"] for r in at_work}))}
    of = sum(max(run["of"], run["bytes"]) for run in at_work)
    whole |= {name: sum(run[name] for run in at_work) for name in ("bytes", "rate")}
    if all("eta" in run for run in at_work):
        whole["eta"] = max(run["eta"] for run in at_work)
    noun = "run" if len(at_work) == 1 else "runs"
    return f"{len(at_work)} {noun} downloading: {_of_run({**whole, 'of': of})}"


def _fresh(told: Mapping[str, Any]) -> bool:
    """Whether a job that lives told it: one that was killed told nothing more."""
    told_at = datetime.fromisoformat(told["at"])
    return (datetime.now(UTC) - told_at).total_seconds() < STALE_SECONDS


def _runs(sample: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted((sample.get(ATTRIBUTE) or {}).items())


def _of_run(told: Mapping[str, Any]) -> str:
    if told["phase"] != "downloading":
        return str(told["phase"])
    text = f"{size(told['bytes'])} of {size(told['of'])}" if told["of"] else size(told["bytes"])
    text += f" from {told['source']}, {size(told['rate'])}/s"
    return text + (f", about {duration(told['eta'])} left" if "eta" in told else "")


def size(count: float) -> str:
    """Return a number of bytes as people say it: `1.3 GB`."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} B"


def _update(
    project: str, sample: str, what: str, names: dict[str, str], values: dict[str, Any]
) -> bool:
    """Update the item if it is in `fetching`; False when it is not (any more)."""
    client = aws.brief_client("dynamodb")
    try:
        client.update_item(
            TableName=settings().table,
            Key=to_item({"pk": project, "sk": f"SAMPLE#{sample}"}),
            UpdateExpression=what,
            ConditionExpression="#state = :fetching",
            ExpressionAttributeNames={"#state": "state", "#fetching": ATTRIBUTE, **names},
            ExpressionAttributeValues={":fetching": to_value(SampleState.FETCHING.value), **values},
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True
