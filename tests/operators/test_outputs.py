"""The short circuit, on a real listing and a real registry."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

from seqharvest import workflows
from seqharvest.registry import Registry
from tests.dags.bag import task
from tests.operators.projects import at_the_gate, put_outputs
from tests.task_run import context

pytestmark = pytest.mark.usefixtures("aws")


def short_circuit(project: str) -> Any:
    operator = task("rnaseq_project", "missing")
    operator.project = project
    return operator


def test_samples_without_outputs_are_passed_on_as_shards() -> None:
    at_the_gate("OutA").decide("OutA", "approved", by="ann", way="test")
    operator = short_circuit("OutA")
    shards = operator.execute(context(operator))
    assert [shard["samples"] for shard in shards] == [1]
    assert Registry().project("OutA")["state"] == "analysing"


def test_the_analysis_alone_is_skipped_when_nothing_is_missing() -> None:
    at_the_gate("OutB").decide("OutB", "approved", by="ann", way="test")
    put_outputs(workflows.ANALYSIS, "OutB")
    operator = short_circuit("OutB")
    about = context(operator)
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        operator.execute(about)
    assert set(skipped.value.tasks) == {"analysis.run", "analysis.record"}
    assert about["ti"].xcoms["return_value"] == []
    assert Registry().sample("OutB", "s1")["state"] == "analysed"


def test_a_gate_marked_success_without_a_record_still_leaves_one() -> None:
    registry = at_the_gate("OutC")
    operator = short_circuit("OutC")
    operator.execute(context(operator))
    assert registry.project("OutC")["review_way"] == "airflow mark"


def test_a_task_of_an_old_run_does_not_touch_the_project_of_another() -> None:
    registry = at_the_gate("OutD")
    operator = short_circuit("OutD")
    with pytest.raises(AirflowFailException, match="in the hands of run run1, not of old"):
        operator.execute(context(operator, run_id="old"))
    assert registry.project("OutD")["state"] == "awaiting_review"
