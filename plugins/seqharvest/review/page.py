"""The review page's app in Airflow: its files, the JSON that it asks for, and decisions."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.dagrun import DagRun
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import select

from seqharvest.errors import InputError, StateConflict
from seqharvest.listeners import DAG_ID
from seqharvest.review import projects
from seqharvest.review.reviewers import may_review

log = logging.getLogger(__name__)

WAY = "review page"
FILES = Path(__file__).with_name("static")
FRESH_SECONDS = 5  # the number in the navigation is asked for with every page of Airflow's
MOST_SHOWN = 99
#: Scripts and styles are ours alone; only the report, from S3, is somebody else's, in its frame.
POLICY = (
    "default-src 'self'; frame-src https: http:; img-src 'self' data:; object-src 'none';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

#: Reasons are lines of logs, in part.
READERS = Depends(requires_access_dag("GET", DagAccessEntity.TASK_LOGS, DAG_ID))
#: Airflow's own right to answer for a task.
DECIDERS = Depends(requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, DAG_ID))

app = FastAPI(title="Seqharvest QC review", openapi_url=None, dependencies=[READERS])


@app.middleware("http")
async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let the page run nothing but its own files, and be framed by Airflow alone."""
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    return response


@app.exception_handler(InputError)
def wrong(_: Request, error: InputError) -> JSONResponse:
    """Tell what was wrong with a request."""
    return JSONResponse({"detail": str(error)}, 404 if "not registered" in error.what else 400)


@app.exception_handler(StateConflict)
def too_late(_: Request, error: StateConflict) -> JSONResponse:
    """Tell who was first."""
    return JSONResponse({"detail": str(error)}, 409)


@app.exception_handler(BotoCoreError)
@app.exception_handler(ClientError)
def away(_: Request, error: Exception) -> JSONResponse:
    """Tell that AWS does not answer."""
    log.warning("the review page cannot ask AWS: %s", error)
    return JSONResponse({"detail": "AWS does not answer; please try again in a minute."}, 503)


@app.get("/")
def page() -> FileResponse:
    """Return the page; it finds its project in its own address."""
    return _file("page.html", "text/html")


@app.get("/page.css")
def style() -> FileResponse:
    """Return its style."""
    return _file("page.css", "text/css")


@app.get("/page.js")
def script() -> FileResponse:
    """Return its script."""
    return _file("page.js", "text/javascript")


@app.get("/plots.js")
def plots() -> FileResponse:
    """Return the script of its plots."""
    return _file("plots.js", "text/javascript")


@app.get("/icon.svg")
def icon(ink: Literal["dark", "light"] = "dark") -> Response:
    """Return the navigation's icon, with the number of projects that wait."""
    try:
        count = _waiting(int(time.time() // FRESH_SECONDS))
    except (BotoCoreError, ClientError):
        count = 0  # the navigation is no place for trouble
    return Response(_icon(count, ink), media_type="image/svg+xml")


@app.get("/api/projects")
def all_projects() -> dict[str, Any]:
    """Return the projects at the gate or past it."""
    return {"projects": projects.listed()}


@app.get("/api/projects/{project}")
def one_project(project: str, user: GetUserDep) -> dict[str, Any]:
    """Return all there is to know about a project, and whether this user may decide."""
    return {**projects.described(project), "user": user.get_name(), "may_decide": _may(user)}


@app.get("/api/projects/{project}/report")
def report(project: str) -> dict[str, Any]:
    """Return an address of the MultiQC report that is good for some minutes."""
    address = projects.report_address(project)
    if not address:
        raise HTTPException(404, f"Project {project} has no report yet.")
    return {"url": address, "seconds": projects.REPORT_SECONDS}


@app.get("/api/run")
def project_of_run(dag_id: str, run_id: str, session: SessionDep) -> dict[str, Any]:
    """Return the project of a DAG run."""
    query = select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    conf = session.scalar(query) if dag_id == DAG_ID else None
    if not conf or not conf.get("project"):
        raise HTTPException(404, "This run has no project to review.")
    return {"project": conf["project"]}


class Decision(BaseModel, extra="forbid"):
    """A decision as the page sends it."""

    decision: Literal["approved", "rejected"]
    seen: str = Field(max_length=64)
    comment: str = Field("", max_length=4000)
    exclude: list[str] = Field([], max_length=100_000)
    include: list[str] = Field([], max_length=100_000)


def from_our_page(
    x_seqharvest_review: Annotated[str, Header()] = "",
    content_type: Annotated[str, Header()] = "",
) -> None:
    """Refuse what another site could make a browser send: a form, or a fetch without preflight."""
    if x_seqharvest_review != "1" or content_type.partition(";")[0] != "application/json":
        raise HTTPException(
            403, "Send application/json with the header X-Seqharvest-Review: 1 to decide."
        )


@app.post("/api/projects/{project}/decision", dependencies=[Depends(from_our_page), DECIDERS])
def decide(project: str, given: Decision, user: GetUserDep) -> dict[str, Any]:
    """Record the signed-in user's decision; 409 tells who was first."""
    if not may_review(user):
        raise HTTPException(403, "SEQHARVEST_REVIEWERS does not name you.")
    item = projects.registry().decide(
        project,
        given.decision,
        by=user.get_name(),
        way=WAY,
        comment=given.comment,
        exclude=given.exclude,
        include=given.include,
        seen=given.seen,
    )
    return {"state": item["state"], "by": item["reviewed_by"], "at": item["reviewed_at"]}


def _file(name: str, kind: str) -> FileResponse:
    return FileResponse(FILES / name, media_type=kind, headers={"Cache-Control": "no-cache"})


def _may(user: Any) -> bool:
    allowed = get_auth_manager().is_authorized_dag(
        method="PUT",
        access_entity=DagAccessEntity.HITL_DETAIL,
        details=DagDetails(id=DAG_ID),
        user=user,
    )
    return allowed and may_review(user)


@lru_cache(maxsize=1)
def _waiting(_as_of: int) -> int:
    return projects.waiting()


def _icon(count: int, ink: str) -> str:
    color = "#f1f5f9" if ink == "light" else "#1a202c"
    drawn = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none">'
        f'<path d="M3 14l5 6L14 13" stroke="{color}" stroke-width="2.2" stroke-linecap="round"'
        ' stroke-linejoin="round"/>'
    )
    if count:
        shown = str(count) if count <= MOST_SHOWN else f"{MOST_SHOWN}+"
        drawn += (
            '<circle cx="16.5" cy="7.5" r="7.5" fill="#c2410c"/><text x="16.5" y="11.3" fill="#fff"'
            f' font-family="sans-serif" font-weight="700" font-size="{11 - 2 * (len(shown) - 1)}"'
            f' text-anchor="middle">{shown}</text>'
        )
    return drawn + "</svg>"
