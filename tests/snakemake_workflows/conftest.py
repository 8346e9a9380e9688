"""Fixtures of the workflow tests: the Batch endpoint."""

from tests.batch_endpoint import batch

__all__ = ["batch"]
