"""Reads a series folder (sheet, description, FASTQ) into what GEO and ENA would know of it.

A folder holds FASTQ (`*.fastq.gz`, also below `fastq/`) and one of two sheets:

`samples.csv`, with `run, fastq_1` and as wanted `fastq_2, experiment, gsm, srs, biosample, title,
offered, spots`; every other column is a characteristic of the sample. `offered` says how the run
is public: `both` (the default), `sra` (no FASTQ at ENA) or `fastq` (no .sra archive). What is
offered as `fastq` only is served as it lies there, broken or not: that is how faults are tested.

`samplesheet.csv` in nf-core's form (`group, replicate` or `sample`; `fastq_1, fastq_2`), whose
addresses are looked up by their last part. There, every third run is offered as .sra only.

`series.yaml` may give `accession, title, summary, organism, taxid, published, study, bioproject`;
without it the accession is the GSE in the folder's name, and the organism what the caller says.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from seqharvest.errors import InputError

# NCBI's own name and number for "not known": a made-up taxid could be somebody's.
UNIDENTIFIED = ("unidentified", 32644)
GSE = re.compile(r"GSE(\d+)")
RUN = re.compile(r"[SED]RR\d{6,}")
DATE = re.compile(r"\d{4}/\d\d/\d\d")
OFFERS = ("both", "sra", "fastq")
SAMPLES, NF_CORE, ABOUT = "samples.csv", "samplesheet.csv", "series.yaml"
_OWN = {
    *("run", "experiment", "gsm", "srs", "biosample"),
    *("title", "fastq_1", "fastq_2", "offered", "spots"),
}


@dataclass(frozen=True)
class Run:
    """One run with the accessions of what it belongs to, and its files on this machine."""

    accession: str
    experiment: str
    gsm: str
    srs: str
    biosample: str
    title: str
    files: tuple[Path, ...]
    offered: str
    where: str  # sheet and line, for messages
    spots: int | None = None  # what the archive claims, when that is not what the files hold
    characteristics: Mapping[str, str] = field(default_factory=dict)

    @property
    def paired(self) -> bool:
        """True with two files."""
        return len(self.files) == 2

    @property
    def served_names(self) -> tuple[str, ...]:
        """Names of the FASTQ files as ENA gives them."""
        if self.paired:
            return (f"{self.accession}_1.fastq.gz", f"{self.accession}_2.fastq.gz")
        return (f"{self.accession}.fastq.gz",)


@dataclass(frozen=True)
class Series:
    """A GEO series with its SRA study."""

    accession: str
    title: str
    summary: str
    organism: str
    taxid: int
    published: str  # YYYY/MM/DD
    study: str
    bioproject: str
    folder: Path
    runs: tuple[Run, ...]

    @property
    def samples(self) -> dict[str, list[Run]]:
        """Runs by GSM."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.gsm, []).append(run)
        return found


def read_series(folder: Path, organism: str = "", taxid: int = 0) -> Series:
    """Read a folder's sheet and description.

    Raises `InputError` naming the file and line for everything that cannot be served.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder", "give a folder with FASTQ and a sheet")
    about = _about(folder)
    accession = _accession(folder, about)
    digits = accession[3:]
    sheet = folder / SAMPLES
    if sheet.is_file():
        runs = _own_runs(sheet)
    elif (sheet := folder / NF_CORE).is_file():
        runs = _nf_core_runs(sheet, int(digits))
    else:
        raise InputError(f"{folder} has neither {SAMPLES} nor {NF_CORE}", "add one of the sheets")
    _check_unique(runs)
    return Series(
        accession=accession,
        title=str(about.get("title") or f"{accession} as served on this machine"),
        summary=str(about.get("summary") or f"Reads in {folder}"),
        organism=str(about.get("organism") or organism or UNIDENTIFIED[0]),
        taxid=_taxid(folder, about, organism, taxid),
        published=_published(folder, about),
        study=str(about.get("study") or f"SRP{digits}"),
        bioproject=str(about.get("bioproject") or f"PRJNA{digits}"),
        folder=folder,
        runs=tuple(runs),
    )


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    if not path.is_file():
        return {}
    try:
        about = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {error}", "write `key: value` lines") from error
    if not isinstance(about, dict):
        raise InputError(f"{path} holds no keys", "write `accession: GSE…` and so on")
    return about


def _accession(folder: Path, about: Mapping[str, Any]) -> str:
    given = about.get("accession")
    found = GSE.fullmatch(str(given)) if given else GSE.search(folder.name)
    if not found:
        raise InputError(
            f"{folder} names no GEO series" + (f" ({given!r})" if given else ""),
            f"put GSE<digits> into the folder's name, or `accession:` into its {ABOUT}",
        )
    return found.group()


def _taxid(folder: Path, about: Mapping[str, Any], organism: str, taxid: int) -> int:
    if "taxid" in about:
        try:
            return int(about["taxid"])
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{folder / ABOUT}: taxid {about['taxid']!r} is not a number", "e.g. 9606"
            ) from error
    if about.get("organism"):
        return UNIDENTIFIED[1]
    return taxid or UNIDENTIFIED[1]


def _published(folder: Path, about: Mapping[str, Any]) -> str:
    # YAML reads 2026-11-01 as a date and leaves 2026/11/01 as text; both are meant.
    published = str(about.get("published") or "2026/11/01").replace("-", "/")
    if not DATE.fullmatch(published):
        raise InputError(f"{folder / ABOUT}: published {published!r} is no date", "YYYY/MM/DD")
    return published


def _rows(sheet: Path, required: tuple[str, ...]) -> list[tuple[str, dict[str, str]]]:
    """Lines of a sheet as (where, values)."""
    try:
        with sheet.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, strict=True)
            names = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = names
            found = [(f"{sheet} line {reader.line_num}", row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"{sheet} is not a UTF-8 CSV: {error}", "save it as CSV") from error
    if missing := [name for name in required if name not in names]:
        raise InputError(f"{sheet} line 1 lacks column {', '.join(missing)}", "add it")
    if not found:
        raise InputError(f"{sheet} lists no runs", "add a line for each run")
    for where, row in found:
        if None in row or None in row.values():
            raise InputError(f"{where} has not as many values as line 1", "count the commas")
    return [(where, {k: v.strip() for k, v in row.items()}) for where, row in found]


def _own_runs(sheet: Path) -> list[Run]:
    return [_own_run(sheet.parent, where, row) for where, row in _rows(sheet, ("run", "fastq_1"))]


def _own_run(folder: Path, where: str, row: dict[str, str]) -> Run:
    run = row["run"]
    if not RUN.fullmatch(run):
        raise InputError(f"{where}: run {run!r} is not an SRR, ERR or DRR accession", "mend it")
    offered = row.get("offered") or OFFERS[0]
    if offered not in OFFERS:
        raise InputError(f"{where}: offered {offered!r}", f"use one of {', '.join(OFFERS)}")
    spots = row.get("spots", "")
    if spots and not spots.isdecimal():
        raise InputError(f"{where}: spots {spots!r} is not a number", "leave it empty")
    return Run(
        accession=run,
        experiment=row.get("experiment") or f"SRX{run[3:]}",
        gsm=row.get("gsm") or f"GSM{(row.get('experiment') or run)[3:]}",
        srs=row.get("srs") or f"SRS{(row.get('experiment') or run)[3:]}",
        biosample=row.get("biosample") or f"SAMN{(row.get('experiment') or run)[3:]}",
        title=row.get("title") or run,
        files=_files(folder, where, row["fastq_1"], row.get("fastq_2", "")),
        offered=offered,
        where=where,
        spots=int(spots) if spots else None,
        characteristics={k: v for k, v in row.items() if k not in _OWN and v},
    )


def _nf_core_runs(sheet: Path, digits: int) -> list[Run]:
    """Runs of an nf-core sheet; the first run of a sample gives its other accessions."""
    rows = _rows(sheet, ("fastq_1",))
    named = "sample" in rows[0][1] or "group" in rows[0][1]
    if not named:
        raise InputError(f"{sheet} line 1 has no column sample or group", "add one")
    runs: list[Run] = []
    first: dict[str, str] = {}
    for place, (where, row) in enumerate(rows):
        title = row.get("sample") or f"{row.get('group')}_REP{row.get('replicate') or 1}"
        files = _files(sheet.parent, where, row["fastq_1"], row.get("fastq_2", ""))
        # Files of one's own have no accession: one is made of the series and the line.
        found = RUN.search(files[0].name)
        run = found.group() if found else f"SRR{digits}{place + 1:04d}"
        own = first.setdefault(title, run)[3:]
        names = (f"SRX{own}", f"GSM{own}", f"SRS{own}", f"SAMN{own}")
        offered = "sra" if place % 3 == 2 else "both"
        notes = {k: v for k, v in row.items() if k in ("group", "replicate", "strandedness") and v}
        runs.append(Run(run, *names, title, files, offered, where, characteristics=notes))
    return runs


def _files(folder: Path, where: str, *given: str) -> tuple[Path, ...]:
    """The line's FASTQ files, found by path, or by name in the folder or its `fastq/`."""
    if not given[0]:
        raise InputError(f"{where}: fastq_1 is empty", "name the run's file")
    found = []
    for text in filter(None, given):
        name = text.rstrip("/").rpartition("/")[2]
        places = [folder / "fastq" / name, folder / name]
        if "://" not in text:
            places.insert(0, folder / text)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise InputError(f"{where}: no file {text}", f"put {name} into {folder / 'fastq'}")
        if path.suffix != ".gz":
            raise InputError(f"{where}: {name} is not compressed", f"gzip {path}")
        found.append(path.resolve())
    if len(set(found)) != len(found):
        raise InputError(f"{where}: fastq_1 and fastq_2 are the same file", "name both mates")
    return tuple(found)


def _check_unique(runs: list[Run]) -> None:
    seen: dict[str, str] = {}
    for run in runs:
        if run.accession in seen:
            raise InputError(
                f"{run.where}: run {run.accession} is also in {seen[run.accession]}",
                "a run has one line",
            )
        seen[run.accession] = run.where
