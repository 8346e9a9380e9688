"""Job definitions and their revisions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from local.batch.config import Config
from local.batch.environments import check_name, key_of
from local.batch.protocol import ClientError
from local.batch.retry import check_strategy
from local.batch.store import Store

DEFINITION = "job-definition"
UNSUPPORTED = ("nodeProperties", "eksProperties", "ecsProperties")
MIN_MEMORY_MIB = 4
REFERENCE = re.compile(r"(?P<name>[A-Za-z0-9_-]+)(?::(?P<revision>\d+))?")


class Definitions:
    """The endpoint's job definitions; a revision never changes, only its status."""

    def __init__(self, store: Store, config: Config) -> None:
        self._store = store
        self._config = config

    def register(self, request: dict) -> dict:
        """RegisterJobDefinition: the next revision of the name."""
        name = request["jobDefinitionName"]
        check_name(name, "Job definition name")
        self._check(request)
        # Revision numbers are never used again, so the last one counts, active or not.
        revision = max((d["revision"] for d in self._revisions(name)), default=0) + 1
        doc = {
            **request,
            "jobDefinitionArn": self._config.arn(f"{DEFINITION}/{name}:{revision}"),
            "revision": revision,
            "status": "ACTIVE",
            "containerOrchestrationType": "ECS",
        }
        self._store.put(DEFINITION, _key(doc), doc)
        return doc

    def deregister(self, request: dict) -> dict:
        """DeregisterJobDefinition: the revision becomes INACTIVE; repeating it is harmless."""
        asked = request["jobDefinition"]
        match = REFERENCE.fullmatch(key_of(asked))
        if not match or match["revision"] is None:
            raise ClientError(f"{asked} is not name:revision or an ARN with a revision")
        doc = self._store.get(DEFINITION, f"{match['name']}:{int(match['revision']):08d}")
        if doc:
            doc["status"] = "INACTIVE"
            self._store.put(DEFINITION, _key(doc), doc)
        return {}

    def describe(self, request: dict) -> dict:
        """DescribeJobDefinitions: by name, status, or list of name:revision or ARN."""
        docs = self._store.all(DEFINITION)
        wanted = [key_of(item) for item in request.get("jobDefinitions", [])]
        if wanted:
            docs = [d for d in docs if {d["jobDefinitionName"], _reference(d)} & set(wanted)]
        if "jobDefinitionName" in request:
            docs = [d for d in docs if d["jobDefinitionName"] == request["jobDefinitionName"]]
        if "status" in request:
            docs = [d for d in docs if d["status"] == request["status"]]
        return _page(docs, request)

    def active(self, asked: str) -> dict[str, Any]:
        """Return the revision that a job asks for, by default the latest active one."""
        match = REFERENCE.fullmatch(key_of(asked))
        if not match:
            raise ClientError(f"JobDefinition {asked!r} is not a name, name:revision or ARN")
        docs = [d for d in self._revisions(match["name"]) if d["status"] == "ACTIVE"]
        if match["revision"] is not None:
            docs = [d for d in docs if d["revision"] == int(match["revision"])]
        if not docs:
            raise ClientError(f"JobDefinition {asked} is not found or not ACTIVE")
        return max(docs, key=lambda d: d["revision"])

    def _revisions(self, name: str) -> list[dict]:
        return [d for d in self._store.all(DEFINITION) if d["jobDefinitionName"] == name]

    def _check(self, request: dict) -> None:
        for key in UNSUPPORTED:
            if key in request:
                raise ClientError(f"The local Batch endpoint runs containers only, not {key}")
        container = request.get("containerProperties")
        if request["type"] != "container" or container is None:
            raise ClientError("A job definition needs type container and containerProperties")
        if not container.get("image"):
            raise ClientError("Container properties: image must not be empty")
        requirements(container)
        check_environment(container.get("environment", []))
        check_strategy(request.get("retryStrategy", {}))
        check_timeout(request.get("timeout", {}), self._config.minimum_timeout)


def requirements(container: Mapping[str, Any], *overrides: Mapping[str, Any]) -> list[dict]:
    """Return the resourceRequirements in force; raise `ClientError` if they are incomplete."""
    values: dict[str, str] = {}
    for source in (container, *overrides):
        for kind, legacy in (("VCPU", "vcpus"), ("MEMORY", "memory")):
            if source.get(legacy):
                values[kind] = str(source[legacy])
        for item in source.get("resourceRequirements", []):
            values[item["type"]] = item["value"]
    for kind, least in (("VCPU", 0.0), ("MEMORY", MIN_MEMORY_MIB)):
        try:
            value = float(values[kind]) if kind == "VCPU" else int(values[kind])
        except (KeyError, ValueError):
            raise ClientError(
                f"Container properties need a {kind} number in resourceRequirements"
            ) from None
        if not (value > 0 and least <= value < float("inf")):
            raise ClientError(f"{kind} {values[kind]} is too small or not finite")
    return [{"type": kind, "value": value} for kind, value in values.items()]


def check_environment(environment: list[dict]) -> None:
    """Raise `ClientError` for variables that belong to Batch itself."""
    for item in environment:
        if not item.get("name"):
            raise ClientError("An environment variable needs a name")
        if item["name"].startswith("AWS_BATCH"):
            raise ClientError(
                f"Environment variable {item['name']} is reserved: names must not start with "
                "AWS_BATCH"
            )


def check_timeout(timeout: Mapping[str, Any], least: int) -> None:
    """Raise `ClientError` for a time-out below AWS's minimum, in seconds."""
    seconds = timeout.get("attemptDurationSeconds")
    if seconds is not None and seconds < least:
        raise ClientError(f"attemptDurationSeconds {seconds} is below the minimum of {least}")


def _key(doc: dict) -> str:
    # Padded, so that the store's order by key is the order of revisions.
    return f"{doc['jobDefinitionName']}:{doc['revision']:08d}"


def _reference(doc: dict) -> str:
    return f"{doc['jobDefinitionName']}:{doc['revision']}"


def _page(docs: list[dict], request: dict) -> dict:
    start = int(request.get("nextToken") or 0)
    size = min(request.get("maxResults") or 100, 100)
    result: dict[str, Any] = {"jobDefinitions": docs[start : start + size]}
    if start + size < len(docs):
        result["nextToken"] = str(start + size)
    return result
