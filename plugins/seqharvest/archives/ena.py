"""Asks the ENA portal which runs an accession has, and where their bytes are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from seqharvest.archives.http import ArchiveClient, PassingError, snippet
from seqharvest.archives.model import FastqFile, Run
from seqharvest.errors import ArchiveError
from seqharvest.settings import settings

RUN = re.compile(r"[SED]RR\d+")
# Kept as given with each run; the rest of FIELDS has a place of its own in Run.
METADATA = (
    "sample_title",
    "sample_description",
    "experiment_title",
    "sample_alias",
    "experiment_alias",
    "study_title",
    "study_alias",
    "library_name",
    "library_construction_protocol",
    "tissue_type",
    "cell_line",
    "cell_type",
    "strain",
    "sex",
    "dev_stage",
    "instrument_model",
    "first_public",
)
FIELDS = (
    "run_accession",
    "experiment_accession",
    "sample_accession",
    "study_accession",
    "library_layout",
    "library_strategy",
    "library_source",
    "library_selection",
    "instrument_platform",
    "read_count",
    "base_count",
    "fastq_ftp",
    "fastq_md5",
    "fastq_bytes",
    "sra_ftp",
    "sra_md5",
    "sra_bytes",
    "scientific_name",
    "tax_id",
    *METADATA,
)


def runs(accession: str, client: ArchiveClient | None = None) -> list[Run]:
    """Return the public runs of a study, sample, experiment or run; none is an honest empty list.

    Raises `ArchiveError` when ENA fails, or has the accession but not its data.
    """
    if client is None:
        with ArchiveClient() as own:
            return runs(accession, own)
    url = f"{settings().ena_portal_url}/filereport"
    params = {
        "accession": accession,
        "result": "read_run",
        "fields": ",".join(FIELDS),
        "format": "json",
    }
    return client.get(url, params, lambda response: parse_runs(response.content))


def parse_runs(body: bytes, scheme: str = "", sra_url: str = "") -> list[Run]:
    """Read a filereport, JSON or TSV; raises `ArchiveError` for anything else."""
    scheme = scheme or settings().ena_fastq_scheme
    sra_url = sra_url or settings().sra_url
    return [_run(row, scheme, sra_url) for row in parse_rows(body)]


def parse_rows(body: bytes) -> list[dict[str, str]]:
    """Return a filereport's rows with text values; raises `ArchiveError` if it is not one."""
    try:
        text = body.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise PassingError(f"ENA's reply is not UTF-8: {error}") from error
    if text.startswith("["):
        rows = _json_rows(text)
    elif text.startswith("run_accession") or "\trun_accession" in text.partition("\n")[0]:
        rows = _tsv_rows(text)
    else:
        raise PassingError(f"ENA's reply is not a filereport: {snippet(body)}")
    for row in rows:
        # It becomes part of file names and S3 keys.
        if not RUN.fullmatch(row.get("run_accession", "")):
            raise ArchiveError(f"ENA's filereport has a row that names no run: {str(row)[:160]}")
    return rows


def _json_rows(text: str) -> list[dict[str, str]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PassingError(f"ENA's reply is cut or broken JSON: {error}") from error
    if not all(isinstance(row, dict) for row in rows):
        raise ArchiveError("ENA's filereport has rows that are not objects")
    return [{name: _text(value) for name, value in row.items()} for row in rows]


def _tsv_rows(text: str) -> list[dict[str, str]]:
    header, *lines = text.split("\n")
    names = header.rstrip("\r").split("\t")
    rows = []
    for number, line in enumerate(lines, start=2):
        # Empty columns at the end are part of the line: only the line end is taken off.
        values = line.rstrip("\r").split("\t")
        # The outer strip() may have taken empty columns from the very last line.
        if number == len(lines) + 1:
            values += [""] * (len(names) - len(values))
        if len(values) != len(names):
            raise PassingError(
                f"ENA's filereport line {number} has {len(values)} of {len(names)} columns"
            )
        rows.append(dict(zip(names, values, strict=True)))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _run(row: Mapping[str, str], scheme: str, sra_url: str) -> Run:
    accession = row["run_accession"]
    return Run(
        accession=accession,
        experiment=row.get("experiment_accession", ""),
        biosample=row.get("sample_accession", ""),
        study=row.get("study_accession", ""),
        layout="paired" if row.get("library_layout", "").upper() == "PAIRED" else "single",
        spots=_count(row, "read_count"),
        bases=_count(row, "base_count"),
        fastq=tuple(_fastq(row, scheme)),
        sra_url=f"{sra_url}/sra/{accession}/{accession}",
        sra_md5=row.get("sra_md5", "").strip().lower(),
        sra_size=_count(row, "sra_bytes"),
        title=row.get("sample_title") or row.get("experiment_title", ""),
        organism=row.get("scientific_name", ""),
        taxid=_count(row, "tax_id"),
        strategy=row.get("library_strategy", ""),
        source=row.get("library_source", ""),
        selection=row.get("library_selection", ""),
        platform=row.get("instrument_platform", ""),
        metadata={name: row[name] for name in METADATA if row.get(name)},
    )


def _fastq(row: Mapping[str, str], scheme: str) -> Iterable[FastqFile]:
    """Return the run's FASTQ files; raises `ArchiveError` when the three columns disagree."""
    addresses = [part for part in row.get("fastq_ftp", "").split(";") if part]
    md5s = [part for part in row.get("fastq_md5", "").split(";") if part]
    sizes = [part for part in row.get("fastq_bytes", "").split(";") if part]
    if {len(md5s), len(sizes)} - {0, len(addresses)}:
        raise ArchiveError(
            f"ENA's filereport gives run {row['run_accession']} {len(addresses)} FASTQ,"
            f" {len(md5s)} md5 and {len(sizes)} sizes"
        )
    for place, address in enumerate(addresses):
        yield FastqFile(
            url=address if "://" in address else f"{scheme}://{address}",
            md5=md5s[place].lower() if md5s else "",
            size=_number(sizes[place], row, "fastq_bytes") if sizes else 0,
        )


def _count(row: Mapping[str, str], name: str) -> int:
    text = row.get(name, "").strip()
    return _number(text, row, name) if text else 0


def _number(text: str, row: Mapping[str, str], name: str) -> int:
    # ASCII digits only, and few enough for int(): "²" is a digit to str, and no number is so long.
    if text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    raise ArchiveError(f"ENA's filereport gives run {row['run_accession']} {name}={text[:40]!r}")
