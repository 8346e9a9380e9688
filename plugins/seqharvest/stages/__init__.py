"""What each stage of a project has to do, and what it records: the functions DAG tasks call."""

from seqharvest.stages.analysis import plan_analysis, record_analysis
from seqharvest.stages.fetch import open_project, plan_fetch, record_fetch
from seqharvest.stages.load import plan_load, record_load
from seqharvest.stages.qc import plan_qc, plan_report, record_qc

__all__ = [
    "open_project",
    "plan_analysis",
    "plan_fetch",
    "plan_load",
    "plan_qc",
    "plan_report",
    "record_analysis",
    "record_fetch",
    "record_load",
    "record_qc",
]
