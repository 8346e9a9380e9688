"""The intake's sensor on a real state index."""

from __future__ import annotations

import time

import pytest
from airflow.sdk.exceptions import TaskDeferred

from seqharvest.registry import Registry
from seqharvest.sensors.new_samples import NewSamplesSensor, as_dag_run
from seqharvest.triggers.new_samples import NewSamplesTrigger
from tests.operators.projects import at_the_gate
from tests.task_run import context, fired, sent_on

pytestmark = pytest.mark.usefixtures("aws")


def test_new_samples_are_seen_while_it_waits_and_their_run_id_is_theirs() -> None:
    trigger = sent_on(NewSamplesTrigger(poll_seconds=0.1, deadline=time.time() + 30))
    registry = Registry()
    registry.register_project("NewA", by="test", source="geo")
    registry.register_sample("NewA", "s1", by="test", layout="single", runs=[])
    work = [row for row in fired(trigger)["projects"] if row["project"] == "NewA"]
    assert [as_dag_run(row) for row in work] == [
        {"trigger_run_id": "NewA__round1", "conf": {"project": "NewA"}}
    ]


def test_a_project_in_the_hands_of_a_run_is_not_dispatched_again() -> None:
    at_the_gate("NewB")
    sensor = NewSamplesSensor(task_id="new_samples")
    try:
        found = sensor.execute(context(sensor))
    except TaskDeferred:
        found = []
    assert "NewB" not in [row["project"] for row in found]
