"""The review gate on a real registry: every way to decide, and what a rejection does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped, TaskDeferred

from seqharvest.aws import brief_client
from seqharvest.registry.items import to_item
from seqharvest.settings import settings
from seqharvest.triggers.approval import shared_rounds
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


def answer(option: str, **given: str) -> dict[str, Any]:
    """What Airflow resumes the task with when somebody answers its Required Action."""
    user = {"id": "7", "name": "ann"}
    return {"chosen_options": [option], "params_input": given, "responded_by_user": user}


def test_an_answer_to_the_required_action_is_a_decision() -> None:
    registry = at_the_gate("GateF")
    sensor = gate("GateF")
    seen = registry.project("GateF")["verdicts_hash"]
    event = answer("Approve", comment="fine", exclude="")
    outcome = sensor.execute_complete(context(sensor), event, seen=seen)
    assert (outcome["by"], outcome["way"], outcome["comment"]) == ("ann", "required action", "fine")
    with pytest.raises(DownstreamTasksSkipped):
        at_the_gate("GateG")
        sensor = gate("GateG")
        sensor.execute_complete(context(sensor), answer("Reject"))


@pytest.mark.parametrize(
    ("given", "seen", "why"),
    [({"exclude": "nosuch"}, None, "has no sample nosuch"), ({}, "old", "its verdicts changed")],
)
def test_an_answer_that_cannot_be_taken_is_asked_for_again(
    given: dict[str, str], seen: str | None, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = at_the_gate(f"GateH{seen}")
    sensor = gate(f"GateH{seen}")
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute_complete(context(sensor), answer("Approve", **given), seen=seen)
    assert why in capsys.readouterr().out
    assert deferred.value.kwargs["seen"] == registry.project(f"GateH{seen}")["verdicts_hash"]


def test_an_answer_that_comes_second_follows_the_first() -> None:
    at_the_gate("GateI").decide("GateI", "approved", by="eve", way="command line")
    sensor = gate("GateI")
    assert sensor.execute_complete(context(sensor), answer("Reject"))["by"] == "eve"


def test_a_project_that_waits_long_is_reminded_of_and_waits_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    told = tmp_path / "told"
    specification = {"notifier": "tests.sensors.notes.Notes", "path": str(told)}
    with_knobs(
        monkeypatch, review_notifiers=json.dumps([specification]), review_reminder_hours="1e-6"
    )
    at_the_gate("GateJ")
    sensor = gate("GateJ")
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context(sensor))
    event = fired(sent_on(deferred.value.trigger))
    with pytest.raises(TaskDeferred):
        sensor.execute_complete(context(sensor), event, **deferred.value.kwargs)
    first, second = told.read_text().splitlines()
    assert "GateJ () waits for review" in first
    assert "GateJ () still waits for review" in second


def test_a_policy_approves_what_passes_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with_knobs(monkeypatch, review_policy="all-pass")
    registry = at_the_gate("GateK")
    assert gate("GateK").execute(context(gate("GateK")))["by"] == "policy all-pass 1"
    assert registry.project("GateK")["review_way"] == "policy"


def test_five_hundred_that_wait_ask_five_questions_a_round() -> None:
    registry = at_the_gate("GateL")
    names = [f"Crowd{n}" for n in range(500)]
    waiting = registry.project("GateL")
    for name in names:
        item = to_item({**waiting, "pk": name, "project": name})
        registry.client.put_item(TableName=registry.table, Item=item)
    registry.decide("Crowd499", "rejected", by="eve", way="command line")
    asked: list[str] = []
    client = brief_client("dynamodb")
    client.meta.events.register("before-call", lambda model, **_: asked.append(model.name))

    async def all_of_them() -> Any:
        rounds = shared_rounds(0.5)
        waiting = [asyncio.create_task(rounds.answer(name)) for name in names]
        return [await one for one in waiting]

    outcomes = asyncio.run(all_of_them())
    assert outcomes[:499] == [None] * 499
    assert outcomes[499]["by"] == "eve"
    assert asked == ["BatchGetItem"] * 5


def with_knobs(monkeypatch: pytest.MonkeyPatch, **knobs: str) -> None:
    for name, value in knobs.items():
        monkeypatch.setenv(f"SEQHARVEST_{name.upper()}", value)
    settings.cache_clear()


@pytest.fixture(autouse=True)
def _knobs_as_they_were() -> Iterator[None]:
    yield
    settings.cache_clear()
