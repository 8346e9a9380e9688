"""Records marks that people make in Airflow's UI: on the review task, they are decisions.

Airflow calls these functions in the api-server when someone marks a task or a run by hand, and
in workers and the scheduler when a task or run ends by itself; only the former concern us.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.listeners import hookimpl

log = logging.getLogger(__name__)

DAG_ID = "rnaseq_project"
SENSOR = "QCApprovalSensor"
WAY = "airflow mark"
#: The audit log's entry is written at the beginning of the request that we are called in.
RECENT = timedelta(minutes=1)
RUN_MARK = "patch_dag_run"
_MARKS = (RUN_MARK, "patch_task_instance", "patch_task_group_instances")


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:
    """A review task marked success is an approval."""
    _record_mark(previous_state, task_instance, "approved")


@hookimpl
def on_task_instance_failed(previous_state: Any, task_instance: Any, error: Any) -> None:
    """A review task marked failed is a rejection."""
    _record_mark(previous_state, task_instance, "rejected")


def _record_mark(previous_state: Any, instance: Any, decision: str) -> None:
    if previous_state is not None or getattr(instance, "operator", "") != SENSOR:
        return  # it ended by itself, or it is another task
    # Airflow logs what a listener raises, without a word to the person: say it usefully here.
    # If this fails, the task after the gate records the approval without a name.
    from seqharvest.errors import SeqharvestError
    from seqharvest.registry import Registry

    project = _project(instance.dag_run)
    event, person = _who(instance, instance.task_id)
    if event == RUN_MARK:  # ending a whole run is no verdict about its samples
        return
    try:
        item = Registry().decide(project, decision, by=person, way=WAY, comment=_note(instance))
    except SeqharvestError as error:
        log.warning("project %s: the mark of %s changed nothing: %s", project, person, error)
    else:
        log.info("project %s: %s by %s (%s)", project, item["state"], person, WAY)


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """A run marked success by hand leaves its project unfinished."""
    _record_ended_run(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """A run marked failed by hand runs no task that could say so in the registry."""
    _record_ended_run(dag_run)


def _record_ended_run(dag_run: Any) -> None:
    if dag_run.dag_id != DAG_ID:
        return
    event, person = _who(dag_run)
    if event != RUN_MARK:
        return  # it ended by itself; its last task has recorded how
    from seqharvest.errors import SeqharvestError
    from seqharvest.registry import Registry

    project, registry = _project(dag_run), Registry()
    try:
        item = registry.project(project)
        if item.get("run_id") == dag_run.run_id and item["state"] != "failed":
            why = f"{person} marked run {dag_run.run_id} {dag_run.state} in Airflow"
            registry.move_project(project, "failed", by=person, why=why)
    except SeqharvestError as error:
        log.warning("project %s: the end of its run is not recorded: %s", project, error)


def _project(dag_run: Any) -> str:
    return str(dag_run.conf["project"])


def _who(marked: Any, task_id: str | None = None) -> tuple[str, str]:
    """Return the audit log's newest mark on a run or one of its tasks, and who made it."""
    from airflow.models.log import Log
    from sqlalchemy import or_, select
    from sqlalchemy.orm import object_session

    session = object_session(marked)
    question = (
        select(Log)
        .where(
            Log.dag_id == marked.dag_id,
            Log.run_id == marked.run_id,
            Log.event.in_(_MARKS),
            or_(Log.task_id == task_id, Log.task_id.is_(None)),
            Log.dttm > datetime.now(UTC) - RECENT,
        )
        .order_by(Log.id.desc())
        .limit(1)
    )
    entry = session.scalars(question).first() if session else None
    if entry is None:  # a bulk mark leaves no entry
        return "", "airflow (by a bulk mark, which Airflow keeps no name for)"
    return str(entry.event), str(entry.owner)


def _note(instance: Any) -> str:
    return str(getattr(instance, "note", None) or "")
