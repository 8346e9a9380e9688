"""The repository's DAGs, read once."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

DAGS = Path(__file__).resolve().parents[2] / "dags"


@cache
def bag() -> Any:
    """The bag of DAGs."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS))


def task(dag_id: str, task_id: str) -> Any:
    """A copy of a task for a test to change."""
    return copy.copy(bag().dags[dag_id].task_dict[task_id])
