"""Manifests: the work lists of jobs, named by the hash of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from seqharvest import aws
from seqharvest.layout import manifest_key
from seqharvest.settings import settings
from seqharvest.workflows import Workflow, fingerprint


def write(stage: str, project: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """Store a manifest; return its `manifest` key and `digest`. The same content is one object."""
    body = canonical(content)
    digest = hashlib.sha256(body).hexdigest()[:12]
    key = manifest_key(stage, project, digest)
    aws.client("s3").put_object(
        Bucket=settings().bucket, Key=key, Body=body, ContentType="application/json"
    )
    return {"manifest": key, "digest": digest}


def write_shards(
    workflow: Workflow, project: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Store a manifest for each shard of the samples; return `manifest`, `digest`, `samples`."""
    size = settings().shard_size
    ordered = sorted(samples, key=lambda sample: sample["sample"])
    shards = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    with ThreadPoolExecutor(max_workers=16) as pool:  # a PUT each, of which 80 took 2 s in turn
        write_shard = partial(write_workflow, workflow, workflow.name, "samples", project)
        return list(pool.map(write_shard, shards))


def write_workflow(
    workflow: Workflow,
    stage: str,
    target: str,
    project: Mapping[str, Any],
    samples: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Store the manifest of one head job; return `manifest`, `digest` and how many `samples`."""
    content = {
        "stage": stage,
        "workflow": workflow.name,
        "project": project["project"],
        "release": project["release"],
        "fingerprint": fingerprint(workflow, project["release"]),
        "bucket": settings().bucket,
        "config": {},
        "target": target,
        "samples": [
            {
                "sample": sample["sample"],
                "layout": sample["layout"],
                "runs": [run["accession"] for run in sample["runs"]],
                "strandedness": sample.get("strandedness", ""),
                # Only the report compares what is measured with what submitters say.
                **({"recorded": sample["recorded"]} if "recorded" in sample else {}),
            }
            for sample in samples
        ],
    }
    return {**write(stage, project["project"], content), "samples": len(samples)}


def canonical(content: Any) -> bytes:
    """Return JSON that is the same bytes for the same content."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
