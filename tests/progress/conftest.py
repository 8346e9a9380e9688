"""Airflow's home for these tests."""

from tests import airflow_home  # noqa: F401
