"""Tags of jobs, queues, compute environments and job definitions, by ARN."""

from __future__ import annotations

from typing import Any

from local.batch.definitions import DEFINITION
from local.batch.environments import ENVIRONMENT, QUEUE, key_of
from local.batch.protocol import ClientError
from local.batch.store import Store

MAX_TAGS = 50


class Tags:
    """TagResource, UntagResource and ListTagsForResource."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def tag(self, request: dict) -> dict:
        """Add or replace tags."""
        tags = {**self._read(request["resourceArn"]), **request["tags"]}
        if len(tags) > MAX_TAGS:
            raise ClientError(f"A resource has at most {MAX_TAGS} tags")
        self._write(request["resourceArn"], tags)
        return {}

    def untag(self, request: dict) -> dict:
        """Remove tags."""
        gone = set(request["tagKeys"])
        tags = self._read(request["resourceArn"])
        self._write(request["resourceArn"], {k: v for k, v in tags.items() if k not in gone})
        return {}

    def list(self, request: dict) -> dict:
        """Return the tags."""
        return {"tags": self._read(request["resourceArn"])}

    def _read(self, arn: str) -> dict[str, str]:
        _, _, doc = self._resource(arn)
        tags: dict[str, str] = doc.get("tags", {})
        return tags

    def _write(self, arn: str, tags: dict[str, str]) -> None:
        kind, key, doc = self._resource(arn)
        if kind != "job":
            self._store.put(kind, key, {**doc, "tags": tags})
            return
        job = self._store.job(key)
        if job:
            job.spec["tags"] = tags
            self._store.save_spec(job)

    def _resource(self, arn: str) -> tuple[str, str, dict[str, Any]]:
        """Return the kind, key and document (of a job, its spec) that an ARN names."""
        kind = arn.rsplit("/", 1)[0].rsplit(":", 1)[-1]
        key = key_of(arn)
        doc: dict[str, Any] | None = None
        if kind == "job":
            job = self._store.job(key)
            doc = job.spec if job else None
        elif kind in (QUEUE, ENVIRONMENT):
            doc = self._store.get(kind, key)
        elif kind == DEFINITION and ":" in key:
            name, revision = key.split(":", 1)
            key = f"{name}:{revision:0>8}"
            doc = self._store.get(kind, key)
        if doc is None:
            raise ClientError(f"Resource {arn} does not exist")
        return kind, key, doc
