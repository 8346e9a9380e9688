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

SENSOR = "QCApprovalSensor"
WAY = "airflow mark"
#: The audit log's entry is written at the beginning of the request that we are called in.
RECENT = timedelta(minutes=1)
_MARKS = ("patch_task_instance", "patch_dag_run", "patch_task_group_instances")


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

    project = _project(instance)
    event, person = _who(instance)
    try:
        if event == "patch_dag_run":  # ending a whole run says nothing about its samples
            _record_ended_run(project, instance.run_id, person)
            return
        item = Registry().decide(project, decision, by=person, way=WAY, comment=_note(instance))
    except SeqharvestError as error:
        log.warning("project %s: the mark of %s changed nothing: %s", project, person, error)
    else:
        log.info("project %s: %s by %s (%s)", project, item["state"], person, WAY)


def _record_ended_run(project: str, run_id: str, person: str) -> None:
    from seqharvest.registry import Registry

    registry = Registry()
    if registry.project(project).get("run_id") == run_id:
        why = f"{person} ended the run by a mark in Airflow while the project waited for review"
        registry.move_project(project, "failed", by=person, why=why)


def _project(instance: Any) -> str:
    conf = instance.dag_run.conf or {}
    return str(conf["project"])


def _who(instance: Any) -> tuple[str, str]:
    """Return the audit log's newest mark on this task or its run, and who made it."""
    from airflow.models.log import Log
    from sqlalchemy import or_, select
    from sqlalchemy.orm import object_session

    session = object_session(instance)
    question = (
        select(Log)
        .where(
            Log.dag_id == instance.dag_id,
            Log.run_id == instance.run_id,
            Log.event.in_(_MARKS),
            or_(Log.task_id == instance.task_id, Log.task_id.is_(None)),
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
