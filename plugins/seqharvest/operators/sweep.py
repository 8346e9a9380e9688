"""Sweeps GEO in the DAG run's data interval, and prints what became of each series."""

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

    The DAG's form decides the organisms, the assays, the least number of samples, the quota,
    whether it is a dry run, and, for a run by hand, another window (`start`, `end`) or just
    `accessions`.
    """

    ui_color = "#c9daf8"

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Sweep, print a table, and return its rows; fail when every accession given failed."""
        from seqharvest.archives.resolve import open_archives

        params = context["params"]
        with open_archives() as archives, hopeless_errors_fail():
            if params.get("accessions"):
                rows = register(self, archives, params["accessions"], params, "airflow:geo_sweep")
                check_archives(rows)
                check_not_in_vain(rows)
                return rows
            first, last = window(context, params)
            self.log.info("sweeping GEO for %s from %s to %s", params["organisms"], first, last)
            rows = _sweep(archives, params, first, last)
            self.log.info("%d series, %s\n%s", len(rows), archives.asked, table(rows))
        check_archives(rows)
        return rows


class RegisterOperator(BaseOperator):
    """Register the `accessions` of the DAG's form, and the private samples of its `sheet`."""

    ui_color = "#c9daf8"

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Register, print a table, and return its rows; fail when nothing could be registered."""
        from seqharvest.archives.resolve import open_archives

        params, by = context["params"], f"airflow:{self.dag_id}"
        rows: list[dict[str, Any]] = []
        with hopeless_errors_fail():
            if params.get("sheet"):
                rows += self._sheet(params, by)
            if params.get("accessions"):
                with open_archives() as archives:
                    rows += register(self, archives, params["accessions"], params, by)
            check_archives(rows)
            check_not_in_vain(rows)
        return rows

    def _sheet(self, params: Any, by: str) -> list[dict[str, Any]]:
        from seqharvest.errors import InputError
        from seqharvest.registry import Registry
        from seqharvest.registry.private import add_private, check_private

        project, sheet = params.get("project") or "", params["sheet"]
        try:
            if params["dry_run"]:
                new, problems = check_private(project, sheet)
            else:
                release = params.get("release") or ""
                new, problems = add_private(Registry(), project, sheet, by=by, release=release)
        except InputError as error:  # a sheet that cannot be read stops no accession
            new, problems = 0, [error]
        for problem in problems:
            self.log.error("%s", problem)
        action = "would register" if params["dry_run"] else "registered"
        if problems and not new:
            action = "failed"
        reason = f"{len(problems)} errors: {problems[0]}" if problems else ""
        return [{"series": project, "action": action, "new_samples": new, "reason": reason}]


def register(
    task: BaseOperator, archives: Any, accessions: Sequence[str], params: Any, by: str
) -> list[dict[str, Any]]:
    """Register accessions and print a table of what became of each."""
    from seqharvest.archives import register as by_hand
    from seqharvest.registry import Registry

    if params["dry_run"]:
        rows = by_hand.preview(accessions, archives)
        for row in rows:
            row.pop("found", None)  # an XCom holds plain values
    else:
        release = params.get("release") or ""
        rows = by_hand.register(Registry(), accessions, archives, by=by, release=release)
    task.log.info("%d rows, %s\n%s", len(rows), archives.asked, table(rows))
    return rows


def check_archives(rows: Sequence[dict[str, Any]]) -> None:
    """Raise `ArchiveError` where an archive was down, so that Airflow tries the task again.

    The rest is registered by then, and registering twice is harmless.
    """
    from seqharvest.errors import ArchiveError

    down = [row for row in rows if row.get("again")]
    if down:
        raise ArchiveError(
            f"an archive failed for {len(down)} of {len(rows)} series, first {down[0]['series']}:"
            f" {down[0]['reason']}",
            "this task tries again by itself; clear it once the archive is well",
        )


def check_not_in_vain(rows: Sequence[dict[str, Any]]) -> None:
    """Raise `InputError` when nothing of what was given could be registered."""
    from seqharvest.archives.register import IN_VAIN
    from seqharvest.errors import InputError

    if all(row["action"] in (*IN_VAIN, "replaced") for row in rows):
        reasons = "; ".join(f"{row['series']}: {row['reason']}" for row in rows)
        raise InputError(reasons or "nothing was given", "give accessions, or a sheet")


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


def _sweep(archives: Any, params: Any, first: date, last: date) -> list[dict[str, Any]]:
    from seqharvest.archives.sweep import Wanted, sweep
    from seqharvest.registry import Registry

    wanted = Wanted(
        params["organisms"], params["assays"], params["minimum_samples"], params["quota"]
    )
    return sweep(
        first,
        last,
        Registry(),
        archives,
        wanted,
        dry_run=params["dry_run"],
        by="airflow:geo_sweep",
        release=params.get("release") or "",
    )
