"""What the review page shows: the projects, and all there is to know about one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

import boto3
from botocore.config import Config

from seqharvest import aws
from seqharvest.qc.report import HTML, SHOWN
from seqharvest.registry import ProjectState, Registry
from seqharvest.settings import settings
from seqharvest.stages.qc import seen_hash

#: Long enough to load a large report; whoever gets hold of the address soon has nothing.
REPORT_SECONDS = 300
WAITING = ProjectState.AWAITING_REVIEW
#: Only projects are in these states, so the index gives no samples.
LISTED = (
    WAITING,
    ProjectState.APPROVED,
    ProjectState.ANALYSING,
    ProjectState.REJECTED,
    ProjectState.LOADED,
)
_ABOUT = ("project", "title", "organism", "release", "source", "state", "state_since", "round")
_REVIEW = ("verdict_counts", "thresholds_version", "run_id", "reviewed_by", "review_decision")


def registry() -> Registry:
    """Return a registry that gives up within seconds: a person waits."""
    return Registry(client=aws.brief_client("dynamodb"))


def waiting() -> int:
    """Return how many projects wait for a person."""
    return sum(1 for _ in registry().in_state(WAITING, "PROJECT"))


def listed() -> list[dict[str, Any]]:
    """Return the projects at the gate or past it, those that wait longest first."""
    known = registry()
    return [
        _chosen(item, (*_ABOUT, *_REVIEW))
        for state in LISTED
        for item in known.in_state(state, "PROJECT")
    ]


def described(project: str) -> dict[str, Any]:
    """Return a project with its samples' verdicts and metrics, and its decisions.

    `seen` is the hash of the very verdicts that are returned; `current` tells whether the registry
    has the same. Raises `InputError` for an unknown project.
    """
    known = registry()
    item = known.project(project)
    document = _verdicts(item)
    judged = document.get("samples", {})
    samples = {sample["sample"]: sample for sample in known.samples(project)}
    seen = seen_hash(document) if judged else ""
    return {
        "project": _chosen(item, (*_ABOUT, *_REVIEW, "reason", "excluded", "include")),
        "samples": [
            _row(name, samples.get(name, {}), judged.get(name, {}))
            for name in sorted({*samples, *judged})
        ],
        "columns": list(_columns(document)),
        "verdict": document.get("project_verdict") or {},
        "suggested": _suggested(document),
        "comparison": document.get("comparison") or {},
        "decisions": known.decisions(project),
        "has_report": bool(judged),
        "seen": seen,
        "current": seen == item.get("verdicts_hash", ""),
    }


def report_address(project: str) -> str:
    """Return an address of the project's MultiQC report that is good for `REPORT_SECONDS`."""
    item = registry().project(project)
    folder = str(item.get("verdicts_key") or "").rpartition("/")[0]
    if not folder:
        return ""
    wanted = {"Bucket": settings().bucket, "Key": f"{folder}/{HTML}"}
    address: str = _signer().generate_presigned_url(
        "get_object", Params=wanted, ExpiresIn=REPORT_SECONDS
    )
    return address


@cache
def _signer() -> Any:
    """Return a client for addresses: boto3's default signature is not known in newer regions."""
    return boto3.client("s3", config=aws.BRIEF.merge(Config(signature_version="s3v4")))


def _chosen(item: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: item[name] for name in names if item.get(name) is not None}


def _verdicts(item: Mapping[str, Any]) -> dict[str, Any]:
    key = item.get("verdicts_key")
    return _read(key, _tag(key)) if key else {}


def _tag(key: str) -> str:
    """Return what changes when the object does, empty when there is none."""
    s3 = aws.brief_client("s3")
    try:
        return str(s3.head_object(Bucket=settings().bucket, Key=key)["ETag"])
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
            return ""
        raise


@lru_cache(maxsize=16)
def _read(key: str, tag: str) -> dict[str, Any]:
    if not tag:
        return {}
    body = aws.brief_client("s3").get_object(Bucket=settings().bucket, Key=key)["Body"]
    document: dict[str, Any] = json.loads(body.read())
    return document


def _row(name: str, sample: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, Any]:
    why = list(verdict.get("reasons") or [])
    if sample.get("state") == "failed" and sample.get("reason"):
        why = [sample["reason"], *why]
    return {
        "sample": name,
        "verdict": verdict.get("verdict") or "none",
        "reasons": why,
        "metrics": verdict.get("metrics") or {},
        "by_metric": verdict.get("by_metric") or {},
        "strandedness": verdict.get("strandedness") or sample.get("strandedness") or "",
        "layout": sample.get("layout", ""),
        "state": sample.get("state", ""),
        "title": sample.get("title", ""),
        "runs": [run.get("accession", "") for run in sample.get("runs", [])],
        "metadata": {**(sample.get("metadata") or {}), **(sample.get("harmonised") or {})},
    }


def _suggested(document: Mapping[str, Any]) -> list[str]:
    """Return the samples that a reviewer may want to leave out: those that failed, and outliers."""
    given = document.get("suggested_exclusions")
    if given is not None:
        return sorted(given)
    judged = document.get("samples", {})
    return sorted(name for name, row in judged.items() if row["verdict"] == "fail")


def _columns(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the judged metrics with their limits, those of the report's first section first."""
    names = {name for row in document.get("samples", {}).values() for name in row["metrics"]}
    limits = document.get("limits") or {}
    judged = {name for row in document.get("samples", {}).values() for name in row["by_metric"]}
    order = [*SHOWN, *sorted(judged - set(SHOWN))]
    for name in order:
        if name in names:
            title = SHOWN.get(name) or name.removesuffix("_share").replace("_", " ").capitalize()
            unit = "share" if name.endswith("_share") else ""
            known = {key: at for key, at in limits.get(name, {}).items() if at is not None}
            yield {"name": name, "title": title, "unit": unit, **known}
