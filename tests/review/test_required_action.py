"""Airflow's Required Actions: our form in Airflow's own tables, answered through its own API."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from seqharvest.registry import Registry
from seqharvest.review import required_action
from seqharvest.settings import settings
from tests.review.gate import at_the_gate

pytestmark = pytest.mark.usefixtures("aws")
DAG = "rnaseq_project"


class Supervisor:
    """A task's supervisor: hands requests to Airflow's execution API, without the wire."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def send(self, msg: Any) -> Any:
        from airflow.api_fastapi.execution_api.datamodels.hitl import HITLDetailRequest
        from airflow.api_fastapi.execution_api.routes import hitl
        from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

        if isinstance(msg, CreateHITLDetailPayload):
            request = HITLDetailRequest.model_validate(msg.model_dump(exclude={"type"}))
            made = hitl.upsert_hitl_detail(msg.ti_id, request, self.session)
        else:
            made = hitl.get_hitl_detail(msg.ti_id, self.session)
        self.session.commit()
        return made


@pytest.fixture
def waiting_task(airflow_app: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The approval task of a run, deferred as it is while it waits."""
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.sdk.execution_time import task_runner
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    run_id = f"run-{uuid.uuid4().hex}"
    with create_session() as session:
        dag = SerializedDagModel.get_dag(DAG, session=session)
        assert dag is not None
        dag.create_dagrun(
            run_id=run_id,
            run_after=datetime.now(UTC),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            conf={"project": "Form"},
            session=session,
        )
        instance = session.query(TaskInstance).filter_by(run_id=run_id, task_id="approve").one()
        instance.state, instance.next_method = "deferred", "execute_complete"
        session.commit()
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", Supervisor(session), raising=False)
        yield instance
        session.rollback()
        session.delete(session.query(DagRun).filter_by(run_id=run_id).one())


def answer(client: Any, instance: Any, option: str, **given: Any) -> Any:
    return client.patch(
        f"/api/v2/dags/{DAG}/dagRuns/{instance.run_id}/taskInstances/approve/-1/hitlDetails",
        json={"chosen_options": [option], "params_input": given},
    )


def test_the_form_is_answered_by_the_signed_in_user(waiting_task: Any, as_user: Any) -> None:
    registry = at_the_gate("Form1")
    assert required_action.ask({"ti": waiting_task}, registry.project("Form1"))
    shown = as_user("viewer").get(f"/api/v2/dags/{DAG}/dagRuns/{waiting_task.run_id}/hitlDetails")
    (form,) = shown.json()["hitl_details"]
    assert form["subject"] == "QC of Form1: 4 pass, 1 warn, 1 fail"
    assert "?project=Form1" in form["body"]
    assert set(form["params"]) == {"comment", "exclude", "include"}
    assert answer(as_user("viewer", name="vera"), waiting_task, "Approve").status_code == 403
    given = {"comment": "fine", "exclude": "Form1.S0002 Form1.S0003", "include": None}
    reply = answer(as_user("user"), waiting_task, "Approve", **given)
    assert reply.status_code == 200, reply.text
    assert answer(as_user("user", name="bob"), waiting_task, "Reject").status_code == 409
    event = required_action.answered_meanwhile({"ti": waiting_task})
    assert event is not None
    item = registry.decide("Form1", **required_action.decision_of(event))
    assert (item["state"], item["reviewed_by"]) == ("approved", "ann")
    assert (item["review_way"], item["review_comment"]) == ("required action", "fine")
    assert item["excluded"] == ["Form1.S0002", "Form1.S0003"]


@pytest.mark.parametrize(("reviewers", "shown"), [("bob", True), ("@op", False)])
def test_the_form_is_for_those_whom_the_setting_names(
    waiting_task: Any,
    as_user: Any,
    monkeypatch: pytest.MonkeyPatch,
    reviewers: str,
    shown: bool,
) -> None:
    monkeypatch.setenv("SEQHARVEST_REVIEWERS", reviewers)
    settings.cache_clear()
    project = f"Form{len(reviewers)}R"
    at_the_gate(project)
    assert required_action.ask({"ti": waiting_task}, Registry().project(project)) == shown
    monkeypatch.undo()
    settings.cache_clear()
    if shown:
        assert answer(as_user("user"), waiting_task, "Approve").status_code == 403
        assert answer(as_user("user", name="bob"), waiting_task, "Approve").status_code == 200
