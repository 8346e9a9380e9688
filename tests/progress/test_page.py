"""The Progress page of a run, asked for as Airflow's UI asks for it, over its real database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from seqharvest import layout
from seqharvest.registry import Registry, fetching
from seqharvest.settings import settings
from tests.conftest import Aws

DAG, RUN = "rnaseq_project", "manual__2026-11-22T10:00:00+00:00"
ADDRESS = f"/seqharvest/progress/data/{DAG}/manual__2026-11-22T10%3A00%3A00%2B00%3A00"
NOW = datetime.now(UTC)


@pytest.fixture
def run(airflow_app: Any) -> Iterator[Run]:
    """A run of the project DAG, whose tasks are as far as a test says."""
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with create_session() as session:
        dag = SerializedDagModel.get_dag(DAG, session=session)
        assert dag is not None
        dag.create_dagrun(
            run_id=RUN,
            run_after=NOW,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.RUNNING,
            conf={"project": "GSE1"},
            session=session,
        )
        session.commit()
        yield Run(session, dag)
        session.rollback()
        session.delete(session.query(DagRun).filter_by(run_id=RUN).one())


class Run:
    """Says how far the tasks of the run are."""

    def __init__(self, session: Any, dag: Any) -> None:
        self.session = session
        self.dag = dag

    def returned(self, task_id: str, value: Any) -> None:
        """Make a task succeed with a value."""
        from airflow.models.xcom import XComModel

        XComModel.set("return_value", value, dag_id=DAG, task_id=task_id, run_id=RUN)
        self.is_at(task_id, "success")

    def is_at(
        self, task_id: str, state: str | None, map_index: int = -1, minutes: int = 10
    ) -> None:
        """Put a task instance, made if need be, into a state since so many minutes."""
        from airflow.models.taskinstance import TaskInstance

        of_task = self.session.query(TaskInstance).filter_by(run_id=RUN, task_id=task_id)
        instance = of_task.filter_by(map_index=map_index).one_or_none()
        if instance is None:
            first = of_task.first()
            task = self.dag.task_dict[task_id]
            instance = TaskInstance(
                task, dag_version_id=first.dag_version_id, run_id=RUN, map_index=map_index
            )
            self.session.add(instance)
        instance.state, instance.try_number = state, 1
        instance.start_date = NOW - timedelta(minutes=10) if state else None
        instance.end_date = NOW if state in ("success", "failed") else None
        self.session.commit()

    def shards(self, states: list[str | None], samples: int = 250) -> None:
        """Plan QC in shards, and expand its task to them."""
        digests = [f"d{time.monotonic_ns()}x{n}" for n in range(len(states))]
        self.plans = [
            {"manifest": layout.manifest_key("qc", "GSE1", digest), "samples": samples}
            for digest in digests
        ]
        self.returned("qc.plan", self.plans)
        self.expanded(states)

    def expanded(self, states: list[str | None]) -> None:
        """Replace the mapped task by its instances, in these states."""
        from airflow.models.taskinstance import TaskInstance

        for n, state in enumerate(states):
            self.is_at("qc.run", state, n)
        unexpanded = {"run_id": RUN, "task_id": "qc.run", "map_index": -1}
        self.session.query(TaskInstance).filter_by(**unexpanded).delete()
        self.session.commit()

    def records(self, aws: Aws, n: int, **record: Any) -> None:
        """Store a shard's progress record."""
        key = layout.progress_key(*layout.manifest_parts(self.plans[n]["manifest"]))
        record = {"state": "running", "updated": time.time(), "failures": {}, **record}
        put(aws, key, record)

    def outcome(self, aws: Aws, n: int, **outcome: Any) -> None:
        """Store a shard's outcome."""
        put(aws, layout.outcome_key(*layout.manifest_parts(self.plans[n]["manifest"])), outcome)


def put(aws: Aws, key: str, content: Any) -> None:
    aws.client("s3").put_object(
        Bucket=settings().bucket, Key=key, Body=json.dumps(content).encode()
    )


def stages(client: Any) -> dict[str, Any]:
    reply = client.get(ADDRESS)
    assert reply.status_code == 200, reply.text
    return {stage["name"]: stage for stage in reply.json()["stages"]}


@pytest.mark.usefixtures("aws")
def test_a_run_that_has_just_begun_shows_its_stages_in_order(run: Run, as_user: Any) -> None:
    found = stages(as_user("viewer"))
    assert list(found) == ["fetch", "qc", "qc report", "analysis", "load"]
    assert {stage["state"] for stage in found.values()} == {"later"}


def test_shards_are_shown_with_their_counts_and_their_stage_adds_them_up(
    aws: Aws, run: Run, as_user: Any
) -> None:
    run.shards(["success", "deferred", "running", "scheduled"])
    run.records(aws, 0, state="ended", counts={"done": 249, "failed": 1, "total": 250})
    why = {"kind": "user_error", "reason": "damaged", "log": "", "tail": []}
    run.outcome(aws, 0, done=[], failed={"SRX7": why})
    run.records(aws, 1, counts={"done": 100, "running": 20, "total": 250, "eta": 600})
    qc = stages(as_user("viewer"))["qc"]
    assert [shard["state"] for shard in qc["shards"]] == ["done", "running", "running", "waiting"]
    assert qc["shards"][1]["counts"] == {"done": 100, "running": 20, "total": 250}
    assert 590 <= qc["shards"][1]["left"] <= 600
    assert qc["shards"][2]["counts"] == {}, "its head has not counted yet"
    assert qc["counts"] == {"done": 349, "failed": 1, "running": 20, "total": 1000}
    assert qc["failures"] == [{"name": "SRX7", "kind": "user_error", "reason": "damaged"}]
    assert (qc["state"], qc["left"]) == ("running", None), "one head cannot tell yet"


def test_what_waits_for_a_slot_takes_as_long_as_what_is_done(
    aws: Aws, run: Run, as_user: Any
) -> None:
    run.shards(["success", "deferred", "scheduled", None])
    run.records(aws, 1, counts={"done": 1, "total": 250, "eta": 60})
    qc = stages(as_user("viewer"))["qc"]
    assert 55 + 1200 <= qc["left"] <= 60 + 1200  # two more, one after the other, 10 min each


def test_an_earlier_try_s_last_record_is_not_taken_for_news(
    aws: Aws, run: Run, as_user: Any
) -> None:
    run.shards(["deferred"])
    run.records(
        aws, 0, state="ended", counts={"done": 250, "total": 250}, updated=time.time() - 3e3
    )
    (shard,) = stages(as_user("viewer"))["qc"]["shards"]
    assert shard["counts"] == {}


@pytest.mark.usefixtures("aws")
def test_an_unmapped_stage_is_one_shard_and_an_empty_plan_none(run: Run, as_user: Any) -> None:
    plan = {"manifest": layout.manifest_key("fetch", "GSE1", "abc"), "digest": "abc", "runs": 12}
    run.returned("fetch.plan", plan)
    run.is_at("fetch.run", "success")
    run.returned("qc.plan", [{}])
    run.expanded(["success"])
    run.is_at("analysis.run", "skipped")
    found = stages(as_user("viewer"))
    assert found["fetch"]["counts"] == {"total": 12, "done": 12}
    assert found["fetch"]["unit"] == "runs"
    assert (found["qc"]["shards"], found["qc"]["state"]) == ([], "done")
    assert found["analysis"]["state"] == "skipped"


def test_five_hundred_shards_are_told_in_a_moment(aws: Aws, run: Run, as_user: Any) -> None:
    run.shards(["deferred"] * 500)
    for n in range(500):
        run.records(aws, n, counts={"done": 1, "total": 250})
    client = as_user("viewer")
    stages(client)
    started = time.monotonic()
    assert stages(client)["qc"]["counts"]["done"] == 500
    assert time.monotonic() - started < 5


def test_s3_that_does_not_answer_is_said(
    run: Run, as_user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seqharvest.aws import forget_clients

    run.shards(["deferred"])
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget_clients()
    reply = as_user("viewer").get(ADDRESS)
    monkeypatch.undo()
    forget_clients()
    assert (reply.status_code, reply.json()["detail"]) == (
        503,
        "S3 does not answer; the jobs run on.",
    )


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("what", ["data", "page"])
def test_only_who_may_read_the_dag_s_logs_sees_progress(what: str, as_user: Any) -> None:
    address = ADDRESS.replace("/data/", f"/{what}/")
    assert as_user(None, name="").get(address).status_code == 401
    assert as_user(None).get(address).status_code == 403
    assert as_user("viewer").get(address).status_code == 200


def test_the_tab_leads_to_the_page(run: Run, as_user: Any) -> None:
    client = as_user("admin")
    (plugin,) = (
        p for p in client.get("/api/v2/plugins").json()["plugins"] if p["name"] == "seqharvest"
    )
    (view,) = (view for view in plugin["external_views"] if view["name"] == "Progress")
    assert view["destination"] == "dag_run"
    href = view["href"].replace("{DAG_ID}", DAG).replace("{RUN_ID}", ADDRESS.rpartition("/")[2])
    page = client.get(f"/{href}")
    assert page.headers["content-type"].startswith("text/html")
    assert "<title>Progress</title>" in page.text
    assert client.get(ADDRESS + "-no-such-run").status_code == 404


def test_a_fetch_that_runs_shows_the_bytes_that_come(aws: Aws, run: Run, as_user: Any) -> None:
    registry, project = Registry(), "GSE1"
    registry.register_project(project, by="t", source="geo")
    for name in ("SRX81", "SRX82"):
        runs = [{"accession": f"{name}r"}]
        registry.register_sample(project, name, by="t", layout="single", runs=runs)
        registry.move_sample(project, name, "fetching", by="t")
        told = {"phase": "downloading", "source": "sra", "bytes": 10**9, "of": 3 * 10**9}
        fetching.note(project, name, f"{name}r", {**told, "rate": 5 * 10**7, "eta": 40})
    manifest = layout.manifest_key("fetch", project, "d1")
    run.returned("fetch.plan", [{"manifest": manifest, "digest": "d1", "runs": 2}])
    run.is_at("fetch.run", "deferred", 0)
    unexpanded = {"run_id": RUN, "task_id": "fetch.run", "map_index": -1}
    from airflow.models.taskinstance import TaskInstance

    run.session.query(TaskInstance).filter_by(**unexpanded).delete()
    run.session.commit()
    fetch = stages(as_user("viewer"))["fetch"]
    assert fetch["note"] == (
        "2 runs downloading: 2.0 GB of 6.0 GB from sra, 100.0 MB/s, about 40 s left"
    )
