"""Airflow's own "Required Actions" as a way to decide: its form, and what was answered.

The stock operators wait in a state of their own. Here one task is decided in five ways: it shows
the form and defers to our trigger; Airflow resumes a deferred task with the answer as its event.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from seqharvest.review import reviewers
from seqharvest.review.links import page_of

log = logging.getLogger(__name__)

WAY = "required action"
APPROVE, REJECT = "Approve", "Reject"


def ask(context: Any, item: Mapping[str, Any]) -> bool:
    """Put the form among Airflow's Required Actions; False where that is not possible.

    `airflow.sdk.execution_time.hitl` is not Airflow's public interface, and Airflow before 3.1
    has none: without it, four ways are left.
    """
    users, roles = reviewers.named()
    if roles:  # Airflow can only be told users: a form for anybody would go round the setting
        log.info("no Required Action: SEQHARVEST_REVIEWERS names roles; decide on the page")
        return False
    try:
        from airflow.sdk.execution_time.hitl import HITLUser, upsert_hitl_detail

        upsert_hitl_detail(
            ti_id=context["ti"].id,
            options=[APPROVE, REJECT],
            subject=f"QC of {item['project']}: {_counts(item)}",
            body=_body(item),
            params=_fields(),
            assigned_users=[HITLUser(id=user, name=user) for user in sorted(users)],
        )
    except Exception as error:
        log.warning("no Required Action is shown, the other ways remain: %s", error)
        return False
    return True


def answered_meanwhile(context: Any) -> dict[str, Any] | None:
    """Return an answer that came while the task was not deferred: Airflow keeps it to itself."""
    try:
        from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail

        detail = get_hitl_detail_content_detail(ti_id=context["ti"].id)
    except Exception as error:
        log.warning("cannot look for an answer to the Required Action: %s", error)
        return None
    if not detail.response_received or not detail.chosen_options:
        return None
    user = detail.responded_by_user
    return {
        "chosen_options": list(detail.chosen_options),
        "params_input": detail.params_input or {},
        "responded_by_user": {"id": user.id, "name": user.name} if user else None,
    }


def decision_of(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer as arguments of `Registry.decide`."""
    given = event.get("params_input") or {}
    user = event.get("responded_by_user") or {}
    return {
        "decision": "approved" if APPROVE in event["chosen_options"] else "rejected",
        "by": str(user.get("name") or user.get("id") or "airflow"),
        "way": WAY,
        "comment": str(given.get("comment") or ""),
        "exclude": str(given.get("exclude") or "").replace(",", " ").split(),
        "include": str(given.get("include") or "").replace(",", " ").split(),
    }


def _counts(item: Mapping[str, Any]) -> str:
    counts = item.get("verdict_counts") or {}
    return ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n) or "no verdicts"


def _body(item: Mapping[str, Any]) -> str:
    return (
        f"**[Open the review page]({page_of(item['project'])})** for every sample's verdict, its"
        " reasons and the MultiQC report.\n\nApprove: samples that failed QC stay out unless you"
        " include them. Reject: nothing is analysed."
    )


def _fields() -> dict[str, Any]:
    from airflow.sdk import Param

    several = "Sample ids, separated by commas or spaces."
    fields = {
        "comment": Param("", type=["null", "string"], title="Comment"),
        "exclude": Param("", type=["null", "string"], title="Exclude", description=several),
        "include": Param(
            "", type=["null", "string"], title="Include despite QC", description=several
        ),
    }
    return {name: field.serialize() for name, field in fields.items()}
