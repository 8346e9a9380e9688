"""The Batch tasks of a DAG run, with their plans, from Airflow's database (in its api-server)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from typing import Any

from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from seqharvest.progress.shards import Task

Plans = list[Mapping[str, Any]]


def state_of(session: Session, dag_id: str, run_id: str) -> str | None:
    """Return the state of a DAG run, None when there is no such run."""
    query = select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    state = session.scalar(query)
    return str(state) if state else None


def batch_tasks(
    session: Session, dag_id: str, run_id: str
) -> Iterator[tuple[str, Plans, dict[int, Task]]]:
    """Yield id, plans and instances by map index of each task that carries out plans, in order."""
    upstream = _upstream(session, dag_id)
    instances = _instances(session, dag_id, run_id, list(upstream))
    plans = _plans(session, dag_id, run_id)
    for task_id, before in upstream.items():
        of_task = [plan for name in sorted(before) for plan in plans.get(name, [])]
        yield task_id, of_task, instances.get(task_id, {})


def _upstream(session: Session, dag_id: str) -> dict[str, set[str]]:
    """Return the tasks whose operator takes a plan, in order, with what is directly upstream."""
    dag = SerializedDagModel.get_dag(dag_id, session=session)
    tasks = dag.task_dict if dag else {}
    upstream = {task_id: set(task.upstream_task_ids) for task_id, task in tasks.items()}
    in_order = TopologicalSorter(upstream).static_order()
    return {name: upstream[name] for name in in_order if "plan" in tasks[name].template_fields}


def _instances(
    session: Session, dag_id: str, run_id: str, task_ids: list[str]
) -> dict[str, dict[int, Task]]:
    query = select(
        TaskInstance.task_id,
        TaskInstance.map_index,
        TaskInstance.state,
        TaskInstance.try_number,
        TaskInstance.start_date,
        TaskInstance.end_date,
    ).where(
        TaskInstance.dag_id == dag_id,
        TaskInstance.run_id == run_id,
        TaskInstance.task_id.in_(task_ids),
    )
    found: dict[str, dict[int, Task]] = {}
    for task_id, map_index, state, tries, start, end in session.execute(query):
        times = (moment.timestamp() if moment else 0.0 for moment in (start, end))
        found.setdefault(task_id, {})[map_index] = Task(state, tries, *times)
    return found


def _plans(session: Session, dag_id: str, run_id: str) -> dict[str, Plans]:
    """Return the plans that tasks returned: one, or a list of them."""
    query = select(XComModel.task_id, XComModel.value).where(
        XComModel.dag_id == dag_id,
        XComModel.run_id == run_id,
        XComModel.key == "return_value",
        XComModel.map_index == -1,
    )
    found: dict[str, Plans] = {}
    for row in session.execute(query):
        value = XComModel.deserialize_value(row)
        plans = value if isinstance(value, list) else [value]
        found[row.task_id] = [
            plan for plan in plans if isinstance(plan, dict) and "manifest" in plan
        ]
    return found
