"""Who may decide: whom Airflow lets answer Required Actions, or fewer where a setting says so."""

from __future__ import annotations

from typing import Any

from seqharvest.settings import settings


def named() -> tuple[set[str], set[str]]:
    """Return the users and the roles of SEQHARVEST_REVIEWERS; none of either: no limit of ours."""
    words = {word.strip() for word in settings().reviewers.split(",")} - {""}
    roles = {word.removeprefix("@") for word in words if word.startswith("@")}
    return {word for word in words if not word.startswith("@")}, roles


def may_review(user: Any) -> bool:
    """Whether the setting lets this Airflow user decide; Airflow's permissions come on top."""
    users, roles = named()
    if not users | roles:
        return True
    theirs = {str(user.get_id()), user.get_name()}
    return bool(users & theirs or roles & _roles(user))


def _roles(user: Any) -> set[str]:
    """Return a user's roles: the simple auth manager has one, FAB's a list of objects."""
    many = getattr(user, "roles", None) or [getattr(user, "role", None)]
    return {str(getattr(role, "name", role)) for role in many if role}
