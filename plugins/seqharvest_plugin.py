"""Registers Seqharvest with Airflow: the listener that records people's marks."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from seqharvest import listeners


class SeqharvestPlugin(AirflowPlugin):
    """What Seqharvest adds to Airflow besides its operators."""

    name = "seqharvest"
    listeners: list[Any] = [listeners]  # noqa: RUF012
