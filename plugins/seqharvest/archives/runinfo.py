"""Asks NCBI's SRA which runs there are (runinfo): the second source, beside ENA."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

import httpx

from seqharvest.archives import eutils
from seqharvest.archives.ena import RUN
from seqharvest.archives.http import ArchiveClient, PassingError, snippet
from seqharvest.archives.model import Run
from seqharvest.errors import ArchiveError
from seqharvest.settings import settings

log = logging.getLogger(__name__)

# Experiments a page; a line is about 500 bytes.
PAGE = 500
_NEEDED = {"Run", "Experiment", "LibraryStrategy", "LibraryLayout", "Platform", "spots"}
# Kept as given; the rest of the columns has a place of its own in Run, or says nothing.
_METADATA = {
    "SampleName": "sample_alias",
    "LibraryName": "library_name",
    "Model": "instrument_model",
    "ReleaseDate": "first_public",
    "SRAStudy": "sra_study",
    "Sample": "sra_sample",
    "CenterName": "center_name",
    "source": "source",
    "Subject_ID": "subject_id",
    "Sex": "sex",
    "Disease": "disease",
    "Histological_Type": "histological_type",
    "Body_Site": "body_site",
    "Affection_Status": "affection_status",
}
#: What the two archives should agree on. ENA's word is taken; a disagreement is kept with it.
_COMPARED = ("experiment", "layout", "spots", "strategy", "source", "platform", "taxid")


def runs(accession: str, client: ArchiveClient) -> list[Run]:
    """Return the runs SRA has of a study, sample, experiment, run or GSM; none is honest.

    Raises `ArchiveError` when NCBI fails.
    """
    # A search finds whatever merely mentions the accession too.
    return [run for run in mentions(accession, client) if accession in run.names]


def mentions(term: str, client: ArchiveClient) -> list[Run]:
    """Return the runs SRA finds for a word, such as a GSE; raises `ArchiveError`."""

    def read(response: httpx.Response, _: int) -> list[Run]:
        return parse_runinfo(response.content)

    pages = eutils.everything(
        "sra",
        term,
        "efetch",
        client,
        read,
        size=PAGE,
        parameters={"rettype": "runinfo", "retmode": "text"},
    )
    return list({run.accession: run for page in pages for run in page}.values())


def parse_runinfo(body: bytes, sra_url: str = "") -> list[Run]:
    """Read a SraRunInfo CSV; raises `ArchiveError` for anything else."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PassingError(f"NCBI's runinfo is not UTF-8: {error}") from error
    _check_error(text)
    # Some replies end their lines with a bare CR.
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        reader = csv.DictReader(io.StringIO(text), strict=True)
        names = list(reader.fieldnames or ())
        if not set(names) >= _NEEDED:
            raise PassingError(f"NCBI's reply is not a runinfo: {snippet(body)}")
        rows = [row for row in reader if any(row.values()) and row["Run"] != "Run"]
    except csv.Error as error:
        raise PassingError(f"NCBI's runinfo is cut or broken: {error}") from error
    sra_url = sra_url or settings().sra_url
    return [_run(row, sra_url) for row in rows]


def _check_error(text: str) -> None:
    start = text.lstrip()[:1]
    if start == "{":
        eutils.check_reply(text.encode())
    if start == "<":
        eutils.raise_problem(text)


def _run(row: Mapping[str | None, str | None], sra_url: str) -> Run:
    if None in row or None in row.values():
        raise PassingError(f"NCBI's runinfo is cut at run {str(row.get('Run'))[:40]}")
    values = {str(name): str(value).strip() for name, value in row.items()}
    accession = values["Run"]
    # It becomes part of file names and S3 keys.
    if not RUN.fullmatch(accession):
        raise ArchiveError(f"NCBI's runinfo has a line that names no run: {str(values)[:160]}")
    metadata = {ours: values[name] for name, ours in _METADATA.items() if values.get(name)}
    return Run(
        accession=accession,
        experiment=values["Experiment"],
        biosample=values.get("BioSample", ""),
        study=values.get("BioProject") or values.get("SRAStudy", ""),
        layout="paired" if values["LibraryLayout"].upper() == "PAIRED" else "single",
        spots=_count(values, "spots"),
        bases=_count(values, "bases"),
        sra_url=f"{sra_url}/sra/{accession}/{accession}",
        sra_mb=_count(values, "size_MB"),
        title=values.get("LibraryName") or values.get("SampleName", ""),
        organism=values.get("ScientificName", ""),
        taxid=_count(values, "TaxID"),
        strategy=values["LibraryStrategy"],
        source=values.get("LibrarySource", ""),
        selection=values.get("LibrarySelection", ""),
        platform=values["Platform"],
        controlled=_controlled(values),
        metadata=metadata,
    )


def _controlled(values: Mapping[str, str]) -> str:
    """Say who controls the access to a run; empty when it is public."""
    study, consent = values.get("dbgap_study_accession", ""), values.get("Consent", "")
    if not study and consent.lower() in ("", "public"):
        return ""
    return f"dbGaP {study}".strip() + (f", consent {consent}" if consent else "")


def _count(values: Mapping[str, str], name: str) -> int:
    text = values.get(name, "")
    if not text:
        return 0
    # ASCII digits only, and few enough for int(): "²" is a digit to str, and no number is so long.
    if text.isascii() and text.isdecimal() and len(text) < 20:
        return int(text)
    raise ArchiveError(f"NCBI's runinfo gives run {values['Run']} {name}={text[:40]!r}")


def reconcile(ena: Iterable[Run], ncbi: Iterable[Run]) -> list[Run]:
    """Return the runs of both archives by accession.

    ENA's word is taken, NCBI's fills what ENA leaves empty; where they disagree, the run's
    metadata says so.
    """
    merged = {run.accession: run for run in ena}
    for theirs in ncbi:
        ours = merged.get(theirs.accession)
        merged[theirs.accession] = _merge(ours, theirs) if ours else theirs
    return [merged[name] for name in sorted(merged)]


def _merge(ena: Run, ncbi: Run) -> Run:
    empty = {
        field.name: getattr(ncbi, field.name)
        for field in fields(Run)
        if not getattr(ena, field.name) and getattr(ncbi, field.name)
    }
    said = [
        f"{name}: ENA {getattr(ena, name)}, NCBI {getattr(ncbi, name)}"
        for name in _COMPARED
        if _differ(getattr(ena, name), getattr(ncbi, name))
    ]
    metadata = {**ncbi.metadata, **ena.metadata}
    if said:
        log.warning("run %s: the archives disagree: %s", ena.accession, "; ".join(said))
        metadata["archives_disagree"] = "; ".join(said)
    return replace(ena, **{**empty, "metadata": metadata})


def _differ(one: object, other: object) -> bool:
    return bool(one and other) and str(one).lower() != str(other).lower()
