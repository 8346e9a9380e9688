"""A project's QC report: verdicts.json and one MultiQC page, from all its samples' QC files."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any

import yaml

from seqharvest import aws, listing, sample_sheet
from seqharvest.errors import InputError, SeqharvestError
from seqharvest.layout import report_prefix, result_prefix
from seqharvest.qc import verdicts
from seqharvest.qc.project import Findings, QuickCounts, compare, judge

log = logging.getLogger(__name__)

#: What verdicts are made from, of every sample → its name in the scratch folder.
JUDGED = {"metrics.json": "{}.metrics.json", "counts.parquet": "{}.counts.parquet"}
#: What the page plots of a sample → the name by which MultiQC knows file and sample.
PLOTTED = {
    "fastp.json": "{}.fastp.json",
    "fastqc.zip": "{}_fastqc.zip",
    "Log.final.out": "{}.Log.final.out",
}
HTML = "multiqc_report.html"
VERDICTS = "verdicts.json"
#: Samples on the page, failures first. With more, it is slow to make and to open, and its curves
#: lie on each other (docs/qc.md has figures); verdicts are made, and kept, of all.
PAGE_SAMPLES = 300
ORDER = {"fail": 0, "warn": 1, "pass": 2}
#: Metrics that base qualities decide.
QUALITIES = frozenset({"q30_share"})
#: NCBI taxids of which `thresholds.yaml` has its `mammal` limits: human, mouse, rat, macaque, pig,
#: cow, dog.
MAMMALS = frozenset({"9606", "10090", "10116", "9544", "9823", "9913", "9615"})
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
    "report_section_order": {
        "seqharvest_verdicts": {"order": 10_000},
        "seqharvest_components": {"order": 9_999},
        "seqharvest_likeness": {"order": 9_998},
    },
    "max_table_rows": 2 * 300,
    "custom_content": {
        "order": ["seqharvest_verdicts", "seqharvest_components", "seqharvest_likeness"]
    },
    "no_version_check": True,
    "disable_version_detection": False,
}
#: Columns of the first section, with the heading a person reads.
COLOURS = {"fail": "#c0392b", "warn": "#d68910", "pass": "#2e86c1"}
NAMED = 20  # missing samples named on the page
SHOWN = {
    "unique_share": "Unique",
    "multi_share": "Multi",
    "unmapped_short_share": "Unmapped",
    "q30_share": "Q30",
    "adapter_share": "Adapter",
    "duplication_share": "Duplicate",
    "rrna_share": "rRNA",
    "spliced_share": "Spliced",
    "intergenic_share": "Intergenic",
}


def report(
    source: str,
    project: str,
    fingerprint: str,
    release: str,
    thresholds: verdicts.Thresholds,
    expected: Mapping[str, Mapping[str, Any]] | None = None,
    assays: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a project's report beside its samples' QC files and return the verdicts.

    `source` is `s3://bucket` or a folder with the bucket's layout; `expected` are the samples that
    ought to be there, with what is recorded of them; `assays` name thresholds to lay over the
    general ones. verdicts.json comes last: where it is, the page is. Raises `InputError` when no
    sample has been through QC.
    """
    for assay in assays:
        thresholds = thresholds.of_assay(assay)
    recorded = dict(expected or {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store = _store(source, result_prefix("qc", fingerprint, project))
        measured = _measured(store, folder)
        if not measured:
            raise InputError(
                f"project {project} has no metrics.json under qc/fingerprint={fingerprint}",
                "run the QC workflow first; its failures are in the head job's log",
            )
        samples = {
            name: _judge(found, thresholds, release, recorded.get(name, {}))
            for name, found in sorted(measured.items())
        }
        missing = sorted(set(recorded) - set(samples))
        found = compare(
            samples,
            _quick_counts(folder, samples),
            {name: frozenset(row.get("sketch", ())) for name, row in measured.items()},
            recorded,
            thresholds.project,
        )
        _tell(samples, found)
        document = {
            "thresholds_version": thresholds.version,
            "assays": list(assays),
            "fingerprint": fingerprint,
            "release": release,
            "project": project,
            "project_verdict": judge(samples, missing, found, thresholds.project),
            "suggested_exclusions": _suggested(samples, found),
            "counts": dict(Counter(row["verdict"] for row in samples.values())),
            "missing": missing,
            "limits": {
                t.metric: {name: getattr(t, name) for name in verdicts.LIMITS}
                for t in thresholds.metrics
            },
            "comparison": found.comparison,
            "samples": samples,
        }
        shown = _shown_first(samples)[:PAGE_SAMPLES]
        store.collect(folder, PLOTTED, shown)
        page = _multiqc(folder, project, document, shown)
        prefix = report_prefix(fingerprint, project)
        store.put(prefix + HTML, page.read_bytes(), "text/html")
        text = json.dumps(document, separators=(",", ":")) + "\n"
        store.put(prefix + VERDICTS, text.encode(), "application/json")
    log.info("project %s: %s", project, document["counts"])
    return document


def _measured(store: Store, folder: Path) -> dict[str, dict[str, Any]]:
    store.collect(folder, JUDGED)
    ending = JUDGED["metrics.json"].format("")
    return {
        path.name.removesuffix(ending): json.loads(path.read_text())
        for path in folder.glob(f"*{ending}")
    }


def _quick_counts(folder: Path, samples: Iterable[str]) -> QuickCounts:
    from pyarrow import parquet

    counts = QuickCounts()
    for sample in samples:
        path = folder / JUDGED["counts.parquet"].format(sample)
        if path.exists():
            table = parquet.read_table(path, columns=["gene_id", "unstranded"])
            genes = table["gene_id"].to_pylist()
            last = len(genes)
            while last and genes[last - 1].startswith("N_"):
                last -= 1
            counts.add(sample, genes[:last], table["unstranded"].to_numpy()[:last])
    return counts


def _judge(
    measured: dict[str, Any],
    thresholds: verdicts.Thresholds,
    release: str,
    recorded: Mapping[str, Any],
) -> dict[str, Any]:
    if str(recorded.get("taxid", "")) in MAMMALS:
        thresholds = thresholds.of_assay("mammal")
    lite = not measured.get("qualities_measured", True)
    judged = thresholds.judge(measured["metrics"], release, QUALITIES if lite else ())
    reasons = list(judged.reasons)
    if lite:
        reasons.append("base qualities are not measured (SRA Lite gives one value to all)")
    return {
        "verdict": judged.verdict.word,
        "reasons": reasons,
        "metrics": measured["metrics"],
        "by_metric": judged.by_metric,
        "strandedness": measured["strandedness"],
        "layout": measured.get("layout", ""),
        "sex": measured.get("sex"),
        "qualities_measured": not lite,
        "coverage_profile": measured.get("coverage_profile", []),
        "versions": measured.get("versions", {}),
    }


def _tell(samples: dict[str, dict[str, Any]], found: Findings) -> None:
    """Give samples what the comparison said of them; a pass becomes a warning."""
    for name, reasons in found.warnings.items():
        row = samples[name]
        row["reasons"] += reasons
        if row["verdict"] == "pass":
            row["verdict"] = "warn"


def _suggested(samples: Mapping[str, dict[str, Any]], found: Findings) -> dict[str, list[str]]:
    """Samples that a reviewer may want to leave out, with the reasons."""
    failed = {name: row["reasons"] for name, row in samples.items() if row["verdict"] == "fail"}
    return dict(sorted({**found.exclude, **failed}.items()))


def _shown_first(samples: Mapping[str, dict[str, Any]]) -> list[str]:
    """Sample ids with failures first, then warnings."""
    return sorted(samples, key=lambda name: (ORDER[samples[name]["verdict"]], name))


def _multiqc(folder: Path, project: str, document: dict[str, Any], shown: list[str]) -> Path:
    for section in (_verdicts(document, shown), _components(document), _likeness(document)):
        if section:
            (folder / f"{section['id']}_mqc.json").write_text(json.dumps(section))
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


def _verdicts(document: dict[str, Any], shown: list[str]) -> dict[str, Any]:
    """The verdicts as MultiQC custom content: the project's, then the samples', failures first."""
    samples = document["samples"]
    counts = document["counts"]
    told = ", ".join(f"{counts[word]} {word}" for word in ORDER if word in counts)
    project = document["project_verdict"]
    why = f" ({escape('; '.join(project['reasons']))})" if project["reasons"] else ""
    missing = document["missing"]
    named = ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else "")
    gone = f" Without QC: {len(missing)} ({escape(named)})." if missing else ""
    rest = len(samples) - len(shown)
    left = (
        f" The page shows {len(shown)} samples, worst first; {rest} are left out." if rest else ""
    )
    return {
        "id": "seqharvest_verdicts",
        "section_name": "Verdicts",
        "description": f"Project: {project['verdict']}{why}. Samples: {told}.{gone}{left} "
        f"Thresholds version {escape(document['thresholds_version'])}, release "
        f"{escape(document['release'])}. Shares are of all examined reads; STAR's own, below, are "
        "of those that trimming left.",
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
        "data": {sample: _row(samples[sample]) for sample in shown},
    }


def _components(document: dict[str, Any]) -> dict[str, Any]:
    """The samples on the first two principal components, coloured by verdict."""
    pca = document["comparison"]["pca"]
    if len(pca["explained"]) < 2:
        return {}
    samples = document["samples"]
    share = [f"component {i + 1} ({100 * pca['explained'][i]:.0f} %)" for i in (0, 1)]
    return {
        "id": "seqharvest_components",
        "section_name": "Principal components",
        "description": "Samples by the expression of their most variable genes, from the examined "
        "reads. Red fails, orange warns.",
        "plot_type": "scatter",
        "pconfig": {
            "id": "seqharvest_components_plot",
            "title": "Principal components",
            "xlab": share[0],
            "ylab": share[1],
        },
        "data": {
            name: {"x": point[0], "y": point[1], "color": COLOURS[samples[name]["verdict"]]}
            for name, point in pca["points"].items()
        },
    }


def _likeness(document: dict[str, Any]) -> dict[str, Any]:
    """The samples' correlations as a heat map."""
    matrix = document["comparison"]["correlation"]
    names = matrix["samples"]
    if not names:
        return {}
    part = "" if len(names) == document["comparison"]["compared"] else f" ({len(names)} samples)"
    return {
        "id": "seqharvest_likeness",
        "section_name": "Correlation",
        "description": f"Pearson's correlation of expression between samples{part}.",
        "plot_type": "heatmap",
        "pconfig": {
            "id": "seqharvest_likeness_plot",
            "title": "Correlation of samples",
            "square": True,
            "cluster_rows": False,
            "cluster_cols": False,
        },
        "data": {
            name: dict(zip(names, row, strict=True))
            for name, row in zip(names, matrix["values"], strict=True)
        },
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    shares = {name: row["metrics"].get(name) for name in SHOWN}
    return {
        "verdict": row["verdict"],
        "reasons": escape("; ".join(row["reasons"])) or "–",
        **{name: 100 * share for name, share in shares.items() if share is not None},
    }


class _Folder:
    def __init__(self, root: Path, prefix: str) -> None:
        self.root = root
        self.prefix = prefix

    def collect(
        self, folder: Path, files: Mapping[str, str], samples: Iterable[str] | None = None
    ) -> None:
        """Gather samples' files (all samples', when none are named) into one folder."""
        wanted = None if samples is None else set(samples)
        for path in (self.root / self.prefix).glob("sample=*/*"):
            sample = _sample(path.parent.name)
            if path.name in files and (wanted is None or sample in wanted):
                shutil.copyfile(path, folder / files[path.name].format(sample))

    def put(self, key: str, data: bytes, kind: str) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        unfinished.write_bytes(data)
        unfinished.replace(path)


class _Bucket:
    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.s3 = aws.client("s3")
        self.keys: dict[str, dict[str, str]] = defaultdict(dict)  # sample → file → key
        for entry in listing.entries(bucket, f"{prefix}sample=", s3=self.s3):
            place, _, file = entry.key.removeprefix(prefix).partition("/")
            self.keys[_sample(place)][file] = entry.key

    def collect(
        self, folder: Path, files: Mapping[str, str], samples: Iterable[str] | None = None
    ) -> None:
        """Gather samples' files (all samples', when none are named) into one folder."""
        wanted = [
            (self.keys[sample][file], folder / name.format(sample))
            for sample in (list(self.keys) if samples is None else samples)
            for file, name in files.items()
            if file in self.keys[sample]
        ]
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            list(pool.map(lambda pair: self._download(*pair), wanted))

    def _download(self, key: str, path: Path) -> None:
        path.write_bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def put(self, key: str, data: bytes, kind: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=kind)


Store = _Folder | _Bucket


def _store(source: str, prefix: str) -> Store:
    if source.startswith("s3://"):
        return _Bucket(source.removeprefix("s3://").rstrip("/"), prefix)
    return _Folder(Path(source or "."), prefix)


def _sample(place: str) -> str:
    return place.removeprefix("sample=")


def _expected(sheet: Path) -> dict[str, dict[str, Any]]:
    """Samples of a sheet with what its column `recorded` (JSON), if it has one, says of them."""
    recorded: dict[str, dict[str, Any]] = {sample: {} for sample in sample_sheet.read(sheet)}
    with sheet.open(newline="", encoding="utf-8-sig") as handle:
        for row in csv.DictReader(handle, delimiter="\t"):
            if row.get("recorded"):
                recorded[row["sample"]] = json.loads(row["recorded"])
    return recorded


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
    parser.add_argument("--assay", nargs="*", default=[], help="of the thresholds' assays")
    given = parser.parse_args(arguments)
    try:
        report(
            given.source,
            given.project,
            given.fingerprint,
            given.release,
            verdicts.load(given.thresholds),
            _expected(given.samples) if given.samples else {},
            given.assay,
        )
    except SeqharvestError as error:
        print(f"seqharvest.qc.report: project {given.project}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"))
    sys.exit(main())
