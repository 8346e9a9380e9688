"""A project's QC report: verdicts.json and one MultiQC page, from all its samples' QC files."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any

import yaml

from seqharvest import aws, listing, sample_sheet
from seqharvest.errors import InputError, SeqharvestError
from seqharvest.layout import report_prefix, result_prefix
from seqharvest.qc import verdicts

log = logging.getLogger(__name__)

#: What the report reads of a sample → the name by which MultiQC knows file and sample.
FILES = {
    "metrics.json": "{}.metrics.json",
    "fastp.json": "{}.fastp.json",
    "fastqc.zip": "{}_fastqc.zip",
    "Log.final.out": "{}.Log.final.out",
}
HTML = "multiqc_report.html"
VERDICTS = "verdicts.json"
DOWNLOADS = 16  # small objects: the wait is latency, not bandwidth
MULTIQC = {
    "title": "Seqharvest quality control",
    "sp": {"star": {"fn": "*.Log.final.out"}, "fastp": {"fn": "*.fastp.json"}},
    # Sample ids as they are: MultiQC would else cut off what looks like a file ending.
    "fn_clean_exts": ["_fastqc.zip", ".fastp.json", ".Log.final.out"],
    "fn_clean_trim": [],
    # fastp and FastQC would take the name of the file they read, which is the worker's scratch.
    "use_filename_as_sample_name": ["star", "fastp", "fastqc"],
    "read_count_multiplier": 1,
    "read_count_prefix": "",
    "read_count_desc": "reads",
    "intro_text": False,
    "show_analysis_paths": False,
    "no_ai": True,
    "module_order": ["custom_content", "star", "fastp", "fastqc"],
    "run_modules": ["custom_content", "star", "fastp", "fastqc"],
    "skip_generalstats": True,  # would stand above the verdicts, and their table has its figures
    "report_section_order": {"seqharvest_verdicts": {"order": 10_000}},
    "no_version_check": True,
    "disable_version_detection": False,
}
#: Columns of the first section, with the heading a person reads.
SHOWN = {
    "unique_share": "Unique",
    "multi_share": "Multi",
    "unmapped_short_share": "Unmapped",
    "q30_share": "Q30",
    "adapter_share": "Adapter",
    "duplication_share": "Duplicate",
    "rrna_share": "rRNA",
    "spliced_share": "Spliced",
}


def report(
    source: str,
    project: str,
    fingerprint: str,
    release: str,
    thresholds: verdicts.Thresholds,
    expected: set[str] | None = None,
) -> dict[str, Any]:
    """Write a project's report beside its samples' QC files and return the verdicts.

    `source` is `s3://bucket` or a folder with the bucket's layout; `expected` are the samples that
    ought to be there. verdicts.json comes last: where it is, the page is. Raises `InputError` when
    no sample has been through QC.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = _store(source)
        found = store.collect(result_prefix("qc", fingerprint, project), folder)
        samples = {sample: _judge(path, thresholds, release) for sample, path in found.items()}
        if not samples:
            raise InputError(
                f"project {project} has no metrics.json under qc/fingerprint={fingerprint}",
                "run the QC workflow first; its failures are in the head job's log",
            )
        document = {
            "thresholds_version": thresholds.version,
            "fingerprint": fingerprint,
            "release": release,
            "project": project,
            "counts": dict(Counter(row["verdict"] for row in samples.values())),
            "missing": sorted((expected or set()) - set(samples)),
            "samples": dict(sorted(samples.items())),
        }
        page = _multiqc(folder, project, document)
        prefix = report_prefix(fingerprint, project)
        store.put(prefix + HTML, page.read_bytes(), "text/html")
        text = json.dumps(document, indent=1) + "\n"
        store.put(prefix + VERDICTS, text.encode(), "application/json")
    log.info("project %s: %s", project, document["counts"])
    return document


def _judge(metrics: Path, thresholds: verdicts.Thresholds, release: str) -> dict[str, Any]:
    measured = json.loads(metrics.read_text())
    judged = thresholds.judge(measured["metrics"], release)
    reasons = list(judged.reasons)
    if not measured.get("qualities_measured", True):
        reasons.append("base qualities are not measured (SRA Lite gives one value to all)")
    return {
        "verdict": judged.verdict.word,
        "reasons": reasons,
        "metrics": measured["metrics"],
        "by_metric": judged.by_metric,
        "strandedness": measured["strandedness"],
        "layout": measured.get("layout", ""),
        "versions": measured.get("versions", {}),
    }


def _multiqc(folder: Path, project: str, document: dict[str, Any]) -> Path:
    section = folder / "seqharvest_verdicts_mqc.json"
    section.write_text(json.dumps(_section(document)))
    config = folder / "multiqc_config.yaml"
    config.write_text(yaml.safe_dump({**MULTIQC, "subtitle": project}))
    command = [
        *(sys.executable, "-m", "multiqc", str(folder), "--config", str(config)),
        *("--filename", HTML, "--outdir", str(folder / "out"), "--no-data-dir"),
        *("--no-ansi", "--force"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    page = folder / "out" / HTML
    if ended.returncode != 0 or not page.exists():
        raise SeqharvestError(
            f"MultiQC failed for project {project} (exit {ended.returncode}): "
            f"{ended.stderr.strip()[-2000:]}",
            "run the report again; the samples' files are kept",
        )
    return page


def _section(document: dict[str, Any]) -> dict[str, Any]:
    """The verdicts as MultiQC custom content: failures first."""
    order = {"fail": 0, "warn": 1, "pass": 2}
    rows = sorted(document["samples"].items(), key=lambda row: (order[row[1]["verdict"]], row[0]))
    counts = document["counts"]
    told = ", ".join(f"{counts[word]} {word}" for word in order if word in counts)
    missing = document["missing"]
    gone = f" Without QC: {escape(', '.join(missing))}." if missing else ""
    return {
        "id": "seqharvest_verdicts",
        "section_name": "Verdicts",
        "description": f"{told}; thresholds version {escape(document['thresholds_version'])}, "
        f"release {escape(document['release'])}. Shares are of all examined "
        f"reads; STAR's own, below, are of those that trimming left.{gone}",
        "plot_type": "table",
        "pconfig": {
            "id": "seqharvest_verdicts_table",
            "title": "Verdicts",
            "sort_rows": False,
            "no_violin": True,
            "col1_header": "Sample",
        },
        "headers": {
            "verdict": {
                "title": "Verdict",
                "scale": False,
                "cond_formatting_rules": {
                    "pass": [{"s_eq": "pass"}],
                    "warn": [{"s_eq": "warn"}],
                    "fail": [{"s_eq": "fail"}],
                },
            },
            "reasons": {"title": "Why", "scale": False},
            **{
                name: {"title": title, "suffix": " %", "format": "{:,.1f}", "max": 100, "min": 0}
                for name, title in SHOWN.items()
            },
        },
        "data": {sample: _row(row) for sample, row in rows},
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    shares = {name: row["metrics"].get(name) for name in SHOWN}
    return {
        "verdict": row["verdict"],
        "reasons": escape("; ".join(row["reasons"])) or "–",
        **{name: 100 * share for name, share in shares.items() if share is not None},
    }


class _Folder:
    def __init__(self, root: Path) -> None:
        self.root = root

    def collect(self, prefix: str, folder: Path) -> dict[str, Path]:
        """Gather the samples' files into one folder; their metrics by sample."""
        for path in (self.root / prefix).glob("sample=*/*"):
            name = FILES.get(path.name)
            if name:
                shutil.copyfile(path, folder / name.format(_sample(path.parent.name)))
        return _metrics(folder)

    def put(self, key: str, data: bytes, kind: str) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_bytes(data)
        unfinished.replace(path)


class _Bucket:
    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self.s3 = aws.client("s3")

    def collect(self, prefix: str, folder: Path) -> dict[str, Path]:
        """Gather the samples' files into one folder, in parallel; their metrics by sample."""
        wanted = []
        for entry in listing.entries(self.bucket, f"{prefix}sample=", s3=self.s3):
            place, _, file = entry.key.removeprefix(prefix).partition("/")
            if file in FILES:
                wanted.append((entry.key, folder / FILES[file].format(_sample(place))))
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            list(pool.map(lambda pair: self._download(*pair), wanted))
        return _metrics(folder)

    def _download(self, key: str, path: Path) -> None:
        path.write_bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def put(self, key: str, data: bytes, kind: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=kind)


def _store(source: str) -> _Folder | _Bucket:
    if source.startswith("s3://"):
        return _Bucket(source.removeprefix("s3://").rstrip("/"))
    return _Folder(Path(source or "."))


def _sample(place: str) -> str:
    return place.removeprefix("sample=")


def _metrics(folder: Path) -> dict[str, Path]:
    ending = FILES["metrics.json"].format("")
    return {path.name.removesuffix(ending): path for path in sorted(folder.glob(f"*{ending}"))}


def main(arguments: list[str] | None = None) -> int:
    """Judge a project's samples and write its report."""
    parser = argparse.ArgumentParser(
        prog="python -m seqharvest.qc.report", description=main.__doc__
    )
    for name in ("project", "fingerprint", "release"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--source", default=".", help="s3://bucket or a folder with its layout")
    parser.add_argument("--thresholds", type=Path, help="default: the file of the QC workflow")
    parser.add_argument("--samples", type=Path, help="sheet of the samples that ought to be there")
    given = parser.parse_args(arguments)
    try:
        report(
            given.source,
            given.project,
            given.fingerprint,
            given.release,
            verdicts.load(given.thresholds),
            set(sample_sheet.read(given.samples)) if given.samples else set(),
        )
    except SeqharvestError as error:
        print(f"seqharvest.qc.report: project {given.project}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"))
    sys.exit(main())
