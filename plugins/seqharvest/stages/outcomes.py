"""What became of samples in a stage: reasons from outcome objects, and failures recorded."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from typing import Any

from seqharvest import aws
from seqharvest.errors import VerificationError
from seqharvest.layout import outcome_key, uri
from seqharvest.listing import entries
from seqharvest.registry import Move, SampleState
from seqharvest.settings import settings

log = logging.getLogger(__name__)


def in_hand(project: Mapping[str, Any], sample: Mapping[str, Any], states: Collection[str]) -> bool:
    """Whether a stage works on this sample: it is in one of the states, or failed there this round.

    What failed in an earlier round waits for an explicit retry; what failed in this one is tried
    again when the stage is run again.
    """
    if sample["state"] != SampleState.FAILED:
        return sample["state"] in states
    failed_now = sample.get("failed_round") == project["round"]
    return failed_now and sample.get("failed_from") in states


def failure(project: Mapping[str, Any], sample: Mapping[str, Any], reason: str) -> Move:
    """Return the move that records a sample's failure in this round."""
    log.warning("%s %s: failed: %s", project["project"], sample["sample"], reason)
    fields = {"failed_round": project["round"], "reason": reason}
    return Move(sample, SampleState.FAILED, reason, fields)


def reasons(stage: str, project: str, wanted: Collection[str]) -> dict[str, str]:
    """Return why samples failed, from the newest head-job outcome that names each of them."""
    found: dict[str, str] = {}
    prefix = outcome_key(stage, project, "").removesuffix(".json")
    newest_first = sorted(
        entries(settings().bucket, prefix), key=lambda entry: entry.modified, reverse=True
    )
    for entry in newest_first:
        if found.keys() >= set(wanted):
            break
        for sample, why in read_json(entry.key).get("failed", {}).items():
            if sample in wanted and sample not in found:
                place = f" (log: {why['log']})" if why.get("log") else ""
                found[sample] = f"{why.get('kind', 'failed')}: {why.get('reason', '')}{place}"
    return found


def read_json(key: str) -> dict[str, Any]:
    """Read a JSON object; raise `VerificationError` when it is not one."""
    bucket = settings().bucket
    body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    try:
        content = json.loads(body)
    except ValueError as error:
        raise _damaged(bucket, key, str(error)) from error
    if not isinstance(content, dict):
        raise _damaged(bucket, key, f"it is a {type(content).__name__}")
    return content


def _damaged(bucket: str, key: str, why: str) -> VerificationError:
    return VerificationError(
        f"{uri(bucket, key)} is not a JSON object: {why}", "delete it and run its stage again"
    )
