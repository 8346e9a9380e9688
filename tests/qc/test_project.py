"""Samples held against each other: synthetic projects whose truth is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from seqharvest.qc import project, sex, verdicts
from seqharvest.qc.project import QuickCounts, compare, judge

LIMITS = verdicts.load().project
GENES = [f"g{i}" for i in range(3_000)]


class Study:
    """A project of two tissues whose samples are alike within each."""

    def __init__(self, of_each: int = 6, reads: int = 40_000) -> None:
        self.random = np.random.default_rng(1)
        base = self.random.lognormal(0, 2, len(GENES))
        tissue = base * self.random.lognormal(0, 1, len(GENES))
        self.counts = QuickCounts()
        self.samples: dict[str, dict[str, Any]] = {}
        self.sketches: dict[str, frozenset[str]] = {}
        self.reads = reads
        for i in range(of_each):
            self.add(f"a{i}", base)
            self.add(f"b{i}", tissue)

    def add(self, name: str, levels: Any, **more: Any) -> None:
        levels = levels * self.random.lognormal(0, 0.1, len(GENES))
        counts = self.random.multinomial(self.reads, levels / levels.sum())
        self.counts.add(name, GENES, counts)
        metrics = {
            "gc_share": self.random.normal(0.48, 0.005),
            "read_length": 100.0,
            "forward_share": 0.05,
        }
        self.samples[name] = {
            "verdict": "pass",
            "reasons": [],
            "metrics": metrics,
            "strandedness": "reverse",
            "layout": "paired",
            **more,
        }
        self.sketches[name] = frozenset(
            f"{x:x}" for x in self.random.integers(0, 1 << 40, 400).tolist()
        )

    def compare(self, recorded: dict[str, dict[str, Any]] | None = None) -> project.Findings:
        return compare(self.samples, self.counts, self.sketches, recorded or {}, LIMITS)


def test_two_tissues_are_structure_and_not_outliers() -> None:
    study = Study()
    recorded = {name: {"tissue": name[0]} for name in study.samples}
    found = study.compare(recorded)
    assert (found.warnings, found.exclude) == ({}, {})
    told = found.comparison
    assert told["compared"] == 12
    assert [(row["property"], row["component"]) for row in told["structure"]] == [("tissue", 1)]
    assert told["structure"][0]["share"] > 0.95
    assert told["distance"]["a0"]["nearest"].startswith("a")
    order = [name[0] for name in told["correlation"]["samples"]]
    assert order in (["a"] * 6 + ["b"] * 6, ["b"] * 6 + ["a"] * 6)
    assert judge(study.samples, [], found, LIMITS) == {"verdict": "pass", "reasons": []}


def test_a_sample_of_another_tissue_is_an_outlier_with_its_number() -> None:
    study = Study()
    study.add("x", study.random.lognormal(0, 2, len(GENES)))
    found = study.compare()
    assert [row["sample"] for row in found.comparison["outliers"]] == ["x"]
    assert list(found.exclude) == ["x"]
    assert "robust deviations beyond" in found.warnings["x"][0]
    assert found.comparison["outliers"][0]["deviations"] > 5
    told = judge(study.samples, ["lost"], found, LIMITS)
    assert told["verdict"] == "warn"
    assert told["reasons"] == [
        "1 sample without QC",
        "1 sample unlike the others by expression",
    ]


def test_the_same_reads_under_two_accessions_are_found_also_when_one_has_more_runs() -> None:
    study = Study()
    half = frozenset(list(study.sketches["a0"])[:200])
    study.sketches["b3"] = half | frozenset(list(study.sketches["b3"])[:200])
    found = study.compare()
    assert found.comparison["duplicates"] == [{"samples": ["a0", "b3"], "share": 0.5}]
    assert list(found.exclude) == ["b3"]
    assert found.warnings["a0"] == ["has 50 % of its reads in common with b3: the same sample?"]


def test_a_library_of_another_strandedness_is_named() -> None:
    study = Study()
    study.samples["a1"]["strandedness"] = "unstranded"
    study.samples["a1"]["metrics"]["forward_share"] = 0.51
    found = study.compare()
    assert found.warnings["a1"] == [
        "unstranded (51 % of fragments on the gene's strand), where 11 of the project's 12 samples "
        "are reverse-stranded: another library preparation?"
    ]


def test_a_metric_far_from_the_others_is_named_with_its_distance() -> None:
    study = Study()
    study.samples["b2"]["metrics"]["gc_share"] = 0.61
    found = study.compare()
    assert list(found.warnings) == ["b2"]
    assert found.warnings["b2"][0].startswith("GC: 61.0 %, where the project's median is 4")


def test_failed_and_empty_samples_are_not_compared_and_many_failures_fail_the_project() -> None:
    study = Study()
    for name in ("a0", "a1", "a2", "a3", "a4", "a5", "b0"):
        study.samples[name]["verdict"] = "fail"
    study.counts.add("b1", GENES[:3], [5, 5, 5])
    found = study.compare()
    assert found.comparison["compared"] == 4
    assert found.comparison["left_out"]["a0"] == "failed by itself"
    assert found.comparison["left_out"]["b1"] == "15 fragments on genes (at least 2,000)"
    told = judge(study.samples, [], found, LIMITS)
    assert told["verdict"] == "fail"
    assert told["reasons"][0].startswith("7 of 12 samples fail")


def test_a_batch_is_told_by_the_property_that_explains_it() -> None:
    study = Study()
    for name, row in study.samples.items():
        row["layout"] = "single" if name.startswith("b") else "paired"
    found = study.compare()
    told = judge(study.samples, [], found, LIMITS)
    assert told["reasons"][0].startswith("layout explains")


@pytest.mark.parametrize("number", [1, 2])
def test_a_project_of_very_few_samples_is_not_compared(number: int) -> None:
    study = Study(of_each=0)
    for i in range(number):
        study.add(f"s{i}", np.ones(len(GENES)))
    found = study.compare()
    assert found.comparison["pca"]["points"] == {}
    assert judge(study.samples, [], found, LIMITS)["verdict"] == "pass"


NAMES = {"1": "XIST", "2": "DDX3Y", "3": "UTY", "4": "ACTB"}


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"1": 12, "4": 900}, "female"),
        ({"2": 4, "3": 2, "4": 900}, "male"),
        ({"1": 12, "2": 6}, "mixed"),
        ({"1": 90, "2": 4}, "female"),  # a few strays
        ({"1": 2, "2": 1, "4": 900}, "unknown"),
    ],
)
def test_sex_is_told_by_the_genes_of_one_sex(counts: dict[str, int], expected: str) -> None:
    found = sex.infer(counts, NAMES)
    assert found is not None and found["sex"] == expected


def test_a_sex_that_is_not_the_recorded_one_warns() -> None:
    study = Study()
    study.samples["a0"]["sex"] = {"sex": "female", "female": 31, "male": 0}
    study.samples["a1"]["sex"] = {"sex": "female", "female": 28, "male": 0}
    found = study.compare({"a0": {"sex": "male"}, "a1": {"sex": "female"}})
    assert dict(found.warnings) == {
        "a0": [
            "recorded as male, but expresses female genes (31 fragments on female, 0 on male "
            "genes): swapped samples?"
        ]
    }
    assert sex.infer({"1": 5}, {"1": "YAL069W"}) is None  # yeast has none
