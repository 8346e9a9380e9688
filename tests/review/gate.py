"""Projects at the gate with any number of samples, as QC leaves them."""

from __future__ import annotations

import json
import random
from typing import Any

import boto3

from seqharvest import layout, stages
from seqharvest.registry import Registry
from seqharvest.registry.items import to_item
from seqharvest.settings import settings
from seqharvest.stages.qc import seen_hash

TITLE = "<script>alert('title')</script> & \u201cquotes\u201d"
REASON = "7.1 % of reads map uniquely to <b>demo-1</b> (fail below 30 %)"
METRICS = ("unique_share", "q30_share", "adapter_share", "duplication_share", "rrna_share", "reads")


def at_the_gate(project: str, samples: int = 6) -> Registry:
    """A project that awaits review; of every six samples one fails and one is warned of."""
    registry, chance = Registry(), random.Random(project)
    registry.register_project(project, by="test", source="geo", title=TITLE, organism="yeast")
    rows = {f"{project}.S{n:04}": _row(n, chance) for n in range(samples)}
    for n, name in enumerate(rows):
        _put_sample(registry, project, name, n)
    verdicts = {
        "thresholds_version": "1",
        "fingerprint": "f",
        "release": "demo-1",
        "project": project,
        "limits": {"unique_share": {"fail_below": 0.3, "warn_below": 0.6, "warn_above": None}},
        "samples": rows,
        "comparison": _comparison(rows, chance),
    }
    key = layout.report_prefix("f", project) + "verdicts.json"
    put(key, json.dumps(verdicts), "application/json")
    report = "<!doctype html><title>MultiQC</title><h1>The MultiQC report</h1>"
    put(key.replace("verdicts.json", "multiqc_report.html"), report, "text/html")
    stages.open_project(project, run_id=f"{project}__round1", by="test")
    registry.move_project(project, "qc", by="test")
    words = [row["verdict"] for row in rows.values()]
    counts = {word: words.count(word) for word in ("pass", "warn", "fail")}
    registry.await_review(
        project,
        by="test",
        verdicts_hash=seen_hash(verdicts),
        verdicts_key=key,
        verdict_counts={**counts, "failed": 0},
        thresholds_version="1",
    )
    return registry


def put(key: str, body: str, kind: str) -> None:
    boto3.client("s3").put_object(
        Bucket=settings().bucket, Key=key, Body=body.encode(), ContentType=kind
    )


def _put_sample(registry: Registry, project: str, name: str, n: int) -> None:
    state = ("qc_failed", "qc_warned", "qc_passed")[min(n % 6, 2)]
    item: dict[str, Any] = {
        "pk": project,
        "sk": f"SAMPLE#{name}",
        "project": project,
        "sample": name,
        "state": state,
        "state_since": "2026-11-22T10:00:00+00:00",
        "version": 1,
        "verdict": ("fail", "warn", "pass")[min(n % 6, 2)],
        "layout": "paired",
        "runs": [{"accession": f"SRR{n}"}],
        "title": f"replicate {n} <img src=x onerror=alert(1)>",
        "metadata": {"tissue": "liver" if n % 2 else "brain"},
    }
    registry.client.put_item(TableName=registry.table, Item=to_item(item))


def _row(n: int, chance: random.Random) -> dict[str, Any]:
    verdict = ("fail", "warn", "pass")[min(n % 6, 2)]
    unique = {"fail": 0.07, "warn": 0.5, "pass": 0.8}[verdict] + chance.uniform(0, 0.08)
    metrics = {name: chance.uniform(0, 0.2) for name in METRICS}
    metrics |= {"unique_share": unique, "q30_share": chance.uniform(0.85, 0.97)}
    metrics |= {"reads": chance.randint(10**6, 10**8)}
    return {
        "verdict": verdict,
        "reasons": {"fail": [REASON], "warn": ["50 % of reads map uniquely"]}.get(verdict, []),
        "metrics": metrics,
        "by_metric": {**dict.fromkeys(METRICS, "pass"), "unique_share": verdict},
        "strandedness": "reverse",
    }


def _comparison(rows: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    names = sorted(rows)[:150]
    points = {
        name: [chance.gauss(-20 if row["verdict"] == "fail" else n % 2 * 8, 2), chance.gauss(0, 3)]
        for n, (name, row) in enumerate(rows.items())
    }
    fails = [rows[name]["verdict"] == "fail" for name in names]
    values = [
        [1.0 if i == j else 0.97 - 0.4 * (a != b) for j, b in enumerate(fails)]
        for i, a in enumerate(fails)
    ]
    return {
        "pca": {"explained": [0.61, 0.2], "points": points},
        "correlation": {"samples": names, "values": values},
        "compared": len(rows),
    }
