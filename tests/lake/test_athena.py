"""Athena's answers come back typed and whole, its refusals with reason and SQL."""

from __future__ import annotations

from typing import Any

import pytest

from seqharvest.lake import athena


def test_values_have_their_column_types_and_null_is_none(aws: Any) -> None:
    row = athena.query(
        "SELECT 7 AS i, CAST(2.5 AS DOUBLE) AS d, true AS yes, false AS no, 'x' AS s, "
        "CAST(NULL AS BIGINT) AS nothing, '' AS empty"
    )
    assert row == [
        {"i": 7, "d": 2.5, "yes": True, "no": False, "s": "x", "nothing": None, "empty": ""}
    ]


def test_results_longer_than_a_page_are_whole(aws: Any) -> None:
    result = athena.run("SELECT n FROM (SELECT unnest(range(2500)) AS n) AS t ORDER BY n")
    assert [row["n"] for row in result.rows] == list(range(2500))


def test_a_failed_query_tells_athenas_reason_and_the_sql(aws: Any) -> None:
    with pytest.raises(athena.QueryError, match=r"(?s)failed: .*nonsense.*\nSELECT nonsense"):
        athena.query("SELECT nonsense FROM (SELECT 1 AS one) AS t")


def test_a_query_out_of_time_says_so(aws: Any) -> None:
    with pytest.raises(athena.QueryError, match="is queued after 0 s\nSELECT 1"):
        athena.query("SELECT 1", timeout_seconds=0)


def test_the_command_line_prints_a_table_or_one_error(
    aws: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert athena.main(["SELECT 'a' AS name, 12 AS n"]) == 0
    assert capsys.readouterr().out == "name   n\n----  --\na     12\n"
    assert athena.main(["SELECT nonsense"]) == 1
    assert capsys.readouterr().err.startswith("error: Athena query")


def test_a_table_without_rows_shows_its_columns() -> None:
    assert athena.text_table(("gene", "tpm"), []) == "gene  tpm\n----  ---"
