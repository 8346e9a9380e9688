"""Where the review page is, for logs, messages and the button on the approval task."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from seqharvest.settings import settings

#: Path of the page's app below Airflow's address, and the page's name in Airflow's UI.
PREFIX = "/seqharvest/review"
ROUTE = "qc-review"


def page_of(project: str) -> str:
    """Return the address of a project's page within Airflow's UI."""
    base = settings().review_url.rstrip("/")
    return f"{base}/plugin/{ROUTE}{PREFIX}/?project={quote(project, safe='')}"


class ReviewLink(BaseOperatorLink):
    """The button on the approval task that leads to its project's page."""

    name = "QC review"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Return the address; the project is rendered when the task runs."""
        return page_of(operator.project)
