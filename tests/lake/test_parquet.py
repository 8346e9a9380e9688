"""Files of the lake keep what was written, whatever it was, also across versions of a schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqharvest.errors import LoadError
from seqharvest.lake import merge, parquet
from seqharvest.lake.schemas import TABLES, Table

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=8),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
}
JUNCTIONS = TABLES["junctions"]
METRICS = TABLES["qc_metrics"]
quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def rows_of(table: Table) -> st.SearchStrategy[list[dict[str, Any]]]:
    def value(column: Any) -> st.SearchStrategy[Any]:
        known = VALUES[column.type]
        return st.none() | known if column.nullable else known

    row = st.fixed_dictionaries({column.name: value(column) for column in table.columns})
    return st.lists(row, max_size=8, unique_by=lambda row: tuple(row[name] for name in table.sort))


def in_order(table: Table, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: tuple(row[name] for name in table.sort))


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
@quick
def test_what_is_written_is_read_in_the_order_of_the_key(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    table = TABLES[name]
    rows = data.draw(rows_of(table))
    path = tmp_path / "x.parquet"

    parquet.write(table, table.from_rows(rows), path)

    assert parquet.read(table, path).to_pylist() == in_order(table, rows)


@given(data=st.data(), files=st.integers(1, 5))
@quick
def test_a_merge_is_the_sorted_concatenation_however_the_rows_are_spread(
    data: st.DataObject, files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "SPOOL_ROWS", 2)
    monkeypatch.setattr(merge, "FAN_IN", 2)
    rows = data.draw(rows_of(JUNCTIONS))
    sources = []
    for number in range(files):
        path = tmp_path / f"{number}.parquet"
        part = JUNCTIONS.from_rows(rows[number::files])
        parquet.write(JUNCTIONS, part, path, row_group_rows=2)
        sources.append(path)

    totals = merge.merge_files(JUNCTIONS, sources, tmp_path / "all.parquet", tmp_path)

    assert parquet.read(JUNCTIONS, tmp_path / "all.parquet").to_pylist() == in_order(
        JUNCTIONS, rows
    )
    assert totals.rows == len(rows)
    assert totals.samples == {row["sample"] for row in rows}


def test_a_merged_file_has_full_row_groups_snappy_and_statistics(tmp_path: Path) -> None:
    sources = []
    for sample in ("a", "b", "c"):
        genes = [{**_metric(sample), "metric": f"m{number:06}"} for number in range(60_000)]
        path = tmp_path / f"{sample}.parquet"
        parquet.write(METRICS, METRICS.from_rows(genes), path, row_group_rows=merge.SPOOL_ROWS)
        sources.append(path)

    merge.merge_files(METRICS, sources, tmp_path / "all.parquet", tmp_path)

    about = pq.ParquetFile(tmp_path / "all.parquet").metadata
    assert [about.row_group(group).num_rows for group in range(2)] == [131_072, 180_000 - 131_072]
    metric = about.row_group(0).column(METRICS.arrow.names.index("metric"))
    assert metric.compression == "SNAPPY"
    assert (metric.statistics.min, metric.statistics.max) == ("m000000", "m043690")


def test_two_rows_with_one_key_are_refused_across_files(tmp_path: Path) -> None:
    sources = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    for path in sources:
        parquet.write(METRICS, METRICS.from_rows([_metric("a")]), path)

    with pytest.raises(LoadError, match="two rows for metric=m, sample=a"):
        merge.merge_files(METRICS, sources, tmp_path / "all.parquet", tmp_path)


def test_a_file_of_an_older_schema_reads_as_nulls_in_new_nullable_columns(tmp_path: Path) -> None:
    path = tmp_path / "old.parquet"
    old = METRICS.from_rows([_metric("a")]).drop_columns(["value"])
    pq.write_table(old, path)

    assert parquet.read(METRICS, path).to_pylist() == [{**_metric("a"), "value": None}]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["verdict"]), "has no column verdict"),
        (lambda t: t.append_column("extra", pa.array([1])), "unknown columns extra"),
        (lambda t: t.set_column(1, "metric", pa.array([None], pa.string())), "metric are missing"),
        (lambda t: t.set_column(2, "value", pa.array(["many"])), "value is not double"),
    ],
)
def test_rows_that_do_not_fit_the_schema_are_refused_by_column(change: Any, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        METRICS.conform(change(METRICS.from_rows([_metric("a")])), "s3://x/y.parquet")


#: The column names and types of every table as first published: only additions are allowed.
PUBLISHED = json.loads((Path(__file__).parent / "schemas-1.json").read_text())


@pytest.mark.parametrize("name", PUBLISHED)
def test_schemas_only_grow(name: str) -> None:
    now = {column.name: column for column in TABLES[name].columns}
    for column, kind in PUBLISHED[name].items():
        assert now[column].type == kind
    for column in set(now) - set(PUBLISHED[name]):
        assert now[column].nullable, f"{name}.{column} is new, so older files lack it"


def _metric(sample: str) -> dict[str, Any]:
    return {"sample": sample, "metric": "m", "value": 1.5, "verdict": "pass", "fingerprint": "f"}
