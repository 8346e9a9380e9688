"""The days a sweep covers, and its table."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from seqharvest.operators.sweep import table, window

INTERVAL = {
    "data_interval_start": datetime(2026, 3, 1, tzinfo=UTC),
    "data_interval_end": datetime(2026, 3, 2, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("context", "form", "days"),
    [
        (INTERVAL, {}, (date(2026, 3, 1), date(2026, 3, 1))),
        (
            {},
            {"start": "2026-01-05", "end": "2026-01-09"},
            (date(2026, 1, 5), date(2026, 1, 9)),
        ),
        (INTERVAL, {"start": "2026-02-27", "end": None}, (date(2026, 2, 27), None)),
    ],
)
def test_the_form_goes_before_the_data_interval(
    context: Any, form: Any, days: tuple[date, date | None]
) -> None:
    assert window(context, form) == (days[0], days[1] or datetime.now(UTC).date())


def test_the_table_shows_what_became_of_each_series() -> None:
    shown = table([{"series": "GSE1", "samples": 4, "action": "failed", "reason": "x" * 99}])
    head, line = shown.splitlines()
    assert head.startswith("series")
    assert line.split()[:3] == ["GSE1", "4", "failed"]
    assert "x" * 61 not in line


def test_a_backfill_of_any_past_range_has_a_true_interval_for_each_day() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    from tests.dags.bag import bag

    dag = DagSerialization.from_dict(DagSerialization.to_dict(bag().dags["geo_sweep"]))
    first, last = datetime(2010, 5, 1, tzinfo=UTC), datetime(2010, 5, 3, tzinfo=UTC)
    intervals = [info.data_interval for info in dag.iter_dagrun_infos_between(first, last)]
    days = [
        window({"data_interval_start": each.start, "data_interval_end": each.end}, {})
        for each in intervals
    ]
    assert days == [(date(2010, 5, day), date(2010, 5, day)) for day in (1, 2, 3)]
    assert dag.max_active_runs > 1
