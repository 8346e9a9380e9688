"""Submitters' metadata in the lake: to the letter, in our words, and to filter on."""

from __future__ import annotations

import json

import pytest

from seqharvest.errors import InputError
from seqharvest.lake import athena, load, queries
from tests.lake.study import Study

GIVEN = {
    "ctrl-1": {"Organ": "Whole liver", "gender": "M", "note": 'naïve "T" «B», 5\u2009µM'},
    "treat-1": {"Organ": "Lung", "gender": "F"},
}


@pytest.fixture
def loaded(study: Study) -> Study:
    rows = [
        # As the load's plan writes it: JSON with its letters escaped.
        {
            "sample": name,
            "title": name,
            "layout": "single",
            "runs": "R",
            "metadata": json.dumps(given),
        }
        for name, given in GIVEN.items()
    ]
    load.load(study.manifest(list(GIVEN), samples=rows), study.folder)
    return study


def test_metadata_reaches_the_lake_to_the_letter_and_harmonised(loaded: Study) -> None:
    rows = queries.ask("samples", loaded.project).rows
    assert [(row["sample"], row["tissue"], row["sex"]) for row in rows] == [
        ("ctrl-1", "liver", "male"),
        ("treat-1", "lung", "female"),
    ]
    text = f"SELECT metadata, terms FROM samples WHERE project = '{loaded.project}' ORDER BY sample"
    row = athena.run(text).rows[0]
    assert json.loads(row["metadata"]) == GIVEN["ctrl-1"] and "«B»" in row["metadata"]
    assert row["terms"] == "1"


@pytest.mark.parametrize("name", queries.QUERIES)
def test_every_saved_query_can_be_filtered(loaded: Study, name: str) -> None:
    where = {"tissue": "LIVER", "sex": "male"}
    for project in (loaded.project, ""):
        rows = queries.ask(name, project, limit=500, where=where).rows
        assert not [row for row in rows if row.get("sample") == "treat-1"]
        assert name == "novel_junctions" or [row for row in rows if "ctrl" in str(row)]


def test_a_filter_takes_nothing_but_fields_and_quoted_values(loaded: Study) -> None:
    assert queries.ask("samples", loaded.project, where={"tissue": "x' OR 'a'='a"}).rows == []
    with pytest.raises(InputError, match="no field 'colour' → use one of tissue"):
        queries.sql("samples", where={"colour": "red"})
