"""Fixtures of the workflow tests: the Batch endpoint, and a head that uses it."""

from tests.batch_endpoint import batch
from tests.snakemake_workflows.batch_head import head

__all__ = ["batch", "head"]
