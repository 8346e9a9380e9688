"""Rows of the lake tables that come from the registry and the QC verdicts, not from files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from seqharvest.archives.harmonise import harmonise
from seqharvest.lake.sources import LoadManifest


def sample_rows(manifest: LoadManifest) -> list[dict[str, Any]]:
    """Return the rows of `samples`, by sample id."""
    return sorted(
        (_sample_row(row, manifest.fingerprint) for row in manifest.samples),
        key=lambda row: row["sample"],
    )


def qc_rows(manifest: LoadManifest, verdicts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of `qc_metrics`: one per numeric metric of the manifest's samples."""
    fingerprint = manifest.qc_fingerprint or str(verdicts.get("fingerprint", ""))
    judged = verdicts.get("samples", {})
    return [
        {
            "sample": sample,
            "metric": metric,
            "value": value,
            "verdict": str(judged[sample].get("verdict", "")),
            "fingerprint": fingerprint,
        }
        for sample in sorted(manifest.sample_ids & set(judged))
        for metric, value in _numbers(judged[sample].get("metrics", {}))
    ]


def _sample_row(row: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    runs = row.get("runs") or ""
    if not isinstance(runs, str):
        runs = ",".join(run if isinstance(run, str) else run["accession"] for run in runs)
    metadata = row.get("metadata")
    if isinstance(metadata, str):  # JSON, perhaps with every letter beyond ASCII escaped
        metadata = json.loads(metadata or "{}")
    given = metadata or {}
    return {
        **row,
        # Anew at each load: today's words for samples of any age, and for private ones.
        **harmonise(given),
        "runs": runs,
        "metadata": None
        if metadata is None
        else json.dumps(given, sort_keys=True, ensure_ascii=False),
        "spots": _whole(row.get("spots")),
        "taxid": _whole(row.get("taxid")),
        "fingerprint": row.get("fingerprint") or fingerprint,
    }


def _whole(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


def _numbers(metrics: Mapping[str, Any]) -> list[tuple[str, float | None]]:
    numbers: list[tuple[str, float | None]] = []
    for metric, value in sorted(metrics.items()):
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            numbers.append((metric, None))  # measured, without a result
        elif isinstance(value, int | float):  # also true and false, as 1 and 0
            numbers.append((metric, float(value)))
    return numbers
