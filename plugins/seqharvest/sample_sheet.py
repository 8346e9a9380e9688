"""A workflow's sample sheet: read, checked against its JSON schema row by row, given as a dict."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

from seqharvest.errors import InputError

COLUMNS = ("sample", "layout", "runs", "strandedness")


class Sample(NamedTuple):
    """One row of a sheet; `strandedness` is empty before quality control has measured it."""

    sample: str
    layout: str  # paired or single
    runs: tuple[str, ...]
    strandedness: str  # forward, reverse, unstranded or empty

    @property
    def paired(self) -> bool:
        """Whether the sample's runs have a second mate."""
        return self.layout == "paired"

    @property
    def mates(self) -> tuple[int, ...]:
        """The mate numbers its FASTQ files end with."""
        return (1, 2) if self.paired else (1,)


def read(path: Path | str, schema: dict[str, Any] | None = None) -> dict[str, Sample]:
    """Read a tab-separated sheet into samples by id.

    With a JSON schema each row is checked; without (a worker, whose head has checked) it is taken
    as it is. Raises `InputError` naming file, row (the header is row 1) and column.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.reader(handle, delimiter="\t")
            header = next(reader, [])
            # Surplus fields are dropped, absent ones empty; empty lines are nothing.
            rows = [(row + [""] * len(header))[: len(header)] for row in reader if row]
    except OSError as error:
        raise InputError(f"sample sheet {path} cannot be read: {error.strerror}") from error
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InputError(
            f"sample sheet {path} row 1 has no column {', '.join(missing)}",
            f"give the tab-separated columns {', '.join(COLUMNS)}",
        )
    if schema is not None:
        _check(path, [dict(zip(header, row, strict=True)) for row in rows], schema)
    columns = [header.index(column) for column in COLUMNS]
    samples: dict[str, Sample] = {}
    for number, row in enumerate(rows, start=2):
        sample = _sample(*(row[column] for column in columns))
        if sample.sample in samples:
            raise InputError(
                f"sample sheet {path} row {number}, column sample: "
                f"{sample.sample!r} is in an earlier row too",
                "give all runs of a sample in one row, joined by commas",
            )
        samples[sample.sample] = sample
    return samples


def _sample(sample: str, layout: str, runs: str, strandedness: str) -> Sample:
    return Sample(sample, layout, tuple(run for run in runs.split(",") if run), strandedness)


def _check(path: Path, rows: list[dict[str, str]], schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator  # only the head validates; workers start light

    validator = Draft202012Validator(schema)
    if not rows:
        raise InputError(f"sample sheet {path} has no samples", "give at least one row")
    for number, row in enumerate(rows, start=2):
        error = next(iter(validator.iter_errors(row)), None)
        if error is not None:
            column = str(error.path[0]) if error.path else "?"
            remedy = str(error.schema.get("description", "")) if error.schema else ""
            raise InputError(
                f"sample sheet {path} row {number}, column {column}: {error.message}", remedy
            )
