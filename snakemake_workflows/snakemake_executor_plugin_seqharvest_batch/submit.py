"""Submit a job or an array so that a lost answer never becomes a second one."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from snakemake_executor_plugin_seqharvest_batch.attach import active_job
from snakemake_executor_plugin_seqharvest_batch.patience import is_throttle, is_transient
from snakemake_executor_plugin_seqharvest_batch.resources import Resources

log = logging.getLogger(__name__)

#: Only a host that was taken away is worth the same job again; all else is for Snakemake to judge.
EVALUATE_ON_EXIT = (
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onReason": "*", "action": "EXIT"},
)


@dataclass(frozen=True)
class Request:
    """A worker job, or an array of `size` of them, ready to be submitted."""

    name: str
    key: str
    queue: str
    definition: str
    command: list[str]
    resources: Resources
    attempts: int
    environment: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    size: int = 1

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of SubmitJob."""
        needs = {"VCPU": self.resources.vcpus, "MEMORY": self.resources.memory}
        if self.resources.gpus:
            needs["GPU"] = self.resources.gpus
        overrides: dict[str, Any] = {
            "command": self.command,
            "resourceRequirements": [
                {"type": name, "value": str(amount)} for name, amount in needs.items()
            ],
        }
        if self.environment:
            overrides["environment"] = [
                {"name": name, "value": value} for name, value in self.environment.items()
            ]
        arguments: dict[str, Any] = {
            "jobName": self.name,
            "jobQueue": self.queue,
            "jobDefinition": self.definition,
            "containerOverrides": overrides,
            "retryStrategy": {
                "attempts": self.attempts,
                "evaluateOnExit": list(EVALUATE_ON_EXIT),
            },
            "tags": {**self.tags, "seqharvest:key": self.key},
            "propagateTags": True,
        }
        if self.size > 1:
            arguments["arrayProperties"] = {"size": self.size}
        if self.resources.timeout:
            arguments["timeout"] = {"attemptDurationSeconds": self.resources.timeout}
        return arguments


def submit(
    batch: Any, request: Request, patience: float, sleep: Callable[[float], None] = time.sleep
) -> str:
    """Submit a job and return its id; wait up to `patience` seconds for an API in trouble.

    SubmitJob has no idempotency token: after an answer that may have been lost the job is looked
    for by its name before it is submitted again. `batch` must not retry by itself. Raises the
    API's own error when the request is refused or patience ends.
    """
    deadline = time.monotonic() + patience
    wait, pause, answer_lost = 1.0, 0.1, False
    while True:
        try:
            found = active_job(batch, request.queue, request.name) if answer_lost else None
            return found or str(batch.submit_job(**request.arguments())["jobId"])
        except (ClientError, BotoCoreError) as error:
            if not is_transient(error) or time.monotonic() + wait > deadline:
                raise
            if is_throttle(error):
                # Batch takes about 50 a second from all of us: come back soon, not all at once.
                sleep(random.uniform(pause / 2, pause))
                pause = min(pause * 1.5, 1.0)
                continue
            answer_lost = True
            log.warning("submit of %s: %s; trying again in %.0f s", request.name, error, wait)
        sleep(wait)
        wait = min(wait * 2, 30.0)
