"""SQL on the lake through Athena: `python -m seqharvest.lake.athena "SELECT …"` prints a table."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from seqharvest.aws import client
from seqharvest.errors import SeqharvestError
from seqharvest.layout import uri
from seqharvest.settings import settings

log = logging.getLogger(__name__)

#: Athena's own limit for a SELECT is 30 minutes; none of our queries should come near.
TIMEOUT_SECONDS = 600.0
_FIRST_POLL_SECONDS = 0.02
_LAST_POLL_SECONDS = 2.0


class QueryError(SeqharvestError):
    """Athena refused or failed a query; the message has its reason and the SQL."""


@dataclass(frozen=True)
class Result:
    """Rows of a query, its columns in order, and the bytes Athena read for it."""

    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    bytes_scanned: int


def query(
    sql: str, *, database: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS
) -> list[dict[str, Any]]:
    """Run a query and return its rows; raises `QueryError`."""
    return run(sql, database=database, timeout_seconds=timeout_seconds).rows


def run(
    sql: str,
    *,
    database: str | None = None,
    timeout_seconds: float = TIMEOUT_SECONDS,
    athena: Any = None,
) -> Result:
    """Run a query and return its result; raises `QueryError` with Athena's reason and the SQL.

    A query that is still running when this is interrupted or out of time gets stopped.
    """
    athena = athena or client("athena")
    try:
        query_id = _start(athena, sql, database or settings().database)
        execution = _finished(athena, query_id, sql, timeout_seconds)
        columns, rows = _rows(athena, query_id, execution)
    except ClientError as error:
        raise QueryError(f"Athena: {error}\n{sql}", "check the workgroup and the query") from error
    scanned = execution.get("Statistics", {}).get("DataScannedInBytes", 0)
    return Result(columns, rows, scanned)


def text_table(columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> str:
    """Lay rows out as text: numbers to the right, one line per row, columns two spaces apart."""
    names = list(columns)
    values = [[row.get(name) for name in names] for row in rows]
    right = [_is_numeric(column) for column in zip(*values, strict=True)] or [False] * len(names)
    cells = [names, *([_shown(value) for value in line] for line in values)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(names))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in cells
    )


def _start(athena: Any, sql: str, database: str) -> str:
    knobs = settings()
    return athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": database},
        WorkGroup=knobs.athena_workgroup,
        # A workgroup that enforces its own place for results overrides this.
        ResultConfiguration={"OutputLocation": uri(knobs.bucket, "athena-results/")},
    )["QueryExecutionId"]


def _finished(athena: Any, query_id: str, sql: str, timeout_seconds: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_seconds
    pause = _FIRST_POLL_SECONDS
    state = "QUEUED"
    try:
        while time.monotonic() < deadline:
            execution = athena.get_query_execution(QueryExecutionId=query_id)["QueryExecution"]
            state = execution["Status"]["State"]
            if state == "SUCCEEDED":
                return execution
            if state in ("FAILED", "CANCELLED"):
                reason = execution["Status"].get("StateChangeReason", "no reason given")
                raise QueryError(f"Athena query {query_id} {state.lower()}: {reason}\n{sql}")
            time.sleep(pause)
            pause = min(pause * 1.6, _LAST_POLL_SECONDS)
        raise QueryError(
            f"Athena query {query_id} is {state.lower()} after {timeout_seconds:.0f} s\n{sql}",
            "name release and project in its WHERE, or ask the workgroup's owner about limits",
        )
    finally:
        if state in ("QUEUED", "RUNNING"):
            athena.stop_query_execution(QueryExecutionId=query_id)


def _rows(
    athena: Any, query_id: str, execution: dict[str, Any]
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    columns: list[tuple[str, Callable[[str], Any]]] = []
    rows: list[dict[str, Any]] = []
    pages = athena.get_paginator("get_query_results").paginate(QueryExecutionId=query_id)
    for number, page in enumerate(pages):
        result = page["ResultSet"]
        data = result["Rows"]
        if number == 0:
            info = result["ResultSetMetadata"]["ColumnInfo"]
            columns = [(column["Name"], _CONVERT.get(column["Type"], str)) for column in info]
            if execution.get("StatementType") == "DML":
                data = data[1:]  # the header
        for row in data:
            rows.append(
                {
                    name: convert(cell["VarCharValue"]) if "VarCharValue" in cell else None
                    for (name, convert), cell in zip(columns, row["Data"], strict=True)
                }
            )
    return tuple(name for name, _ in columns), rows


def _boolean(text: str) -> bool:
    return text == "true"


#: Athena sends every value as text; dates and nested values stay text.
_CONVERT: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), int),
    **dict.fromkeys(("float", "real", "double", "decimal"), float),
    "boolean": _boolean,
}


def _is_numeric(values: Iterable[Any]) -> bool:
    return all(isinstance(value, int | float | None) for value in values)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"
    return str(value)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code follows from the error's class."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sql")
    parser.add_argument("--database", default=None, help="default: SEQHARVEST_DATABASE")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        result = run(options.sql, database=options.database)
    except SeqharvestError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(text_table(result.columns, result.rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
