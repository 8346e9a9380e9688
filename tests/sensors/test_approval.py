"""The review gate on a real registry: every way to decide, and what a rejection does."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped, TaskDeferred

from seqharvest.settings import settings
from tests.dags.bag import task
from tests.operators.projects import at_the_gate
from tests.task_run import context, fired, sent_on

pytestmark = pytest.mark.usefixtures("aws")


def gate(project: str) -> Any:
    sensor = task("rnaseq_project", "approve")
    sensor.project = project
    sensor.poll_seconds = 0.1
    return sensor


def test_it_says_what_it_waits_for_and_how_to_decide(capsys: pytest.CaptureFixture[str]) -> None:
    at_the_gate("GateA")
    sensor = gate("GateA")
    with pytest.raises(TaskDeferred):
        sensor.execute(context(sensor))
    said = capsys.readouterr().out
    for words in (
        "/report/multiqc_report.html",
        "verdicts.json",
        "approve|reject GateA",
        "pk=GateA",
    ):
        assert words in said


def test_a_decision_typed_into_dynamodb_is_adopted_while_it_waits() -> None:
    registry = at_the_gate("GateB")
    sensor = gate("GateB")
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context(sensor))
    boto3.client("dynamodb").update_item(
        TableName=settings().table,
        Key={"pk": {"S": "GateB"}, "sk": {"S": "PROJECT"}},
        UpdateExpression="SET review_decision = :d, reviewed_by = :b",
        ExpressionAttributeValues={":d": {"S": "Approve"}, ":b": {"S": "bob"}},
    )
    outcome = sensor.execute_complete(context(sensor), fired(sent_on(deferred.value.trigger)))
    assert (outcome["by"], outcome["way"]) == ("bob", "dynamodb")
    assert registry.project("GateB")["state"] == "approved"


def test_a_decision_that_is_there_already_needs_no_waiting() -> None:
    at_the_gate("GateC").decide("GateC", "approved", by="ann", way="command line")
    assert gate("GateC").execute(context(gate("GateC")))["by"] == "ann"


def test_a_rejection_skips_what_follows_and_is_not_an_error() -> None:
    at_the_gate("GateD").decide("GateD", "rejected", by="eve", way="command line")
    sensor = gate("GateD")
    about = context(sensor)
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        sensor.execute(about)
    assert skipped.value.tasks == ["missing"]
    assert about["ti"].xcoms["return_value"]["decision"] == "rejected"


def test_a_project_that_is_not_at_the_gate_fails_clearly() -> None:
    at_the_gate("GateE").move_project("GateE", "qc", by="test")
    sensor = gate("GateE")
    with pytest.raises(AirflowFailException, match="does not await review, it is qc"):
        sensor.execute(context(sensor))
