"""Snakemake executor plugin `seqharvest-batch`: run jobs on AWS Batch, and find them again."""

from typing import Any

from snakemake_interface_executor_plugins.settings import CommonSettings

from snakemake_executor_plugin_seqharvest_batch.settings import ExecutorSettings

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    job_deploy_sources=False,
    # Stock sources cost every worker a second Snakemake start (1.3 s): our bundle brings the few
    # files a worker needs, the image has the rest.
    can_transfer_local_files=True,
    # Explicit settings travel in the job's environment, never in its command.
    pass_envvar_declarations_to_cmd=False,
    # Without this every worker starts with a `pip install` of the storage plugin (6 s).
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=0,
)


def __getattr__(name: str) -> Any:
    """Import the executor when it is asked for: the worker, a module beside it, never does."""
    if name != "Executor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from snakemake_executor_plugin_seqharvest_batch.executor import Executor

    return Executor


__all__ = ["Executor", "ExecutorSettings", "common_settings"]
