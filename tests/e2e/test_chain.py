"""The demo's series through the whole chain: real Airflow, Batch, Snakemake, tools and Athena.

The tests run in the order they stand: each goes on from the state the one before left.
"""

from __future__ import annotations

import boto3
import pytest

from local.demo_truth import compare
from local.series import Series
from seqharvest import layout
from seqharvest.lake import athena
from seqharvest.registry import Registry
from seqharvest.settings import settings
from seqharvest.workflows import ANALYSIS, fingerprint
from tests.e2e.conftest import Stack
from tests.e2e.waiting import wait_for_state, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

BAD = "SRX9000007"
STATES = ["fetching", "qc", "awaiting_review", "approved", "analysing", "loaded"]


def project_states(project: str) -> list[str]:
    """States the audit says the project went through, in order."""
    return [e["to"] for e in Registry().events(project) if e.get("to") and not e.get("sample")]


def worker_jobs(stack: Stack) -> set[str]:
    return {job["jobId"] for job in stack.batch_jobs(settings().worker_queue)}


def run_again(stack: Stack, project: str, run_id: str) -> None:
    """Trigger the project's DAG by hand and wait for the gate."""
    stack.airflow.trigger("rnaseq_project", run_id, {"project": project})
    wait_for_state(project, "awaiting_review")


def test_a_swept_series_reaches_the_gate_by_itself(stack: Stack, demo: Series) -> None:
    wait_for_state(demo.accession, "awaiting_review")
    states = {s["sample"]: s["state"] for s in Registry().samples(demo.accession)}
    assert states.pop(BAD) == "qc_failed"
    assert set(states.values()) <= {"qc_passed", "qc_warned"} and len(states) == 6
    [run] = stack.airflow.get("dags/rnaseq_project/dagRuns")["dag_runs"]
    assert run["dag_run_id"] == f"{demo.accession}__round1"


def test_approved_on_the_command_line_it_is_analysed_and_loaded(stack: Stack, demo: Series) -> None:
    done = stack.command("seqharvest.registry", "approve", demo.accession, "--by", "ana")
    assert done.returncode == 0, done.stderr
    wait_for_state(demo.accession, "loaded")
    item = Registry().project(demo.accession)
    assert (item["reviewed_by"], item["review_way"]) == ("ana", "command line")
    assert project_states(demo.accession)[-len(STATES) :] == STATES
    stack.airflow.wait("rnaseq_project", f"{demo.accession}__round1", 60)


def test_the_lake_tells_the_truth(stack: Stack, demo: Series) -> None:
    agreement = compare(demo.folder / "truth", demo.accession, demo.release)
    print(agreement)
    assert agreement.samples == 6
    assert agreement.junctions_missed == []
    assert agreement.junctions_invented == []
    assert agreement.junction_error < 0.05
    assert len(agreement.genes_off) <= 0.02 * agreement.genes_expected, agreement.genes_off
    assert len(agreement.isoforms_off) <= 0.02 * agreement.isoforms_expected, agreement.isoforms_off
    rows = athena.query(
        f"SELECT sample, state FROM samples WHERE project = '{demo.accession}' ORDER BY sample"
    )
    assert BAD not in {row["sample"] for row in rows if row["state"] == "analysed"}


def test_a_second_run_submits_no_worker_and_is_approved_in_dynamodb(
    stack: Stack, demo: Series
) -> None:
    before = worker_jobs(stack)
    run_again(stack, demo.accession, "by-hand-1")
    boto3.client("dynamodb").update_item(
        TableName=settings().table,
        Key={"pk": {"S": demo.accession}, "sk": {"S": "PROJECT"}},
        UpdateExpression="SET review_decision = :d, reviewed_by = :w",
        ExpressionAttributeValues={":d": {"S": "Approved"}, ":w": {"S": "carla"}},
    )
    wait_for_state(demo.accession, "loaded")
    item = Registry().project(demo.accession)
    assert (item["reviewed_by"], item["review_way"]) == ("carla", "dynamodb")
    assert worker_jobs(stack) == before
    stack.airflow.wait("rnaseq_project", "by-hand-1", 60)
    states = {t["task_id"]: t["state"] for t in stack.airflow.tasks("rnaseq_project", "by-hand-1")}
    assert states["analysis.run"] == "skipped" and states["load.run"] == "success"


def test_with_one_output_gone_only_its_sample_runs_after_marking_success(
    stack: Stack, demo: Series
) -> None:
    sample = "SRX9000002"
    f = fingerprint(ANALYSIS, demo.release)
    key = f"{layout.result_prefix('analysis', f, demo.accession, sample)}gene_quant.parquet"
    s3 = boto3.client("s3")
    s3.delete_object(Bucket=settings().bucket, Key=key)
    before = worker_jobs(stack)
    run_again(stack, demo.accession, "by-hand-2")
    wait_until(
        lambda: any(
            t["task_id"] == "approve" and t["state"] == "deferred"
            for t in stack.airflow.tasks("rnaseq_project", "by-hand-2")
        ),
        "the approval task waits",
    )
    stack.airflow.mark("rnaseq_project", "by-hand-2", "approve", "success")
    wait_for_state(demo.accession, "loaded")
    item = Registry().project(demo.accession)
    assert item["reviewed_by"] == "admin" and "mark" in item["review_way"]
    [job] = worker_jobs(stack) - before
    s3.head_object(Bucket=settings().bucket, Key=key)
    described = boto3.client("batch").describe_jobs(jobs=[job])["jobs"][0]
    assert described["status"] == "SUCCEEDED"
    stack.airflow.wait("rnaseq_project", "by-hand-2", 60)


def test_a_rejected_round_ends_without_an_error_and_runs_nothing(
    stack: Stack, demo: Series
) -> None:
    before = worker_jobs(stack)
    run_again(stack, demo.accession, "by-hand-3")
    done = stack.command("seqharvest.registry", "reject", demo.accession, "--by", "ana")
    assert done.returncode == 0, done.stderr
    stack.airflow.wait("rnaseq_project", "by-hand-3", 120)
    assert Registry().project(demo.accession)["state"] == "rejected"
    assert worker_jobs(stack) == before
