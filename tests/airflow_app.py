"""Airflow's own application with our plugin, for tests of its pages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import REPO
from tests.dags.bag import bag

#: Who may sign in, with which role; their password is their name.
USERS = {"admin": "admin", "ann": "user", "bob": "user", "vera": "viewer"}


@pytest.fixture(scope="module")
def airflow_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's own application with our plugin, and the DAG in its database."""
    passwords = tmp_path_factory.mktemp("airflow") / "passwords.json"
    passwords.write_text(json.dumps({name: name for name in USERS}))
    users = ",".join(f"{name}:{role}" for name, role in USERS.items())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(REPO / "plugins"))
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", users)
        patch.setenv("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", str(passwords))
        from airflow import settings as airflow_settings
        from airflow.api_fastapi.app import create_app, purge_cached_app
        from airflow.dag_processing.dagbag import sync_bag_to_db
        from airflow.models.dagbundle import DagBundleModel
        from airflow.utils.db import initdb
        from airflow.utils.session import create_session

        patch.setattr(airflow_settings, "PLUGINS_FOLDER", str(REPO / "plugins"))
        initdb()
        with create_session() as session:
            session.merge(DagBundleModel(name="seqharvest"))
            session.commit()
            sync_bag_to_db(bag(), "seqharvest", None, session=session)
        purge_cached_app()
        yield create_app(apps="core")
        purge_cached_app()


@pytest.fixture
def as_user(airflow_app: Any) -> Callable[..., Any]:
    """A client of a signed-in user with a role, or of nobody."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    def client(role: str | None, name: str = "ann") -> Any:
        if not name:
            return TestClient(airflow_app)
        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role))
        return TestClient(airflow_app, headers={"Authorization": f"Bearer {token}"})

    return client
