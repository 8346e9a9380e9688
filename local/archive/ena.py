"""Answers as the ENA portal's filereport does, for runs."""

from __future__ import annotations

import json
import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.archive.catalogue import Catalogue
from local.archive.series import Run, Series

# What ENA takes for an accession of something that has runs; a GSE is not one of them.
ACCESSION = re.compile(r"[SED]R[RXSP]\d{6,}|SAM[NED][A-Z]?\d+|PRJ[NED][A-Z]\d+")
#: Columns without `fields=`, in the order of a recorded reply.
DEFAULT_FIELDS = (
    *("run_accession", "fastq_ftp", "fastq_bytes", "fastq_md5", "bam_ftp", "bam_bytes", "bam_md5"),
    *("submitted_ftp", "submitted_bytes", "submitted_md5", "sra_ftp", "sra_bytes", "sra_md5"),
)


def filereport(catalogue: Catalogue, request: Request) -> Response:
    """Reply to /ena/portal/api/filereport; an unknown accession is 204 without a body."""
    ask = request.query_params
    accession = ask.get("accession", "")
    if ask.get("result") != "read_run":
        return _refusal(request, "Invalid result type supplied; this archive has read_run only.")
    if not ACCESSION.fullmatch(accession):
        return _refusal(request, "Invalid accession supplied.")
    host = request.url.netloc
    try:
        limit = int(ask.get("limit", "0") or "0")
    except ValueError:
        return _refusal(request, "Invalid limit supplied.")
    found = catalogue.find_runs(accession)
    rows = [row(catalogue, series, run, host) for series, run in found[: limit or None]]
    if not rows:
        return Response(status_code=204)
    fields = _fields(ask.get("fields", ""), list(rows[0]))
    if unknown := [name for name in fields if name not in rows[0]]:
        return _refusal(request, f"Invalid field(s) supplied: {','.join(unknown)}.")
    if ask.get("format", "tsv").lower() == "json":
        return JSONResponse([{name: each[name] for name in fields} for each in rows])
    lines = ["\t".join(fields), *("\t".join(each[name] for name in fields) for each in rows)]
    return Response("\n".join(lines) + "\n", media_type="text/plain")


def row(catalogue: Catalogue, series: Series, run: Run, host: str) -> dict[str, str]:
    """Everything the portal knows of one run; may wait for its .sra archive."""
    return {
        "run_accession": run.accession,
        "experiment_accession": run.experiment,
        "sample_accession": run.biosample,
        "secondary_sample_accession": run.srs,
        "study_accession": series.bioproject,
        "secondary_study_accession": series.study,
        "study_title": series.title,
        "study_alias": series.accession,
        "sample_alias": run.gsm,
        "experiment_alias": run.gsm,
        "run_alias": f"{run.gsm}_r1",
        "sample_title": run.title,
        "sample_description": "; ".join(f"{k}: {v}" for k, v in run.characteristics.items()),
        "experiment_title": f"{run.gsm}: {run.title}; {series.organism}; RNA-Seq",
        "scientific_name": series.organism,
        "tax_id": str(series.taxid),
        "tissue_type": run.characteristics.get("tissue", ""),
        "cell_line": run.characteristics.get("cell line", ""),
        **dict.fromkeys(("cell_type", "strain", "sex", "dev_stage"), ""),
        "library_construction_protocol": "",
        "first_public": series.published.replace("/", "-"),
        "library_layout": "PAIRED" if run.paired else "SINGLE",
        "library_strategy": "RNA-Seq",
        "library_source": "TRANSCRIPTOMIC",
        "library_selection": "cDNA",
        "library_name": "",
        "instrument_platform": "ILLUMINA",
        "instrument_model": "Illumina NovaSeq 6000",
        **_files(catalogue, run, host),
    }


def ena_folder(run: str) -> str:
    """ENA's folder for a run: the first six characters, then what is beyond, to three digits."""
    rest = run[9:]
    return f"{run[:6]}/{rest.zfill(3)}/{run}" if rest else f"{run[:6]}/{run}"


def _files(catalogue: Catalogue, run: Run, host: str) -> dict[str, str]:
    facts = catalogue.facts(run)
    folder = ena_folder(run.accession)
    spots = facts[0].reads if run.spots is None else run.spots
    listed = facts if run.offered != "sra" else []
    names = [f"{host}/vol1/fastq/{folder}/{name}" for name in run.served_names]
    archive = catalogue.sra(run)
    empty = ("bam_ftp", "bam_bytes", "bam_md5")
    return {
        "read_count": str(spots),
        "base_count": str(sum(each.bases for each in facts)),
        "fastq_ftp": ";".join(names[: len(listed)]),
        "fastq_bytes": ";".join(str(each.size) for each in listed),
        "fastq_md5": ";".join(each.md5 for each in listed),
        **dict.fromkeys((*empty, "submitted_ftp", "submitted_bytes", "submitted_md5"), ""),
        "sra_ftp": f"{host}/vol1/{run.accession[:3].lower()}/{folder}" if archive else "",
        "sra_bytes": str(archive.size) if archive else "",
        "sra_md5": archive.md5 if archive else "",
    }


def _fields(given: str, known: list[str]) -> list[str]:
    if given == "all":
        return known
    fields = [name.strip() for name in given.split(",") if name.strip()] or [*DEFAULT_FIELDS]
    return fields if "run_accession" in fields else ["run_accession", *fields]


def _refusal(request: Request, message: str) -> Response:
    body = {"message": message, "path": request.url.path}
    return Response(json.dumps(body), status_code=400, media_type="application/json")
