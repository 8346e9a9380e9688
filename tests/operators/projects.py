"""Projects for operators to work on: registered, with results in the bucket, at a given state."""

from __future__ import annotations

import json
from typing import Any

import boto3

from seqharvest import layout, stages, workflows
from seqharvest.registry import Registry
from seqharvest.settings import settings


def at_the_gate(project: str, run_id: str = "run1") -> Registry:
    """A private project of one sample, awaiting review in the hands of a run."""
    registry, release = Registry(), settings().release
    registry.register_project(project, by="test", source="private")
    registry.register_sample(
        project, "s1", by="test", layout="single", runs=[{"accession": "r1"}], private=True
    )
    _put(layout.read_key(project, "s1", "r1", 1))
    made_by = workflows.fingerprint(workflows.QC, release)
    put_outputs(workflows.QC, project)
    verdicts = {"samples": {"s1": {"verdict": "pass", "reasons": [], "strandedness": "reverse"}}}
    _put(layout.report_prefix(made_by, project) + "verdicts.json", verdicts)
    stages.open_project(project, run_id=run_id, by="test")
    plan = stages.plan_fetch(project, by="test")
    stages.record_fetch(project, plan, by="test")
    stages.plan_qc(project, by="test")
    stages.record_qc(project, by="test")
    return registry


def put_outputs(workflow: workflows.Workflow, project: str) -> None:
    """Every declared output of the project's sample."""
    made_by = workflows.fingerprint(workflow, settings().release)
    for output in workflow.outputs:
        _put(layout.result_prefix(workflow.name, made_by, project, "s1") + output)


def _put(key: str, content: Any = "x") -> None:
    body = json.dumps(content).encode()
    boto3.client("s3").put_object(Bucket=settings().bucket, Key=key, Body=body)
