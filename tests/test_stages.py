"""A project goes through its stages, and each asks for no more than is missing."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from seqharvest import stages
from seqharvest.errors import (
    BatchJobError,
    InputError,
    LoadError,
    StateConflict,
    VerificationError,
)
from seqharvest.layout import (
    outcome_key,
    provenance_key,
    read_key,
    report_prefix,
    result_prefix,
)
from seqharvest.registry import Registry
from seqharvest.settings import settings
from seqharvest.workflows import ANALYSIS, QC, Workflow, fingerprint
from tests.conftest import Aws

_numbers = itertools.count(1)
BY = "dag"


class Lab:
    """A project whose jobs the test itself plays."""

    def __init__(self, aws: Aws, samples: int = 3, source: str = "geo") -> None:
        self.aws, self.registry, self.name = aws, Registry(), f"lab{next(_numbers)}"
        self.registry.register_project(self.name, by=BY, source=source, organism="yeast")
        for n in range(samples):
            self.add(f"s{n}")

    def add(self, sample: str, runs: int = 1, layout: str = "paired") -> None:
        rows = [{"accession": f"{sample}r{n}", "spots": 10} for n in range(runs)]
        self.registry.register_sample(self.name, sample, by=BY, layout=layout, runs=rows)

    def put(self, key: str, content: Any = "x") -> None:
        body = content if isinstance(content, str) else json.dumps(content)
        self.aws.client("s3").put_object(Bucket=self.aws.bucket, Key=key, Body=body.encode())

    def read(self, key: str) -> Any:
        return json.loads(
            self.aws.client("s3").get_object(Bucket=self.aws.bucket, Key=key)["Body"].read()
        )

    def delete(self, key: str) -> None:
        self.aws.client("s3").delete_object(Bucket=self.aws.bucket, Key=key)

    def store(self, sample: str, run: str, layout: str = "paired") -> None:
        for mate in (1, 2) if layout == "paired" else (1,):
            self.put(read_key(self.name, sample, run, mate))
        self.put(provenance_key(self.name, sample, run), {"layout": layout})

    def compute(self, workflow: Workflow, plans: list[dict[str, Any]]) -> list[str]:
        """Write what head jobs of these manifests would; return the samples they ran."""
        ran = []
        for plan in plans:
            manifest = self.read(plan["manifest"])
            for row in manifest["samples"]:
                prefix = result_prefix(
                    workflow.name, manifest["fingerprint"], self.name, row["sample"]
                )
                for output in workflow.outputs:
                    self.put(prefix + output)
                ran.append(row["sample"])
        return ran

    def report(self, **verdicts: str) -> None:
        judged = {
            sample: {
                "verdict": verdict,
                "reasons": [f"because {verdict}"],
                "strandedness": "reverse",
            }
            for sample, verdict in verdicts.items()
        }
        content = {"thresholds_version": "1", "release": "demo-1", "samples": judged}
        self.put(report_prefix(fingerprint(QC, "demo-1"), self.name) + "verdicts.json", content)

    def states(self) -> dict[str, str]:
        return {s["sample"]: s["state"] for s in self.registry.samples(self.name)}

    def fetch(self) -> dict[str, Any]:
        plans = stages.plan_fetch(self.name, BY)
        for accession, sample in self.wanted(plans).items():
            self.store(sample, accession)
        return stages.record_fetch(self.name, plans, BY)

    def wanted(self, plans: list[dict[str, Any]]) -> dict[str, str]:
        """Return the samples of the runs that are to be fetched, by run."""
        rows = [row for plan in plans for row in self.read(plan["manifest"])["runs"]]
        assert len(rows) == sum(plan["runs"] for plan in plans)
        return {row["run"]["accession"]: row["sample"] for row in rows}

    def to_review(self, run_id: str = "r1", **verdicts: str) -> list[str]:
        """Go from open to review; return the samples QC ran for."""
        stages.open_project(self.name, run_id=run_id, by=BY)
        self.fetch()
        ran = self.compute(QC, stages.plan_qc(self.name, BY))
        stages.plan_report(self.name, BY)
        self.report(**verdicts)
        stages.record_qc(self.name, BY)
        return ran

    def to_lake(self) -> list[str]:
        """Go from approval to the lake; return the samples the analysis ran for."""
        ran = self.compute(ANALYSIS, stages.plan_analysis(self.name, BY))
        stages.record_analysis(self.name, BY)
        stages.plan_load(self.name, BY)
        stages.record_load(self.name, BY)
        return ran


@pytest.fixture
def lab(aws: Aws) -> Lab:
    return Lab(aws)


def test_a_project_reaches_the_lake_and_a_second_run_has_nothing_to_do(lab: Lab) -> None:
    assert lab.to_review(s0="pass", s1="warn", s2="fail") == ["s0", "s1", "s2"]
    assert lab.states() == {"s0": "qc_passed", "s1": "qc_warned", "s2": "qc_failed"}
    item = lab.registry.project(lab.name)
    assert item["verdict_counts"] == {"pass": 1, "warn": 1, "fail": 1, "failed": 0}
    lab.registry.decide(lab.name, "approved", by="ann", way="t")
    assert lab.to_lake() == ["s0", "s1"]  # what failed QC costs nothing unless it is included
    assert lab.states() == {"s0": "analysed", "s1": "analysed", "s2": "qc_failed"}
    item = lab.registry.project(lab.name)
    assert (item["state"], item["round"], item.get("run_id")) == ("loaded", 2, None)

    stages.open_project(lab.name, run_id="r1", by=BY)  # the run is cleared from its start
    assert stages.plan_fetch(lab.name, BY) == []
    assert stages.plan_qc(lab.name, BY) == []
    stages.plan_report(lab.name, BY)
    assert stages.record_qc(lab.name, BY)["state"] == "approved"  # same verdicts, same decision
    assert stages.plan_analysis(lab.name, BY) == []
    assert lab.to_lake() == []


def test_deleting_one_output_makes_only_that_sample_run(lab: Lab) -> None:
    lab.to_review(s0="pass", s1="pass", s2="pass")
    lab.registry.decide(lab.name, "approved", by="ann", way="t")
    lab.to_lake()
    made_by = fingerprint(ANALYSIS, "demo-1")
    lab.delete(result_prefix("analysis", made_by, lab.name, "s1") + "quant.sf.gz")
    with pytest.raises(LoadError, match=r"first s1: absent: quant\.sf\.gz"):
        stages.plan_load(lab.name, BY)
    assert lab.compute(ANALYSIS, stages.plan_analysis(lab.name, BY)) == ["s1"]
    lab.delete(result_prefix("qc", fingerprint(QC, "demo-1"), lab.name, "s2") + "fastqc.zip")
    assert lab.compute(QC, stages.plan_qc(lab.name, BY)) == ["s2"]


def test_new_samples_after_loading_are_the_only_ones_that_run(lab: Lab) -> None:
    lab.to_review(s0="pass", s1="pass", s2="pass")
    lab.registry.decide(lab.name, "approved", by="ann", way="t", exclude=["s2"])
    assert lab.to_lake() == ["s0", "s1"]
    lab.add("s3", runs=2)
    assert lab.to_review("r2", s0="pass", s1="pass", s2="pass", s3="pass") == ["s3"]
    assert lab.registry.project(lab.name)["state"] == "awaiting_review"
    lab.registry.decide(lab.name, "approved", by="ann", way="t")
    assert lab.to_lake() == ["s3"]
    assert lab.states()["s2"] == "excluded"


def test_plans_are_the_same_objects_when_a_task_is_repeated(lab: Lab) -> None:
    stages.open_project(lab.name, run_id="r1", by=BY)
    assert stages.plan_fetch(lab.name, BY) == stages.plan_fetch(lab.name, BY)
    lab.fetch()
    once = stages.plan_qc(lab.name, BY)
    assert once == stages.plan_qc(lab.name, BY)
    manifest = lab.read(once[0]["manifest"])
    assert manifest["samples"][0] == {
        "sample": "s0",
        "layout": "paired",
        "runs": ["s0r0"],
        "strandedness": "",
    }
    assert (manifest["target"], manifest["release"], manifest["bucket"]) == (
        "samples",
        "demo-1",
        lab.aws.bucket,
    )


def test_large_projects_are_cut_into_shards(
    lab: Lab, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQHARVEST_SHARD_SIZE", "2")
    settings.cache_clear()
    try:
        stages.open_project(lab.name, run_id="r1", by=BY)
        lab.fetch()
        assert [shard["samples"] for shard in stages.plan_qc(lab.name, BY)] == [2, 1]
    finally:
        monkeypatch.undo()
        settings.cache_clear()


# ---- fetch


def test_a_run_that_was_not_fetched_fails_its_sample_with_the_jobs_reason(lab: Lab) -> None:
    lab.add("two", runs=2)
    stages.open_project(lab.name, run_id="r1", by=BY)
    plans = stages.plan_fetch(lab.name, BY)
    assert [plan["runs"] for plan in plans] == [5]
    lab.store("s0", "s0r0")
    lab.store("two", "twor0")
    lab.put(read_key(lab.name, "s2", "s2r0", 1))  # killed before its provenance
    why = {"sample": "s1", "run": "s1r0", "reason": "md5 differs at ENA"}
    lab.put(outcome_key("fetch", lab.name, f"{plans[0]['digest']}-s1r0"), why)
    assert stages.record_fetch(lab.name, plans, BY) == {"fetched": 1, "failed": 3}
    reasons = {s["sample"]: s.get("reason", "") for s in lab.registry.samples(lab.name)}
    assert reasons["s1"] == "s1r0: md5 differs at ENA"
    assert "twor1: no provenance at raw/project=" in reasons["two"]
    assert "s2r0: no provenance" in reasons["s2"] and reasons["s0"] == ""

    again = stages.plan_fetch(lab.name, BY)  # the task is cleared: only what is missing
    assert list(lab.wanted(again)) == ["s1r0", "s2r0", "twor1"]
    assert lab.fetch() == {"fetched": 3, "failed": 0}


def test_a_paired_run_with_one_mate_makes_a_single_end_sample(lab: Lab) -> None:
    lab.add("mixed", runs=2)
    stages.open_project(lab.name, run_id="r1", by=BY)
    plans = stages.plan_fetch(lab.name, BY)
    lab.store("s0", "s0r0", "single")
    lab.store("s1", "s1r0")
    lab.store("s2", "s2r0")
    lab.delete(read_key(lab.name, "s2", "s2r0", 2))  # lost, though its provenance says paired
    lab.store("mixed", "mixedr0", "single")
    lab.store("mixed", "mixedr1")
    assert stages.record_fetch(lab.name, plans, BY) == {"fetched": 2, "failed": 2}
    samples = {s["sample"]: s for s in lab.registry.samples(lab.name)}
    assert (samples["s0"]["layout"], samples["s1"]["layout"]) == ("single", "paired")
    assert "s2r0_2.fastq.gz" in samples["s2"]["reason"]
    assert "mixedr0 single, mixedr1 paired" in samples["mixed"]["reason"]
    assert "s0" not in lab.wanted(stages.plan_fetch(lab.name, BY)).values()


def test_private_samples_need_no_fetch_but_their_reads(aws: Aws) -> None:
    lab = Lab(aws, 0, source="private")
    lab.add("here", layout="single")
    lab.add("gone")
    lab.put(read_key(lab.name, "here", "herer0", 1))
    lab.put(read_key(lab.name, "gone", "goner0", 1))
    stages.open_project(lab.name, run_id="r1", by=BY)
    plans = stages.plan_fetch(lab.name, BY)
    assert plans == []
    assert lab.states() == {"gone": "failed", "here": "fetched"}
    reason = lab.registry.sample(lab.name, "gone")["reason"]
    assert reason == f"no reads at s3://{aws.bucket}/{read_key(lab.name, 'gone', 'goner0', 2)}"
    assert stages.record_fetch(lab.name, plans, BY) == {"fetched": 0, "failed": 0}
    lab.put(read_key(lab.name, "gone", "goner0", 2))
    stages.plan_fetch(lab.name, BY)
    assert lab.states() == {"gone": "fetched", "here": "fetched"}


def test_a_sample_without_runs_fails_by_itself(lab: Lab) -> None:
    lab.add("none", runs=0)
    stages.open_project(lab.name, run_id="r1", by=BY)
    assert lab.fetch() == {"fetched": 3, "failed": 0}
    assert lab.registry.sample(lab.name, "none")["reason"] == "it has no runs"


def test_opening_needs_samples_and_the_project_to_itself(lab: Lab, aws: Aws) -> None:
    empty = Lab(aws, 0)
    with pytest.raises(InputError, match=f"project {empty.name} has no samples"):
        stages.open_project(empty.name, run_id="r", by=BY)
    assert empty.registry.project(empty.name)["state"] == "registered"
    opened = stages.open_project(lab.name, run_id="r1", by=BY, release="other-2")
    assert opened == {
        "project": lab.name,
        "round": 1,
        "release": "other-2",
        "samples": {"registered": 3},
    }
    with pytest.raises(StateConflict, match="run r1"):
        stages.open_project(lab.name, run_id="r2", by=BY)


def test_what_failed_in_an_earlier_round_waits_for_a_retry(lab: Lab) -> None:
    stages.open_project(lab.name, run_id="r1", by=BY)
    plans = stages.plan_fetch(lab.name, BY)
    stages.record_fetch(lab.name, plans, BY)
    lab.registry.move_project(lab.name, "failed", by=BY, why="nothing fetched")
    lab.registry.retry(lab.name, by="me")
    lab.registry.move_sample(lab.name, "s2", "failed", by=BY, why="x")
    stages.open_project(lab.name, run_id="r2", by=BY)
    assert len(lab.wanted(stages.plan_fetch(lab.name, BY))) == 2
    stages.open_project(lab.name, run_id="r2", by=BY, retry_failed=True)
    assert len(lab.wanted(stages.plan_fetch(lab.name, BY))) == 3


# ---- qc


def test_a_sample_whose_qc_failed_says_why_and_the_rest_go_on(lab: Lab) -> None:
    stages.open_project(lab.name, run_id="r1", by=BY)
    lab.fetch()
    plans = stages.plan_qc(lab.name, BY)
    why = {"kind": "OUT_OF_MEMORY", "reason": "STAR was killed", "log": "logs/x"}
    lab.put(outcome_key("qc", lab.name, plans[0]["digest"]), {"done": [], "failed": {"s1": why}})
    with pytest.raises(BatchJobError, match="no sample of project"):
        stages.plan_report(lab.name, BY)
    assert lab.registry.sample(lab.name, "s0")["reason"].startswith("QC is absent: fastp.json")
    assert lab.registry.sample(lab.name, "s1")["reason"] == (
        "OUT_OF_MEMORY: STAR was killed (log: logs/x)"
    )
    assert lab.compute(QC, stages.plan_qc(lab.name, BY)) == ["s0", "s1", "s2"]
    lab.delete(result_prefix("qc", fingerprint(QC, "demo-1"), lab.name, "s1") + "fastp.json")
    report = stages.plan_report(lab.name, BY)
    assert report["samples"] == 2
    lab.report(s0="pass", s2="pass")
    recorded = stages.record_qc(lab.name, BY)
    assert recorded["counts"] == {"pass": 2, "warn": 0, "fail": 0, "failed": 1}
    assert lab.states() == {"s0": "qc_passed", "s1": "failed", "s2": "qc_passed"}


@pytest.mark.parametrize("damage", [None, "<html>", [], {"samples": {"s0": {"verdict": "ok"}}}])
def test_a_report_that_cannot_be_read_is_named_and_moves_nothing(lab: Lab, damage: Any) -> None:
    stages.open_project(lab.name, run_id="r1", by=BY)
    lab.fetch()
    lab.compute(QC, stages.plan_qc(lab.name, BY))
    if damage is not None:
        lab.put(report_prefix(fingerprint(QC, "demo-1"), lab.name) + "verdicts.json", damage)
    with pytest.raises(VerificationError, match=r"verdicts\.json"):
        stages.record_qc(lab.name, BY)
    assert set(lab.states().values()) == {"fetched"}
    assert lab.registry.project(lab.name)["state"] == "qc"


def test_other_verdicts_make_a_decision_stale(lab: Lab) -> None:
    lab.to_review(s0="pass", s1="pass", s2="pass")
    lab.registry.decide(lab.name, "approved", by="ann", way="t", exclude=["s2"])
    lab.to_lake()
    stages.plan_qc(lab.name, BY)
    lab.report(s0="pass", s1="fail", s2="pass")
    assert stages.record_qc(lab.name, BY)["state"] == "awaiting_review"
    assert lab.states() == {"s0": "analysed", "s1": "qc_failed", "s2": "excluded"}
    assert "ann had approved others" in lab.registry.events(lab.name)[-1]["why"]


# ---- analysis and load


def test_nothing_is_analysed_before_approval_or_after_rejection(lab: Lab) -> None:
    lab.to_review(s0="pass", s1="pass", s2="pass")
    with pytest.raises(StateConflict, match="awaiting_review"):
        stages.plan_analysis(lab.name, BY)
    lab.registry.decide(lab.name, "rejected", by="ann", way="t")
    with pytest.raises(StateConflict, match="rejected"):
        stages.plan_analysis(lab.name, BY)
    with pytest.raises(StateConflict, match="rejected"):
        stages.plan_load(lab.name, BY)


def test_an_exclusion_cut_short_is_completed_by_the_analysis(lab: Lab) -> None:
    lab.to_review(s0="pass", s1="fail", s2="fail")
    item = lab.registry.decide(
        lab.name, "approved", by="a", way="t", exclude=["s0"], include=["s1"]
    )
    lab.registry.move_sample(lab.name, "s0", "qc_passed", by="x")  # as if killed before it
    assert item["excluded"] == ["s0"]
    assert lab.to_lake() == ["s1"]  # named in spite of its verdict
    assert lab.states() == {"s0": "excluded", "s1": "analysed", "s2": "qc_failed"}


def test_a_sample_whose_analysis_failed_leaves_the_others_to_the_lake(lab: Lab) -> None:
    lab.to_review(s0="pass", s1="warn", s2="pass")
    lab.registry.decide(lab.name, "approved", by="ann", way="t")
    with pytest.raises(LoadError, match="no sample of project"):
        stages.plan_load(lab.name, BY)
    lab.compute(ANALYSIS, stages.plan_analysis(lab.name, BY))
    made_by = fingerprint(ANALYSIS, "demo-1")
    lab.put(result_prefix("analysis", made_by, lab.name, "s1") + "junctions.parquet", "")
    assert stages.record_analysis(lab.name, BY) == {"analysed": 2, "failed": 1}
    assert lab.registry.sample(lab.name, "s1")["reason"] == "analysis is empty: junctions.parquet"
    manifest = lab.read(stages.plan_load(lab.name, BY)["manifest"])
    assert [key.split("sample=")[1] for key in manifest["tables"]["gene_quant"]] == [
        "s0/gene_quant.parquet",
        "s2/gene_quant.parquet",
    ]
    assert {row["sample"]: row["state"] for row in manifest["samples"]} == lab.states()
    assert manifest["samples"][0] == {
        "sample": "s0",
        "title": "",
        "organism": "yeast",
        "taxid": None,
        "layout": "paired",
        "runs": "s0r0",
        "spots": 10,
        "source": "geo",
        "state": "analysed",
        "verdict": "pass",
        "metadata": "{}",
        "fingerprint": made_by,
    }


def test_a_cleared_stage_of_a_failed_project_runs_again(lab: Lab) -> None:
    lab.to_review(s0="pass", s1="pass", s2="pass")
    lab.registry.decide(lab.name, "approved", by="ann", way="t")
    stages.plan_analysis(lab.name, BY)
    lab.registry.move_project(lab.name, "failed", by=BY, why="host gone")
    assert lab.to_lake() == ["s0", "s1", "s2"]
    assert lab.registry.project(lab.name)["state"] == "loaded"
