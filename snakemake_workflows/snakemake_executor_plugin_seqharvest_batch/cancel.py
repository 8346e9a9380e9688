"""End every worker job of a run."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from snakemake_executor_plugin_seqharvest_batch import arrays
from snakemake_executor_plugin_seqharvest_batch.attach import ACTIVE, children

log = logging.getLogger(__name__)


def cancel(
    batch: Any, queues: Iterable[str], prefix: str, known: Iterable[str], reason: str
) -> int:
    """Terminate the known jobs and whatever else runs under the prefix; return how many.

    An array ends with all its children. The listing finds jobs whose submit was interrupted before
    its answer was seen. Terminating a job that has ended is harmless. Never raises: what could not
    be ended is logged.
    """
    ids = set(map(arrays.parent, known))
    for queue in queues:
        try:
            listed = children(batch, queue, prefix)
        except (ClientError, BotoCoreError) as error:
            log.error("cannot list the jobs of %s on %s: %s", prefix, queue, error)
        else:
            ids |= {job["jobId"] for job in listed if job["status"] in ACTIVE}
    if not ids:
        return 0
    with ThreadPoolExecutor(max_workers=min(16, len(ids))) as pool:
        return sum(pool.map(lambda job_id: _terminate(batch, job_id, reason), sorted(ids)))


def _terminate(batch: Any, job_id: str, reason: str) -> bool:
    try:
        batch.terminate_job(jobId=job_id, reason=reason)
    except (ClientError, BotoCoreError) as error:
        log.error("cannot terminate job %s: %s", job_id, error)
        return False
    return True
