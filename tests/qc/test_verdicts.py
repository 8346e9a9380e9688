"""Verdicts with the shipped thresholds, on real samples' numbers and by their laws."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.errors import InputError
from seqharvest.qc import verdicts
from seqharvest.qc.verdicts import Verdict

#: SRR6357070 against the whole yeast genome, as measured by the QC workflow.
YEAST: dict[str, float | None] = {
    "reads": 50_000,
    "reads_examined": 50_000,
    "read_length": 101,
    "q30_share": 0.896485,
    "gc_share": 0.413256,
    "n_share": 0.0019,
    "adapter_share": 0.09954,
    "duplication_share": 0.00992,
    "passed_share": 0.93974,
    "unique_share": 0.78646,
    "multi_share": 0.0737,
    "unmapped_short_share": 0.04292,
    "spliced_share": 0.0203,
    "assigned_share": 0.9544,
    "rrna_share": 0.000178,
    "intronic_share": 0.002,
    "intergenic_share": 0.0801,
    "coverage_5_to_3": 0.96,
}
#: What changes when the same reads meet chromosome I only.
CHROMOSOME_I = {"unique_share": 0.0732, "multi_share": 0.0026, "unmapped_short_share": 0.366}

THRESHOLDS = verdicts.load()


def test_yeast_reads_pass_against_the_yeast_genome() -> None:
    judged = THRESHOLDS.judge(YEAST, "yeast")
    assert (judged.verdict, judged.reasons) == (Verdict.PASS, [])


def test_the_same_reads_fail_against_one_chromosome_and_are_told_why() -> None:
    judged = THRESHOLDS.judge({**YEAST, **CHROMOSOME_I}, "chrI")
    assert judged.verdict is Verdict.FAIL
    assert judged.reasons == [
        "7.3 % of reads map uniquely to chrI (fail below 30 %): wrong reference or contamination?"
    ]
    assert judged.by_metric["unique_share"] == "fail"


def test_the_worst_reason_comes_first() -> None:
    judged = THRESHOLDS.judge({**YEAST, "gc_share": 0.7, "q30_share": 0.1}, "yeast")
    assert [reason.split(" (")[1][:4] for reason in judged.reasons] == ["fail", "warn"]


def test_a_required_metric_that_is_missing_fails_and_an_optional_one_does_not() -> None:
    assert THRESHOLDS.judge({**YEAST, "rrna_share": None}, "yeast").verdict is Verdict.PASS
    judged = THRESHOLDS.judge({**YEAST, "unique_share": None}, "yeast")
    assert judged.verdict is Verdict.FAIL
    assert "could not be measured" in judged.reasons[0]


@given(
    metric=st.sampled_from([threshold.metric for threshold in THRESHOLDS.metrics]),
    values=st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)),
)
def test_a_worse_value_never_improves_the_verdict(metric: str, values: tuple[float, float]) -> None:
    threshold = next(t for t in THRESHOLDS.metrics if t.metric == metric)
    low, high = sorted(values)
    verdict_low = THRESHOLDS.judge({**YEAST, metric: low}, "yeast").verdict
    verdict_high = THRESHOLDS.judge({**YEAST, metric: high}, "yeast").verdict
    if threshold.warn_above is None and threshold.fail_above is None:
        assert verdict_low >= verdict_high
    elif threshold.warn_below is None and threshold.fail_below is None:
        assert verdict_high >= verdict_low


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"warn_below": "much"}, "metrics.unique_share.warn_below: 'much' is not of type 'number'"),
        ({"fail_below": 0.9}, "metrics.unique_share: its limits are not in order"),
        ({"source": "so"}, "metrics.unique_share.source: 'so' is too short"),
        ({"worse_below": 1}, "metrics.unique_share: Additional properties are not allowed"),
    ],
)
def test_a_wrong_threshold_is_named(tmp_path: Path, change: dict[str, object], said: str) -> None:
    document = yaml.safe_load(verdicts.default_path().read_text())
    document["metrics"]["unique_share"].update(change)
    path = tmp_path / "thresholds.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(InputError) as caught:
        verdicts.load(path)
    assert said in str(caught.value)


def test_each_threshold_judges_a_metric_that_is_measured() -> None:
    assert {threshold.metric for threshold in THRESHOLDS.metrics} == set(YEAST)


def test_an_assay_has_its_own_limits() -> None:
    degraded = {**YEAST, "coverage_5_to_3": 0.05}
    judged = THRESHOLDS.judge(degraded, "yeast")
    assert judged.verdict is Verdict.WARN
    assert judged.reasons == [
        "coverage of the 5' part of transcripts is 0.05 of the 3' part's (warn below 0.4): "
        "degraded RNA, or a 3' protocol?"
    ]
    assert THRESHOLDS.of_assay("three_prime").judge(degraded, "yeast").verdict is Verdict.PASS
    mammal = THRESHOLDS.of_assay("mammal").judge({**YEAST, "spliced_share": 0.003}, "GRCh38")
    assert (mammal.verdict, mammal.reasons) == (
        Verdict.FAIL,
        ["0.3 % of uniquely mapped reads are spliced (fail below 1 %): DNA sold as RNA?"],
    )


def test_qualities_that_were_not_measured_are_not_judged() -> None:
    lite = {**YEAST, "q30_share": None}
    assert THRESHOLDS.judge(lite, "yeast").verdict is Verdict.FAIL
    judged = THRESHOLDS.judge(lite, "yeast", {"q30_share"})
    assert judged.verdict is Verdict.PASS
    assert "q30_share" not in judged.by_metric


def test_limits_of_an_assay_must_be_of_a_metric(tmp_path: Path) -> None:
    document = yaml.safe_load(verdicts.default_path().read_text())
    document["assays"]["total_rna"]["introns"] = {"warn_above": 1, "source": "of nowhere"}
    path = tmp_path / "thresholds.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(InputError, match=r"assays\.total_rna\.introns: no such metric"):
        verdicts.load(path)
