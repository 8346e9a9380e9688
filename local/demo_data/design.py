"""The demo's experiment: samples, runs, accessions, and the series' own sheet and description."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from seqharvest.errors import InputError

FIRST_SERIES = 900001
CONDITIONS = ("control", "treated")


@dataclass(frozen=True)
class Sample:
    """One sample as designed; `offered` has one word a run: both, sra or fastq."""

    title: str
    condition: str
    paired: bool
    offered: tuple[str, ...]
    bad: bool = False


SAMPLES = (
    Sample("control_1", "control", True, ("both", "fastq")),  # two runs
    Sample("control_2", "control", True, ("sra",)),
    Sample("control_3", "control", False, ("sra",)),
    Sample("treated_1", "treated", True, ("both",)),
    Sample("treated_2", "treated", True, ("both",)),
    Sample("treated_3", "treated", False, ("both",)),
    Sample("treated_4", "treated", True, ("both",), bad=True),
)


@dataclass(frozen=True)
class DemoRun:
    """One run of the demo with the accessions of everything it belongs to."""

    run: str
    experiment: str
    gsm: str
    srs: str
    biosample: str
    sample: Sample
    offered: str
    number: int  # of the sample within the design, for its random stream

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the FASTQ files, as ENA names them."""
        if self.sample.paired:
            return (f"{self.run}_1.fastq.gz", f"{self.run}_2.fastq.gz")
        return (f"{self.run}.fastq.gz",)


def design(accession: str, titles: tuple[str, ...] = ()) -> list[DemoRun]:
    """Give every run its accessions, which follow from the series' number.

    `titles` keeps only those samples. Raises `InputError` for a title or accession that cannot be.
    """
    known = {sample.title for sample in SAMPLES}
    if unknown := sorted(set(titles) - known):
        raise InputError(
            f"the demo has no sample {', '.join(unknown)}", f"use {', '.join(sorted(known))}"
        )
    base = 9_000_000 + 100 * (series_number(accession) - FIRST_SERIES)
    runs: list[DemoRun] = []
    at = 0
    for number, sample in enumerate(SAMPLES, start=1):
        for offered in sample.offered:
            at += 1
            if titles and sample.title not in titles:
                continue
            own = base + number
            names = (f"SRX{own}", f"GSM{own}", f"SRS{own}", f"SAMN{own}")
            runs.append(DemoRun(f"SRR{base + at}", *names, sample, offered, number))
    return runs


def series_number(accession: str) -> int:
    """The digits of a demo series; they begin at GSE900001."""
    match = re.fullmatch(r"GSE(9\d{5})", accession)
    if not match or int(match[1]) < FIRST_SERIES:
        raise InputError(f"{accession!r} is no demo series", "use GSE900001 to GSE999999")
    return int(match[1])


def write_series(accession: str, runs: list[DemoRun], folder: Path) -> None:
    """Write `series.yaml` and `samples.csv`, which the local archive serves as GEO and ENA do."""
    digits = series_number(accession)
    about = {
        "accession": accession,
        "title": "Poison exon inclusion after splicing factor knock-down (synthetic demo)",
        "summary": (
            "Reads drawn from a synthetic genome with known isoform fractions. Treated cells\u2009"
            "(5\u2009µM) include poison exons and retain introns more often. Not real biology."
        ),
        "organism": "Homo sapiens",
        "taxid": 9606,
        "published": "2026/11/01",
        "study": f"SRP{digits}",
        "bioproject": f"PRJNA{digits}",
    }
    with (folder / "series.yaml").open("w") as out:
        yaml.safe_dump(about, out, sort_keys=False, allow_unicode=True)
    with (folder / "samples.csv").open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(_SHEET)
        writer.writerows(_sheet_row(run) for run in runs)


_SHEET = (
    *("run", "experiment", "gsm", "srs", "biosample", "title", "fastq_1", "fastq_2", "offered"),
    *("condition", "tissue", "cell line", "treatment"),  # the sample's characteristics
)


def _sheet_row(run: DemoRun) -> list[str]:
    sample = run.sample
    files = [f"fastq/{name}" for name in run.files]
    treatment = "5 µM SF‑inhibitor, 48 h" if sample.condition == "treated" else "vehicle (DMSO)"
    return [
        *(run.run, run.experiment, run.gsm, run.srs, run.biosample, sample.title),
        *(files[0], files[1] if sample.paired else "", run.offered),
        *(sample.condition, "bone marrow", "K-demo 562", treatment),
    ]
