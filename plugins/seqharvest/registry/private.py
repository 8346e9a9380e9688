"""Private samples: a checked sheet, reads copied to `raw/`, samples registered."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import yaml
from botocore.exceptions import ClientError

from seqharvest import aws
from seqharvest.errors import InputError, SeqharvestError
from seqharvest.layout import check_project_id, read_key, uri
from seqharvest.registry.core import Registry
from seqharvest.settings import settings

log = logging.getLogger(__name__)

SCHEMA = Path(__file__).with_name("private.schema.yaml")
_COLUMNS = {"sample", "layout", "runs", "fastq_1", "fastq_2"}
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def add_private(
    registry: Registry, project: str, sheet: Path | str, *, by: str, release: str = ""
) -> tuple[int, list[InputError]]:
    """Register a sheet's samples; return how many are new, and the rows' errors.

    The sheet is a CSV or TSV file, here or in S3, whose rows follow `private.schema.yaml`.
    Columns: `sample`; and either `fastq_1` (and `fastq_2` when paired), the S3 addresses of one
    run's reads, which are copied to `raw/`; or `layout` and `runs`, names of runs (joined by
    spaces) whose reads are in `raw/` already. Rows of one sample are its runs; other columns
    become its metadata. One bad row never stops the other samples. Raises `InputError` when the
    sheet cannot be read as such.
    """
    samples, problems = _read(project, sheet)
    registry.register_project(
        project, by=by, source="private", release=release or settings().release
    )
    new = 0
    for name, sample in samples.items():
        copies = sample.pop("copies")
        try:
            for source, key in copies:
                _copy(source, key)
            new += registry.register_sample(project, name, by=by, private=True, **sample)
        except SeqharvestError as error:
            what = f"{_name(sheet)} sample {name}: {error.what}"
            problems.append(InputError(what, error.remedy))
    return new, problems


def check_private(project: str, sheet: Path | str) -> tuple[int, list[InputError]]:
    """Check a sheet without registering; return how many samples are good, and the errors."""
    samples, problems = _read(project, sheet)
    return len(samples), problems


def _read(project: str, sheet: Path | str) -> tuple[dict[str, dict[str, Any]], list[InputError]]:
    """Return the samples whose rows are all good, and the errors of the others."""
    check_project_id(project)
    samples: dict[str, dict[str, Any]] = {}
    problems: list[InputError] = []
    bad = set()  # a sample with one of its runs missing would be a wrong sample
    for line, row in _rows(sheet):
        try:
            _add_row(samples, project, row)
        except InputError as error:
            problems.append(InputError(f"{_name(sheet)} line {line}: {error.what}", error.remedy))
            bad.add(row["sample"])
    return {name: sample for name, sample in samples.items() if name not in bad}, problems


def _rows(sheet: Path | str) -> Iterator[tuple[int, dict[str, str]]]:
    text = _text(sheet)
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in header else ",")
    columns = {name.strip() for name in reader.fieldnames or ()}
    if "sample" not in columns or not columns & {"fastq_1", "runs"}:
        raise InputError(
            f"sheet {sheet} has the columns {', '.join(sorted(columns)) or '(none)'}",
            "give `sample` and either `fastq_1`,`fastq_2` or `layout`,`runs`",
        )
    for row in reader:
        values = {
            key.strip(): (value or "").strip() for key, value in row.items() if isinstance(key, str)
        }
        if any(values.values()):
            yield reader.line_num, values


def _text(sheet: Path | str) -> str:
    """Read a sheet from a file or from S3; raise `InputError` when it cannot be."""
    try:
        if str(sheet).startswith("s3://"):
            where = urlparse(str(sheet))
            found = aws.client("s3").get_object(Bucket=where.netloc, Key=where.path.lstrip("/"))
            body: bytes = found["Body"].read()
        else:
            body = Path(sheet).read_bytes()
        return body.decode("utf-8-sig")  # Excel writes a byte order mark
    except (OSError, UnicodeDecodeError, ClientError) as error:
        raise InputError(
            f"sheet {sheet} cannot be read: {error}", "save it as CSV or TSV, UTF-8"
        ) from error


def _name(sheet: Path | str) -> str:
    return str(sheet).rpartition("/")[2]


def _add_row(samples: dict[str, dict[str, Any]], project: str, row: dict[str, str]) -> None:
    """Add a row's runs to its sample; raise `InputError` for what is wrong in it."""
    _check(row)
    name = row["sample"]
    layout, runs, copies = _by_address(project, row) if row.get("fastq_1") else _by_name(row)
    metadata = {key: value for key, value in row.items() if key not in _COLUMNS and value}
    known = samples.setdefault(
        name, {"layout": layout, "runs": [], "copies": [], "metadata": metadata}
    )
    if known["layout"] != layout:
        raise InputError(f"sample {name} is {known['layout']} in an earlier row, {layout} here",
                         "one layout a sample: name them as two samples")  # fmt: skip
    names = {run["accession"] for run in known["runs"]}
    twice = sorted(names & {run["accession"] for run in runs})
    if twice:
        raise InputError(f"sample {name} has run {', '.join(twice)} twice", "remove one row")
    known["runs"].extend(runs)
    known["copies"].extend(copies)


def _check(row: dict[str, str]) -> None:
    """Check a row against the schema; raise `InputError` naming the value that does not fit."""
    for error in _validator().iter_errors(row):
        column = str(error.path[0]) if error.path else "row"
        about = _validator().schema["properties"].get(column, {})
        value, description = row.get(column, ""), about.get("description", error.message)
        title = about.get("title", column)
        raise InputError(f"{title} {value!r} is not {description}".strip(), f"correct {column}")


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator  # slow to import, and only sheets need it

    return Draft202012Validator(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))


def _by_name(row: dict[str, str]) -> tuple[str, list[dict[str, Any]], list[tuple[str, str]]]:
    """Read a row that names runs whose reads are in `raw/`."""
    layout, names = row.get("layout", "").lower(), row.get("runs", "").replace(";", " ").split()
    if not layout or not names:
        raise InputError("neither fastq_1, nor layout and runs, are given", "give one of the two")
    return layout, [{"accession": name, "spots": 0} for name in names], []


def _by_address(
    project: str, row: dict[str, str]
) -> tuple[str, list[dict[str, Any]], list[tuple[str, str]]]:
    """Read a row that says where in S3 the mates of one run are."""
    mates = [row["fastq_1"], *([row["fastq_2"]] if row.get("fastq_2") else [])]
    layout = "paired" if len(mates) == 2 else "single"
    if row.get("layout") and row["layout"].lower() != layout:
        raise InputError(
            f"layout is {row['layout']} but there are {len(mates)} files", "correct it"
        )
    if len(set(mates)) < len(mates):
        raise InputError(f"fastq_1 and fastq_2 are the same file {mates[0]}", "correct one")
    run = re.sub(r"([._]R?1)?(_001)?\.f(ast)?q\.gz$", "", mates[0].rpartition("/")[2])
    if not _NAME.fullmatch(run):
        raise InputError(f"file name {run!r} is not usable as a run name", "rename the file")
    keys = [read_key(project, row["sample"], run, mate) for mate in range(1, len(mates) + 1)]
    return layout, [{"accession": run, "spots": 0}], list(zip(mates, keys, strict=True))


def _copy(source: str, key: str) -> None:
    """Copy an object into `raw/` within S3, once; raise `InputError` when it is not there."""
    s3, bucket = aws.client("s3"), settings().bucket
    where = urlparse(source)
    origin = {"Bucket": where.netloc, "Key": where.path.lstrip("/")}
    if (origin["Bucket"], origin["Key"]) == (bucket, key):
        return
    try:
        size = s3.head_object(**origin)["ContentLength"]
        if size == 0:
            raise InputError(f"{source} is empty", "upload the reads again")
        if _size(s3, bucket, key) != size:
            s3.copy(origin, bucket, key)  # in parts when it is over 5 GB
            log.info("%s copied to %s", source, uri(bucket, key))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        raise InputError(
            f"{source} cannot be read: {code}", "check the address and rights"
        ) from error


def _size(s3: Any, bucket: str, key: str) -> int:
    try:
        return int(s3.head_object(Bucket=bucket, Key=key)["ContentLength"])
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return -1
        raise
