"""A small study in a real bucket: per-sample files and load manifests a test can change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqharvest.lake.parquet import write
from seqharvest.lake.schemas import TABLES
from seqharvest.layout import manifest_key, report_prefix, result_prefix, uri

FINGERPRINT = "f00d"


@dataclass
class Study:
    """A project whose samples and results a test can set and change."""

    s3: Any
    bucket: str
    folder: Path
    project: str
    release: str = "demo-1"
    keys: dict[str, dict[str, str]] = field(default_factory=dict)  # table → sample → key

    def analysed(self, sample: str, *, counts: Iterable[float], junctions: int = 2) -> None:
        """Store a sample's results: a gene for each count, and some junctions."""
        genes = [
            {
                "sample": sample,
                "gene_id": f"G{number:03}",
                "gene_name": f"gene{number}",
                "transcript_id": f"T{number:03}",
                "tpm": value * 2,
                "est_counts": value,
                "effective_length": 200.5,
                "length": 300,
                "star_count": int(value),
                "fingerprint": FINGERPRINT,
            }
            for number, value in enumerate(counts)
        ]
        introns = [
            {
                "sample": sample,
                "chrom": "chrI",
                "intron_start": 100 * number + 1,
                "intron_end": 100 * number + 50,
                "strand": "+",
                "motif": "GT/AG",
                "annotated": number == 0,
                "unique_reads": 10 + number,
                "multi_reads": 0,
                "max_overhang": 30,
                "gene_id": "G000" if number < 2 else None,
                "fingerprint": FINGERPRINT,
            }
            for number in range(junctions)
        ]
        for name, rows in (
            ("gene_quant", genes),
            ("transcript_quant", genes),
            ("junctions", introns),
        ):
            self.store(name, sample, rows)

    def store(self, name: str, sample: str, rows: list[dict[str, Any]]) -> None:
        """Store one per-sample file."""
        path = self.folder / "one.parquet"
        write(TABLES[name], TABLES[name].from_rows(rows), path)
        key = result_prefix("analysis", FINGERPRINT, self.project, sample) + f"{name}.parquet"
        self.s3.upload_file(str(path), self.bucket, key)
        self.keys.setdefault(name, {})[sample] = key

    def manifest(self, chosen: list[str], **changes: Any) -> str:
        """Store a load manifest of these samples and its verdicts; return its address."""
        verdicts = {
            "fingerprint": "qc01",
            "samples": {
                sample: {"verdict": "pass", "metrics": {"reads": 1000, "q30_share": 0.9}}
                for sample in chosen
            },
        }
        verdicts_key = report_prefix("qc01", self.project) + "verdicts.json"
        self.put(verdicts_key, verdicts)
        content = {
            "stage": "load",
            "project": self.project,
            "release": self.release,
            "bucket": self.bucket,
            "fingerprint": FINGERPRINT,
            "qc_fingerprint": "qc01",
            "verdicts": verdicts_key,
            "samples": [
                {
                    "sample": sample,
                    "title": f"{sample.split('-')[0]} replicate {number}",
                    "layout": "paired",
                    "runs": [f"SRR{number}", f"SRR{number}0"],
                    "spots": 1000,
                    "metadata": {"condition": sample.split("-")[0]},
                    "state": "analysed",
                    "verdict": "pass",
                }
                for number, sample in enumerate(chosen)
            ],
            "tables": {
                name: [keys[sample] for sample in chosen] for name, keys in self.keys.items()
            },
            **changes,
        }
        text = json.dumps(content, sort_keys=True)
        key = manifest_key("load", self.project, hashlib.sha256(text.encode()).hexdigest()[:12])
        self.put(key, content)
        return uri(self.bucket, key)

    def put(self, key: str, content: Any) -> None:
        """Store an object as JSON."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(content).encode())
