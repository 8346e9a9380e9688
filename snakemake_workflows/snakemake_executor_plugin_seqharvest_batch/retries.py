"""What each kind of failure calls for, and what a job's earlier attempts were."""

from collections import defaultdict
from typing import Any

from snakemake_executor_plugin_seqharvest_batch.failures import FINAL, Kind
from snakemake_executor_plugin_seqharvest_batch.resources import Attempt, Resources

#: Kinds after which the same again would fail the same way: Snakemake's `attempt`, by which rules
#: scale their resources, rises with these only.
TOO_LITTLE = frozenset({Kind.OUT_OF_MEMORY, Kind.DISK_FULL, Kind.TIMEOUT})

AGAIN = {
    Kind.SPOT_RECLAIM: "again as it was",
    Kind.LOST: "again as it was",
    Kind.IMAGE: "again as it was, once",
    Kind.OUT_OF_MEMORY: "again with more memory",
    Kind.DISK_FULL: "again with more scratch",
    Kind.TIMEOUT: "again with twice the time",
}
REMEDY = {
    Kind.SPOT_RECLAIM: "run again, or on a queue with on-demand hosts",
    Kind.LOST: "run again; CloudTrail may tell who removed the job",
    Kind.IMAGE: "check the job definition's image and that its execution role may pull it",
    Kind.OUT_OF_MEMORY: "raise the rule's mem_mb",
    Kind.DISK_FULL: "raise the rule's disk_mb or give a large-disk queue",
    Kind.TIMEOUT: "raise the rule's runtime",
    Kind.TERMINATED: "somebody ended it: run again when it may run",
    Kind.USER_ERROR: "see its log: the same input would fail again",
}


class Ledger:
    """Remembers, by job name, the attempts of this life of the run."""

    def __init__(self) -> None:
        self._history: dict[str, list[Attempt]] = defaultdict(list)

    def history(self, name: str) -> list[Attempt]:
        """Return what a job had on its attempts so far, and how each failed."""
        return self._history[name]

    def failed(self, name: str, had: Resources, kind: Kind) -> None:
        """Remember a failed attempt."""
        self._history[name].append((had, kind))

    def attempt(self, name: str) -> int:
        """Return the attempt that Snakemake is to evaluate the rule's resources with."""
        return 1 + sum(kind in TOO_LITTLE for _, kind in self._history[name])

    def goes_on(self, name: str, job: Any) -> bool:
        """Tell whether a job is tried again after the failure remembered last."""
        kinds = [kind for _, kind in self._history[name]]
        if kinds[-1] in FINAL or (kinds[-1] is Kind.IMAGE and kinds.count(Kind.IMAGE) > 1):
            return False
        return len(kinds) <= int(job.restart_times)
