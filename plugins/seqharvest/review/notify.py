"""Tells people that a project waits, through whatever Airflow notifiers the deployment names."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from seqharvest.review.links import page_of
from seqharvest.settings import settings

log = logging.getLogger(__name__)


def configured() -> bool:
    """Whether there is anybody to tell."""
    return bool(settings().review_notifiers.strip())


def tell(context: Any, item: Mapping[str, Any], *, reminder: bool = False) -> None:
    """Send one message through each notifier of SEQHARVEST_REVIEW_NOTIFIERS.

    That is JSON, `[{"notifier": "<class>", "<argument>": …}]`; templated arguments may use
    `{{ review.subject }}`, `.text`, `.project`, `.url` and `.reminder`. A message that cannot be
    sent is logged: the gate matters more.
    """
    if not configured():
        return
    project, url = item["project"], page_of(item["project"])
    since = str(item.get("state_since", ""))[:16].replace("T", " ")
    still = "still waits" if reminder else "waits"
    subject = f"Seqharvest: {project} {still} for review"
    text = f"{project} ({item.get('title', '')}) {still} for review since {since} UTC: {url}"
    about = {"project": project, "url": url, "subject": subject, "text": text, "reminder": reminder}
    try:
        specifications = json.loads(settings().review_notifiers)
    except ValueError as error:
        log.error("SEQHARVEST_REVIEW_NOTIFIERS is not JSON, nobody is told: %s", error)
        return
    for specification in specifications:
        _send(dict(specification), {**context, "review": about})


def _send(specification: dict[str, Any], context: dict[str, Any]) -> None:
    name = specification.pop("notifier", "")
    try:
        from airflow.sdk.module_loading import import_string
    except ImportError:  # before 3.2
        from airflow.utils.module_loading import import_string
    try:
        import_string(name)(**specification)(context)
    except Exception as error:
        log.warning("%s could not tell of the review: %s", name or "a notifier", error)
