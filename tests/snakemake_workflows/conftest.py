"""Fixtures of the workflow tests: a head that uses the Batch endpoint."""

from tests.snakemake_workflows.batch_head import head

__all__ = ["head"]
