"""The Progress tab of a DAG run in Airflow: a page, and the JSON that it asks for by itself."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse

from seqharvest.progress.runs import batch_tasks, state_of
from seqharvest.progress.shards import stage_of

log = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page.html")
#: The failures it shows are lines of logs.
READERS_OF_LOGS = [Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS))]

app = FastAPI(title="Seqharvest progress", openapi_url=None, dependencies=READERS_OF_LOGS)


@app.get("/page/{dag_id}/{run_id:path}")
def page(dag_id: str, run_id: str) -> FileResponse:
    """Return the page; it finds its run in its own address."""
    return FileResponse(PAGE, media_type="text/html", headers={"Cache-Control": "no-cache"})


@app.get("/data/{dag_id}/{run_id:path}")
def data(dag_id: str, run_id: str, session: SessionDep) -> dict[str, Any]:
    """Return the run's state and its stages, in order."""
    state = state_of(session, dag_id, run_id)
    if state is None:
        raise HTTPException(404, f"DAG {dag_id} has no run {run_id}")
    tasks = list(batch_tasks(session, dag_id, run_id))
    try:
        stages = [asdict(stage_of(*task)) for task in tasks]
    except (ClientError, BotoCoreError) as error:
        log.warning("progress of %s %s cannot be read: %s", dag_id, run_id, error)
        raise HTTPException(503, "S3 does not answer; the jobs run on.") from error
    return {"state": state, "stages": stages}
