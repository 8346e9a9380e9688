"""Parquet files of the lake: Snappy, sorted, the same bytes for the same rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seqharvest.errors import LoadError
from seqharvest.lake.schemas import Table

#: Small enough that a query for one gene skips most of a file, large enough to compress well.
ROW_GROUP_ROWS = 131_072


def write(table: Table, data: pa.Table, path: Path, row_group_rows: int = ROW_GROUP_ROWS) -> None:
    """Write the rows, sorted and checked against the schema; replaces the file in one step.

    Raises `LoadError` when rows do not fit the schema or two share the key `table.sort`.
    """
    rows = sorted_rows(table, table.conform(data, str(path)))
    unfinished = path.with_name(path.name + ".part")
    with writer(table, unfinished) as sink:
        sink.write_table(rows, row_group_size=row_group_rows)
    unfinished.replace(path)


def read(table: Table, path: Path, origin: str = "") -> pa.Table:
    """Read a file of this table, also one written by an older version of the schema."""
    try:
        with pq.ParquetFile(path) as source:
            data = source.read()
    except (pa.ArrowException, OSError) as error:
        raise LoadError(
            f"{origin or path} is not a readable Parquet file: {error}",
            "delete it and run the sample's workflow again",
        ) from error
    return table.conform(data, origin or str(path))


def writer(table: Table, path: Path) -> pq.ParquetWriter:
    """Open a file for this table: Snappy, dictionaries, statistics, page index."""
    return pq.ParquetWriter(
        path,
        table.arrow,
        compression="snappy",
        use_dictionary=True,
        write_statistics=True,
        write_page_index=True,  # lets a reader skip pages within a row group
        sorting_columns=pq.SortingColumn.from_ordering(
            table.arrow, [(name, "ascending") for name in table.sort]
        ),
    )


def sorted_rows(table: Table, data: pa.Table) -> pa.Table:
    """Sort by the table's key; `LoadError` naming the first key that occurs twice."""
    rows = data.sort_by([(name, "ascending") for name in table.sort]).combine_chunks()
    if rows.num_rows > 1:
        _check_unique(table, rows)
    return rows


def _check_unique(table: Table, rows: pa.Table) -> None:
    same = None
    for name in table.sort:
        values = rows.column(name).combine_chunks()
        equal = pc.equal(values[1:], values[:-1])
        same = equal if same is None else pc.and_(same, equal)
    where = pc.index(same, True).as_py()
    if where >= 0:
        row = rows.slice(where, 1).to_pylist()[0]
        key = ", ".join(f"{name}={row[name]}" for name in table.sort)
        raise LoadError(f"table {table.name} has two rows for {key}", "give each sample once")
