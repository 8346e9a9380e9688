"""Registers Seqharvest with Airflow: the listener that records people's marks, and the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from airflow.plugins_manager import AirflowPlugin

from seqharvest import listeners


async def progress_app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]
) -> None:
    """Serve the Progress page; imported when it is first asked for, not in every task's process."""
    from seqharvest.progress.page import app

    await app(scope, receive, send)


async def review_app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Any]
) -> None:
    """Serve the review page; imported when it is first asked for."""
    from seqharvest.review.page import app

    await app(scope, receive, send)


class SeqharvestPlugin(AirflowPlugin):
    """What Seqharvest adds to Airflow besides its operators."""

    name = "seqharvest"
    listeners: list[Any] = [listeners]  # noqa: RUF012
    fastapi_apps: list[Any] = [  # noqa: RUF012
        {"name": "seqharvest progress", "app": progress_app, "url_prefix": "/seqharvest/progress"},
        {"name": "seqharvest review", "app": review_app, "url_prefix": "/seqharvest/review"},
    ]
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Progress",
            # Relative to the UI's base address: Airflow may be served below a path.
            "href": "seqharvest/progress/page/{DAG_ID}/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "seqharvest-progress",
        },
        {
            "name": "QC review",
            "href": "seqharvest/review/?dag_id={DAG_ID}&run_id={RUN_ID}",
            "destination": "dag_run",
            "url_route": "seqharvest-review",
        },
        {
            "name": "QC review",
            "href": "seqharvest/review/",
            "destination": "nav",
            "url_route": "qc-review",
            "nav_top_level": True,
            # Drawn with the number of projects that wait.
            "icon": "seqharvest/review/icon.svg",
            "icon_dark_mode": "seqharvest/review/icon.svg?ink=light",
        },
    ]
