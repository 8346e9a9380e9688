"""Submit one job so that a lost answer never becomes a second job."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from snakemake_executor_plugin_seqharvest_batch.attach import active_job
from snakemake_executor_plugin_seqharvest_batch.resources import Resources

log = logging.getLogger(__name__)

#: Only a host that was taken away is worth the same job again; all else is for Snakemake to judge.
EVALUATE_ON_EXIT = (
    {"onStatusReason": "Host EC2*", "action": "RETRY"},
    {"onReason": "*", "action": "EXIT"},
)
THROTTLED = {
    "TooManyRequestsException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
}


@dataclass(frozen=True)
class Request:
    """A worker job, ready to be submitted."""

    name: str
    key: str
    queue: str
    definition: str
    command: list[str]
    resources: Resources
    attempts: int
    environment: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of SubmitJob."""
        overrides: dict[str, Any] = {
            "command": self.command,
            "resourceRequirements": [
                {"type": "VCPU", "value": str(self.resources.vcpus)},
                {"type": "MEMORY", "value": str(self.resources.memory)},
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
    wait, answer_lost = 1.0, False
    while True:
        try:
            found = active_job(batch, request.queue, request.name) if answer_lost else None
            return found or str(batch.submit_job(**request.arguments())["jobId"])
        except (ClientError, BotoCoreError) as error:
            if not is_transient(error) or time.monotonic() + wait > deadline:
                raise
            answer_lost = answer_lost or not is_throttle(error)
            log.warning("submit of %s: %s; trying again in %.0f s", request.name, error, wait)
        sleep(wait)
        wait = min(wait * 2, 30.0)


def is_throttle(error: Exception) -> bool:
    """Tell whether the API refused for now, having done nothing."""
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in THROTTLED


def is_transient(error: Exception) -> bool:
    """Tell whether the same request may succeed later: throttling, a 5xx, no connection."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return is_throttle(error) or status >= 500
    # Of botocore's own errors the wrong parameter and the missing credential never heal.
    return type(error).__name__ not in {
        "ParamValidationError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "NoRegionError",
    }
