"""DescribeJobs and ListJobs: what callers see of jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local.batch.config import Config
from local.batch.environments import Environments, key_of
from local.batch.jobs import Job, Status
from local.batch.protocol import ClientError
from local.batch.store import Store

MAX_DESCRIBED = 100  # DescribeJobs takes at most 100 ids
PAGE = 1000
FILTERED_PAGE = 100  # ListJobs gives at most 100 with a filter

Condition = tuple[str, tuple[Any, ...]]


class Listing:
    """Reads jobs out of the store in the words of the API."""

    def __init__(self, store: Store, environments: Environments, config: Config) -> None:
        self._store = store
        self._environments = environments
        self._config = config

    def describe(self, request: dict) -> dict:
        """DescribeJobs: unknown ids are left out."""
        ids = request["jobs"]
        if len(ids) > MAX_DESCRIBED:
            raise ClientError(f"jobs has {len(ids)} ids; at most {MAX_DESCRIBED} are allowed")
        found = (self._store.job(key_of(job_id)) for job_id in dict.fromkeys(ids))
        return {"jobs": [self._detail(job) for job in found if job]}

    def list(self, request: dict) -> dict:
        """ListJobs: of a queue or an array, by status or by one filter, the newest first."""
        where, values = self._scope(request)
        filters = request.get("filters", []) if "jobQueue" in request else []
        if len(filters) > 1:
            raise ClientError("Only one filter can be used at a time")
        if filters:
            condition, more = _filter(filters[0])
        else:
            condition, more = "j.status = ?", (request.get("jobStatus", Status.RUNNING),)
        most = FILTERED_PAGE if filters else PAGE
        size = max(1, min(request.get("maxResults") or most, most))
        if request.get("nextToken"):
            condition, more = f"{condition} AND j.seq < ?", (*more, _token(request["nextToken"]))
        jobs = list(
            self._store.select(
                f"{where} AND {condition}",
                (*values, *more),
                f"ORDER BY j.seq DESC LIMIT {size + 1}",
            )
        )
        result: dict[str, Any] = {"jobSummaryList": [self._summary(job) for job in jobs[:size]]}
        if len(jobs) > size:
            result["nextToken"] = str(jobs[size - 1].seq)
        return result

    def _scope(self, request: dict) -> Condition:
        given = [k for k in ("jobQueue", "arrayJobId", "multiNodeJobId") if k in request]
        if len(given) != 1:
            raise ClientError("Give one of jobQueue, arrayJobId and multiNodeJobId")
        if given == ["jobQueue"]:
            queue = self._environments.queue(request["jobQueue"])
            return "j.queue = ? AND j.parent IS NULL", (queue["jobQueueName"],)
        return "j.parent = ?", (request[given[0]],)

    def _detail(self, job: Job) -> dict:
        spec, state = job.spec, job.state
        container = {**spec["container"], **state.get("container", {})}
        return {
            **self._common(job),
            "jobQueue": self._config.arn(f"job-queue/{job.queue}"),
            "attempts": job.attempts,
            "retryStrategy": spec["retryStrategy"],
            "dependsOn": spec["dependsOn"],
            "parameters": spec["parameters"],
            "container": None if job.is_array else container,
            "timeout": spec["timeout"] or None,
            "tags": spec["tags"],
            "propagateTags": spec["propagateTags"],
            "platformCapabilities": spec["platformCapabilities"],
            "isCancelled": state.get("isCancelled", False),
            "isTerminated": state.get("isTerminated", False),
        }

    def _summary(self, job: Job) -> dict:
        container = job.state.get("container", {})
        return {
            **self._common(job),
            "container": {key: container.get(key) for key in ("exitCode", "reason")},
        }

    def _common(self, job: Job) -> dict:
        return {
            "jobArn": self._config.arn(f"job/{job.id}"),
            "jobId": job.id,
            "jobName": job.name,
            "status": job.status,
            "statusReason": job.state.get("statusReason"),
            "createdAt": job.created_at,
            "startedAt": job.state.get("startedAt"),
            "stoppedAt": job.state.get("stoppedAt"),
            "jobDefinition": job.definition,
            "arrayProperties": self._array(job),
        }

    def _array(self, job: Job) -> dict | None:
        if job.is_array:
            counts = self._store.count_by_status(job.id)
            summary = {status: counts.get(status, 0) for status in Status}
            return {"size": job.size, "statusSummary": summary}
        return None if job.index is None else {"index": job.index}


def _filter(asked: dict) -> Condition:
    name, values = asked.get("name", ""), asked.get("values", [])
    if name not in _FILTERS or len(values) != 1:
        raise ClientError(f"A filter needs one value and a name of {', '.join(_FILTERS)}")
    return _FILTERS[name](values[0])


def _by_name(value: str) -> Condition:
    return _same_or_prefix("j.name_key", value.lower())


def _by_definition(value: str) -> Condition:
    if value.startswith("arn:"):
        return "j.definition = ?", (value,)
    # …:job-definition/<name>:<revision>
    name = "rtrim(rtrim(substr(j.definition, instr(j.definition, '/') + 1), '0123456789'), ':')"
    return _same_or_prefix(name, value)


def _same_or_prefix(column: str, value: str) -> Condition:
    if not value.endswith("*"):
        return f"{column} = ?", (value,)
    prefix = value[:-1]
    # A range instead of LIKE: it can use the index, and "_" is no wildcard in it.
    return f"{column} >= ? AND {column} < ?", (prefix, prefix + "\U0010ffff")


def _by_time(comparison: str) -> Callable[[str], Condition]:
    def condition(value: str) -> Condition:
        if not value.isdigit():
            raise ClientError(f"{value!r} is not a time in epoch milliseconds")
        return f"j.created_at {comparison} ?", (int(value),)

    return condition


def _token(text: str) -> int:
    if not text.isdigit():
        raise ClientError("nextToken is not one that ListJobs gave")
    return int(text)


_FILTERS: dict[str, Callable[[str], Condition]] = {
    "JOB_NAME": _by_name,
    "JOB_DEFINITION": _by_definition,
    "BEFORE_CREATED_AT": _by_time("<"),
    "AFTER_CREATED_AT": _by_time(">"),
}
