"""The named queries answer from a loaded study, and take nothing but ids."""

from __future__ import annotations

import pytest

from seqharvest.errors import InputError
from seqharvest.lake import load, queries
from tests.lake.study import Study


@pytest.fixture
def loaded(study: Study) -> Study:
    study.analysed("ctrl-2", counts=[30, 0, 0, 0], junctions=1)
    study.analysed("treat-2", counts=[1, 40, 0, 0], junctions=3)
    load.load(study.manifest(["ctrl-1", "ctrl-2", "treat-1", "treat-2"]), study.folder)
    return study


def test_each_named_query_answers_for_one_project_and_for_all(loaded: Study) -> None:
    for name in queries.QUERIES:
        one = queries.ask(name, loaded.project)
        assert one.rows, name
        assert {row["project"] for row in one.rows} == {loaded.project}
        assert len(queries.ask(name, limit=500).rows) >= len(one.rows)


def test_the_top_genes_are_ranked_in_each_sample_and_condition(loaded: Study) -> None:
    by_sample = queries.ask("top_genes", loaded.project, limit=1).rows
    assert {row["sample"]: row["gene_name"] for row in by_sample} == {
        "ctrl-1": "gene0",
        "ctrl-2": "gene0",
        "treat-1": "gene1",
        "treat-2": "gene1",
    }
    by_condition = queries.ask("top_genes_by_condition", loaded.project, limit=1).rows
    assert [(row["condition"], row["gene_id"], row["mean_tpm"]) for row in by_condition] == [
        ("ctrl", "G000", 40.0),
        ("treat", "G001", 60.0),
    ]


def test_a_novel_junction_shows_when_two_samples_have_it(loaded: Study) -> None:
    rows = queries.ask("novel_junctions", loaded.project).rows
    assert [
        (row["intron_start"], row["gene_name"], row["condition"], row["samples"], row["reads"])
        for row in rows
    ] == [(101, "gene0", "ctrl", 1, 11), (101, "gene0", "treat", 2, 22)]
    assert {row["all_samples"] for row in rows} == {3}


def test_a_condition_comes_from_the_title_where_metadata_has_none(study: Study) -> None:
    titles = {"ctrl-1": "Control rep1", "treat-1": "KO, bone marrow_2"}
    rows = [
        {"sample": sample, "title": title, "layout": "single", "runs": "R", "metadata": {}}
        for sample, title in titles.items()
    ]
    load.load(study.manifest(list(titles), samples=rows), study.folder)

    answer = queries.ask("samples", study.project).rows
    assert [row["condition"] for row in answer] == ["Control", "KO, bone marrow"]


def test_the_qc_overview_has_metrics_side_by_side(loaded: Study) -> None:
    row = queries.ask("qc", loaded.project).rows[0]
    assert (row["sample"], row["verdict"], row["q30_share"]) == ("ctrl-1", "pass", 0.9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gossip"], "no query 'gossip' → use one of samples"),
        (["qc", "--project", "x' OR 'a'='a"], "project id"),
        (["qc", "--release", "x'--"], "release"),
        (["qc", "--limit", "0"], "limit 0"),
    ],
)
def test_the_command_line_takes_nothing_but_names_and_ids(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert queries.main(arguments) == InputError.exit_code
    assert message in capsys.readouterr().err
