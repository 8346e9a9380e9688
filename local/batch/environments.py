"""Compute environments and job queues: create, update, describe, delete."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Any

from local.batch.config import Config
from local.batch.protocol import ClientError
from local.batch.store import Store

ENVIRONMENT = "compute-environment"
QUEUE = "job-queue"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
MAX_ENVIRONMENTS = 3  # of one queue


def check_name(name: str, what: str) -> None:
    """Raise `ClientError` unless AWS takes this as a name."""
    if not NAME.fullmatch(name):
        raise ClientError(
            f"{what} {name!r} should match valid pattern: a letter or digit, then up to 127 "
            "letters, digits, hyphens and underscores"
        )


def key_of(name_or_arn: str) -> str:
    """Return the name at the end of an ARN, or the name itself."""
    return name_or_arn.rsplit("/", 1)[-1]


class Environments:
    """The endpoint's compute environments and queues, each a document in the store."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config

    # Compute environments

    def create_environment(self, request: dict) -> dict:
        """CreateComputeEnvironment: it is VALID at once."""
        name = request["computeEnvironmentName"]
        check_name(name, "Compute environment name")
        if self._store.get(ENVIRONMENT, name):
            raise ClientError(f"Object already exists: {name}")
        if request["type"] == "MANAGED" and "computeResources" not in request:
            raise ClientError("computeResources must be provided for a MANAGED compute environment")
        arn = self._config.arn(f"{ENVIRONMENT}/{name}")
        doc = {
            "state": "ENABLED",
            **request,
            "computeEnvironmentArn": arn,
            "ecsClusterArn": f"{arn.replace(':batch:', ':ecs:')}_Batch".replace(
                ENVIRONMENT, "cluster"
            ),
            "status": "VALID",
            "statusReason": "ComputeEnvironment Healthy",
            "containerOrchestrationType": "ECS",
            "uuid": str(uuid.uuid4()),
        }
        self._store.put(ENVIRONMENT, name, doc)
        return doc

    def update_environment(self, request: dict) -> dict:
        """UpdateComputeEnvironment: state and compute resources."""
        doc = self._known(ENVIRONMENT, request["computeEnvironment"])
        resources = {**doc.get("computeResources", {}), **request.get("computeResources", {})}
        changes = {k: v for k, v in request.items() if k not in ("computeEnvironment", "tags")}
        doc.update(changes)
        if resources:
            doc["computeResources"] = resources
        self._store.put(ENVIRONMENT, doc["computeEnvironmentName"], doc)
        return doc

    def describe_environments(self, request: dict) -> dict:
        """DescribeComputeEnvironments: unknown names are left out."""
        docs = self._asked(ENVIRONMENT, request.get("computeEnvironments"))
        return {"computeEnvironments": docs}

    def delete_environment(self, request: dict) -> dict:
        """DeleteComputeEnvironment: only when it is disabled and no queue uses it."""
        name = key_of(request["computeEnvironment"])
        doc = self._store.get(ENVIRONMENT, name)
        if doc is None:
            return {}
        if doc["state"] != "DISABLED":
            raise ClientError("Cannot delete, resource must be in state DISABLED first")
        for queue in self.queues():
            if name in self.order(queue):
                raise ClientError(
                    f"Cannot delete, found existing JobQueue relationship: {queue['jobQueueName']}"
                )
        self._store.remove(ENVIRONMENT, name)
        return {}

    # Queues

    def create_queue(self, request: dict) -> dict:
        """CreateJobQueue: it is VALID at once."""
        name = request["jobQueueName"]
        check_name(name, "Job queue name")
        if self._store.get(QUEUE, name):
            raise ClientError(f"Object already exists: {name}")
        self._check_queue(request)
        doc = {
            "state": "ENABLED",
            **request,
            "jobQueueArn": self._config.arn(f"{QUEUE}/{name}"),
            "status": "VALID",
            "statusReason": "JobQueue Healthy",
        }
        self._store.put(QUEUE, name, doc)
        return doc

    def update_queue(self, request: dict) -> dict:
        """UpdateJobQueue: state, priority and compute environments."""
        doc = self._known(QUEUE, request["jobQueue"])
        doc = {**doc, **{k: v for k, v in request.items() if k != "jobQueue"}}
        self._check_queue(doc)
        self._store.put(QUEUE, doc["jobQueueName"], doc)
        return doc

    def describe_queues(self, request: dict) -> dict:
        """DescribeJobQueues: unknown names are left out."""
        return {"jobQueues": self._asked(QUEUE, request.get("jobQueues"))}

    def delete_queue(self, request: dict) -> str | None:
        """DeleteJobQueue: only when it is disabled; return its name, or None if it is unknown."""
        name = key_of(request["jobQueue"])
        doc = self._store.get(QUEUE, name)
        if doc is None:
            return None
        if doc["state"] != "DISABLED":
            raise ClientError("Cannot delete, resource must be in state DISABLED first")
        self._store.remove(QUEUE, name)
        return name

    # What the scheduler and SubmitJob ask

    def queue(self, name_or_arn: str) -> dict[str, Any]:
        """Return a queue; raise `ClientError` if it is unknown."""
        return self._known(QUEUE, name_or_arn)

    def queues(self) -> list[dict[str, Any]]:
        """Return all queues, the highest priority first."""
        return sorted(self._store.all(QUEUE), key=lambda q: (-q["priority"], q["jobQueueName"]))

    def order(self, queue: dict) -> list[str]:
        """Return the names of a queue's compute environments, in the order they are tried."""
        entries = sorted(queue.get("computeEnvironmentOrder", []), key=lambda e: e["order"])
        return [key_of(entry["computeEnvironment"]) for entry in entries]

    def limits(self, queue: dict) -> list[tuple[str, float | None]]:
        """Return (name, most vCPUs) of a queue's enabled compute environments, in order."""
        docs = [self._store.get(ENVIRONMENT, name) for name in self.order(queue)]
        return [
            (doc["computeEnvironmentName"], doc.get("computeResources", {}).get("maxvCpus"))
            for doc in docs
            if doc and doc["state"] == "ENABLED"
        ]

    def _known(self, kind: str, name_or_arn: str) -> dict[str, Any]:
        doc = self._store.get(kind, key_of(name_or_arn))
        if doc is None:
            raise ClientError(f"{kind} {name_or_arn} does not exist")
        return doc

    def _asked(self, kind: str, names: Sequence[str] | None) -> list[dict]:
        if not names:
            return self._store.all(kind)
        found = (self._store.get(kind, key_of(name)) for name in names)
        return [doc for doc in found if doc]

    def _check_queue(self, doc: dict) -> None:
        names = self.order(doc)
        if not 1 <= len(names) <= MAX_ENVIRONMENTS:
            raise ClientError(f"A job queue needs 1 to {MAX_ENVIRONMENTS} compute environments")
        if not 0 <= doc["priority"] <= 1000:
            raise ClientError(f"priority {doc['priority']} is not between 0 and 1000")
        for name in names:
            self._known(ENVIRONMENT, name)
