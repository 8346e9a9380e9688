"""Airflow's home for these tests, and its application."""

from tests import airflow_home  # noqa: F401
from tests.airflow_app import airflow_app, as_user  # noqa: F401
