"""Sweeps GEO, or registers given accessions, and prints what became of each series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import BaseOperator

from seqharvest.operators.stage import hopeless_errors_fail

COLUMNS = ("series", "organism", "samples", "new_samples", "action", "reason", "title")
WIDEST = 60  # characters of a column in the table


class GeoSweepOperator(BaseOperator):
    """Register the RNA-seq series that GEO published in the DAG run's data interval.

    The DAG's form decides the organisms, the least number of samples, the quota, whether it is
    a dry run, and, for a run by hand, another window (`start`, `end`) or just `accessions`.
    """

    ui_color = "#c9daf8"

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Sweep, print a table, and return its rows; fail when every accession given failed."""
        params = context["params"]
        accessions = params.get("accessions") or []
        if accessions:
            rows = [self._register(accession, params) for accession in accessions]
        else:
            rows = self._sweep(params, *window(context, params))
        self.log.info("%d series\n%s", len(rows), table(rows))
        if accessions and all(row["action"] == "failed" for row in rows):
            from airflow.sdk.exceptions import AirflowFailException

            raise AirflowFailException("; ".join(str(row["reason"]) for row in rows))
        return rows

    def _sweep(self, params: Any, start: date, end: date) -> list[dict[str, Any]]:
        from seqharvest.archives.sweep import sweep
        from seqharvest.registry import Registry

        self.log.info("sweeping GEO for %s from %s to %s", params["organisms"], start, end)
        with hopeless_errors_fail():
            return sweep(
                start,
                end,
                Registry(),
                organisms=params["organisms"],
                minimum_samples=params["minimum_samples"],
                quota=params["quota"],
                dry_run=params["dry_run"],
                by="airflow:geo_sweep",
                release=params.get("release") or "",
            )

    def _register(self, accession: str, params: Any) -> dict[str, Any]:
        from seqharvest.archives import resolve
        from seqharvest.errors import SeqharvestError
        from seqharvest.registry import Registry

        row: dict[str, Any] = {"series": accession, "action": "registered", "reason": ""}
        try:
            if params["dry_run"]:
                found = resolve.resolve(accession)
                row |= {"organism": found.organism, "samples": len(found.samples)}
                return {**row, "title": found.title, "action": "would register"}
            release = params.get("release") or ""
            done = resolve.register(Registry(), accession, "airflow:geo_sweep", release=release)
            return {**row, **done}
        except SeqharvestError as error:  # one bad accession does not stop the others
            self.log.warning("%s: %s", accession, error)
            return {**row, "action": "failed", "reason": str(error)}


def window(context: Any, params: Any) -> tuple[date, date]:
    """Return the days to sweep: the form's, else the data interval's, else yesterday's."""
    today = datetime.now(UTC).date()
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    # The interval's end is the midnight after its last day.
    first = start.date() if start else today - timedelta(days=1)
    last = (end - timedelta(seconds=1)).date() if end else today
    if params.get("start"):
        first = date.fromisoformat(params["start"])
        last = today
    if params.get("end"):
        last = date.fromisoformat(params["end"])
    return first, max(first, last)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a plain text table."""
    lines = [COLUMNS, *(tuple(str(row.get(name, ""))[:WIDEST] for name in COLUMNS) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
