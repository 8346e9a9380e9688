"""The DAGs: they import, quickly, and are wired as the chain needs."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError

from tests.dags.bag import DAGS, bag, task

ALL = ["geo_sweep", "reference_build", "register", "rnaseq_project", "sample_intake"]
HEAVY = ["boto3", "botocore", "pyarrow", "numpy", "snakemake", "multiqc", "polars", "pandas"]
LOOK = f"""
import runpy, sys, json
for name in {ALL!r}:
    runpy.run_path(f"{DAGS}/{{name}}.py")
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""


def test_every_dag_imports_without_an_error() -> None:
    assert bag().import_errors == {}
    assert sorted(bag().dags) == ALL


def test_reading_the_dags_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, "PYTHONPATH": str(DAGS.parent / "plugins")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []


@pytest.mark.parametrize("dag_id", ALL)
def test_a_dag_explains_itself_and_has_owner_links_tags_and_retries(dag_id: str) -> None:
    dag = bag().dags[dag_id]
    assert len(dag.doc_md) > 200
    assert "seqharvest" in dag.tags
    assert set(dag.owner_links) == {"seqharvest"}
    assert all(t.retries >= 2 for t in dag.tasks)  # apache/airflow #72716 wants at least 1
    assert dag.catchup is False


def test_the_chain_goes_through_the_gate_to_one_end() -> None:
    dag = bag().dags["rnaseq_project"]
    assert [t.task_id for t in dag.roots] == ["open"]
    assert [t.task_id for t in dag.leaves] == ["conclude"]
    gate = dag.task_dict["approve"]
    behind = {t.task_id for t in gate.get_flat_relatives(upstream=False)}
    assert {t for t in dag.task_ids if t.startswith(("analysis.", "load."))} <= behind
    assert gate.downstream_task_ids == {"missing"}
    assert dag.max_active_runs >= 200


def test_the_load_runs_after_a_skipped_analysis_but_not_after_a_rejection() -> None:
    load = bag().dags["rnaseq_project"].task_dict["load.plan"]
    assert load.upstream_task_ids == {"missing", "analysis.record"}
    assert load.trigger_rule == "none_failed_min_one_success"


def test_a_failed_job_does_not_keep_a_stage_from_being_recorded() -> None:
    tasks = bag().dags["rnaseq_project"].task_dict
    for name in ("fetch.record", "qc.plan_report", "analysis.record"):
        assert tasks[name].trigger_rule == "all_done_min_one_success"


def test_every_head_job_takes_a_slot_of_the_pool_of_heads() -> None:
    look = """
from tests.dags.bag import bag
for dag in bag().dags.values():
    for task in dag.tasks:
        if task.task_type == "SnakemakeBatchOperator":
            print("head", dag.dag_id, task.task_id, task.pool)
"""
    done = subprocess.run(
        [sys.executable, "-c", look],
        env={
            **os.environ,
            "PYTHONPATH": f"{DAGS.parent / 'plugins'}:{DAGS.parent}",
            "SEQHARVEST_HEAD_POOL": "heads",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    heads = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("head ")]
    assert sorted(heads) == [
        ["reference_build", "build", "heads"],
        ["rnaseq_project", "analysis.run", "heads"],
        ["rnaseq_project", "qc.report", "heads"],
        ["rnaseq_project", "qc.run", "heads"],
    ]


def test_the_intake_starts_each_round_once() -> None:
    dag = bag().dags["sample_intake"]
    start = dag.task_dict["start"].partial_kwargs
    assert (start["logical_date"], start["skip_when_already_exists"]) == (None, True)
    assert dag.max_active_runs == 1


@pytest.mark.parametrize(
    ("task_id", "rendered"), [("open", "GSE1"), ("approve", "GSE1"), ("missing", "GSE1")]
)
def test_tasks_get_their_project_from_the_form(task_id: str, rendered: str) -> None:
    operator = task("rnaseq_project", task_id)
    operator.render_template_fields({"params": {"project": "GSE1"}, "run_id": "GSE1__round1"})
    assert operator.project == rendered
    if task_id == "open":
        assert operator.arguments == {"run_id": "GSE1__round1"}


@pytest.mark.parametrize(
    ("dag_id", "form"),
    [
        ("rnaseq_project", {}),
        ("rnaseq_project", {"project": ""}),
        ("rnaseq_project", {"project": "GSE1", "retry_failed": "maybe"}),
        ("reference_build", {"release": "a/b", "fasta": "x", "gtf": "y"}),
        (
            "reference_build",
            {"release": "r", "fasta": "x", "gtf": "y", "unknown_contigs": "maybe"},
        ),
        ("geo_sweep", {"start": "yesterday"}),
        ("geo_sweep", {"quota": 0}),
    ],
)
def test_a_form_that_is_filled_in_wrongly_is_refused(dag_id: str, form: dict[str, Any]) -> None:
    params = copy.deepcopy(bag().dags[dag_id].params)
    with pytest.raises(ParamValidationError):
        for name, value in form.items():
            params[name] = value
        params.validate()
