"""What the report is told of samples, and which of many it shows."""

from __future__ import annotations

from pathlib import Path

from seqharvest import head
from seqharvest.qc import report, verdicts

RECORDED = {"sex": "male", "tissue": 'so-called "liver"\t\nπ', "taxid": "10090"}


def test_what_is_recorded_reaches_the_report_by_the_heads_sheet(tmp_path: Path) -> None:
    samples = [
        {"sample": "S1", "layout": "single", "runs": ["R1"], "recorded": RECORDED},
        {"sample": "S2", "layout": "paired", "runs": ["R2", "R3"], "recorded": {}},
    ]
    manifest = head.Manifest(
        *("b", "d", "report", "qc", "p", "r", "f", "report"), config={}, samples=samples
    )
    head.prepare(manifest, tmp_path)
    assert report._expected(tmp_path / "samples.tsv") == {"S1": RECORDED, "S2": {}}


def test_a_mammal_is_held_to_what_mammals_show() -> None:
    measured = {"metrics": {"spliced_share": 0.02}, "strandedness": "reverse"}
    judged = [
        report._judge(measured, verdicts.load(), "r", {"taxid": taxid})["by_metric"]
        for taxid in ("4932", "10090")
    ]
    assert [row["spliced_share"] for row in judged] == ["pass", "warn"]


def test_the_page_shows_the_worst_first() -> None:
    samples = {name: {"verdict": word} for name, word in (("a", "pass"), ("b", "warn"))}
    assert report._shown_first({**samples, "z": {"verdict": "fail"}}) == ["z", "b", "a"]
