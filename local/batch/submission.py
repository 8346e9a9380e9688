"""SubmitJob: turns a request and a job definition into the jobs that will run."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

from local.batch.config import Config
from local.batch.definitions import (
    Definitions,
    check_environment,
    check_timeout,
    requirements,
)
from local.batch.environments import Environments, check_name
from local.batch.jobs import Job, Status, now_ms
from local.batch.protocol import ClientError
from local.batch.retry import check_strategy
from local.batch.store import Store

UNSUPPORTED = ("nodeOverrides", "eksPropertiesOverride", "ecsPropertiesOverride")
MAX_DEPENDENCIES = 20
ARRAY_SIZES = range(2, 10_001)
PLACEHOLDER = re.compile(r"Ref::([A-Za-z0-9_-]+)")


class Submission:
    """Checks and stores new jobs."""

    def __init__(
        self, store: Store, environments: Environments, definitions: Definitions, config: Config
    ) -> None:
        self._store = store
        self._environments = environments
        self._definitions = definitions
        self._config = config

    def submit(self, request: dict) -> Job:
        """Store the job, its children and what they wait for; raise `ClientError` if refused."""
        job = self._job(request)
        waits = list(self._waits(job, request.get("dependsOn", [])))
        with self._store.transaction():
            self._store.add_jobs([job])
            self._store.add_jobs(_children(job))
            self._store.add_waits(waits)
        return job

    def _job(self, request: dict) -> Job:
        for key in UNSUPPORTED:
            if key in request:
                raise ClientError(f"The local Batch endpoint runs containers only, not {key}")
        check_name(request["jobName"], "Job name")
        queue = self._environments.queue(request["jobQueue"])
        if queue["state"] != "ENABLED":
            raise ClientError(f"Job Queue {queue['jobQueueArn']} is not in ENABLED state")
        definition = self._definitions.active(request["jobDefinition"])
        return Job(
            id=str(uuid.uuid4()),
            name=request["jobName"],
            queue=queue["jobQueueName"],
            definition=definition["jobDefinitionArn"],
            status=Status.SUBMITTED,
            created_at=now_ms(),
            spec=self._spec(request, definition),
            size=_array_size(request),
        )

    def _spec(self, request: dict, definition: dict) -> dict[str, Any]:
        retry = request.get("retryStrategy") or definition.get("retryStrategy") or {"attempts": 1}
        timeout = request.get("timeout") or definition.get("timeout") or {}
        check_strategy(retry)
        check_timeout(timeout, self._config.minimum_timeout)
        parameters = {**definition.get("parameters", {}), **request.get("parameters", {})}
        propagate = request.get("propagateTags", definition.get("propagateTags", False))
        inherited = definition.get("tags", {}) if propagate else {}
        return {
            "container": _container(request, definition, parameters),
            "parameters": parameters,
            "retryStrategy": retry,
            "timeout": timeout,
            "tags": {**inherited, **request.get("tags", {})},
            "propagateTags": propagate,
            "dependsOn": request.get("dependsOn", []),
            "platformCapabilities": definition.get("platformCapabilities", ["EC2"]),
        }

    def _waits(self, job: Job, depends_on: list[dict]) -> Iterator[tuple[str, str]]:
        """Yield (job, other) for every job that has to wait for another one."""
        if len(depends_on) > MAX_DEPENDENCIES:
            raise ClientError(f"A job may depend on at most {MAX_DEPENDENCIES} jobs")
        indices = range(job.size or 0)
        members = [f"{job.id}:{index}" for index in indices] or [job.id]
        for dependency in depends_on:
            kind, other = dependency.get("type"), dependency.get("jobId")
            if kind == "SEQUENTIAL":
                if other or job.size is None:
                    raise ClientError("SEQUENTIAL is for an array job, without a jobId")
                yield from zip(members[1:], members, strict=False)
                continue
            size = self._dependency(other)
            if kind != "N_TO_N":
                yield from ((member, str(other)) for member in members)
            elif size is None or size != job.size:
                raise ClientError(f"N_TO_N needs array jobs of one size: {other} has {size}")
            else:
                yield from ((f"{job.id}:{i}", f"{other}:{i}") for i in indices)

    def _dependency(self, job_id: str | None) -> int | None:
        other = self._store.job(job_id) if job_id else None
        if other is None:
            raise ClientError(f"Job dependency {job_id} does not exist")
        return other.size


def _array_size(request: dict) -> int | None:
    size = request.get("arrayProperties", {}).get("size")
    if size is not None and size not in ARRAY_SIZES:
        raise ClientError(
            f"Array size {size} is not between {ARRAY_SIZES[0]} and {ARRAY_SIZES[-1]}"
        )
    return size


def _container(request: dict, definition: dict, parameters: dict[str, str]) -> dict[str, Any]:
    properties = definition["containerProperties"]
    override = request.get("containerOverrides", {})
    check_environment(override.get("environment", []))
    environment = {
        item["name"]: item.get("value", "")
        for item in [*properties.get("environment", []), *override.get("environment", [])]
    }
    command = override.get("command") or properties.get("command", [])
    needs = requirements(properties, override)
    amounts = {item["type"]: float(item["value"]) for item in needs}
    return {
        **properties,
        "command": [_fill(word, parameters) for word in command],
        "environment": [{"name": n, "value": v} for n, v in environment.items()],
        "resourceRequirements": needs,
        "vcpus": int(amounts["VCPU"]) or None,  # a Fargate share (0.25) has no whole number
        "memory": int(amounts["MEMORY"]),
    }


def _fill(word: str, parameters: dict[str, str]) -> str:
    """Replace Ref::name by its parameter; a name without one stays as it is, as on AWS."""
    return PLACEHOLDER.sub(lambda match: parameters.get(match[1], match[0]), word)


def _children(parent: Job) -> Iterator[Job]:
    for index in range(parent.size or 0):
        yield Job(
            id=f"{parent.id}:{index}",
            name=parent.name,
            queue=parent.queue,
            definition=parent.definition,
            status=Status.SUBMITTED,
            created_at=parent.created_at,
            spec={},
            parent=parent.id,
            index=index,
        )
