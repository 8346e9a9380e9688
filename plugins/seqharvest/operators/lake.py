"""Loads a project's results into the lake."""

from __future__ import annotations

from typing import Any

from seqharvest.operators.batch import BatchJobOperator


class LakeLoadOperator(BatchJobOperator):
    """Run the load job of a plan: Parquet partitions, Glue, and the check by an Athena query.

    Returns the rows of each table, as verified.
    """

    ui_color = "#d9d2e9"

    def __init__(self, *, plan: Any, module: str = "seqharvest.lake.load", **kwargs: Any) -> None:
        # More than a head job needs: the load merges a project's tables in memory.
        kwargs = {"vcpus": 1, "memory_mb": 2048, **kwargs}
        super().__init__(plan=plan, module=module, **kwargs)

    def _summary(self) -> dict[str, Any]:
        found = super()._summary()
        for table, rows in sorted((found.get("rows") or {}).items()):
            self.log.info("table %s: %s rows, verified by Athena", table, rows)
        return found
