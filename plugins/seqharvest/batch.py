"""AWS Batch as Seqharvest uses it: submit or attach, describe in hundreds, end with children."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError

from seqharvest.batch_outcome import Failure, FailureKind, failure, log_lines, log_tail
from seqharvest.errors import BatchJobError, InputError

__all__ = [
    "ACTIVE",
    "KEY_TAG",
    "RETRY_STRATEGY",
    "Failure",
    "FailureKind",
    "JobRequest",
    "Submission",
    "describe",
    "failure",
    "find_active",
    "is_live",
    "job_name",
    "log_lines",
    "log_tail",
    "submit_or_attach",
    "terminate_with_children",
    "worker_name",
]

log = logging.getLogger(__name__)

KEY_TAG = "seqharvest:key"
ACTIVE = frozenset({"SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"})

#: A reclaimed Spot host is nobody's fault, so Batch tries again; all else comes back to us.
RETRY_STRATEGY: dict[str, Any] = {
    "attempts": 3,
    "evaluateOnExit": [
        {"onStatusReason": "Host EC2*", "action": "RETRY"},
        {"onReason": "*", "action": "EXIT"},
    ],
}

NAME_LIMIT = 128  # Batch's
#: Leaves a worker "--" and 26 characters after the name of its head job.
HEAD_NAME_LIMIT = 100
ARRAY_LIMIT = 10_000  # Batch's
DESCRIBE_LIMIT = 100  # DescribeJobs takes at most 100 ids
#: Seconds before each further try to submit: a service that is away for a minute loses no job.
#: The first also gives ListJobs time to show a job whose SubmitJob answer was lost.
SUBMIT_DELAYS = (2.0, 4.0, 8.0, 16.0, 16.0, 16.0)


@dataclass(frozen=True)
class JobRequest:
    """A job to run: `key` says what it does, so that two requests with one key are one job."""

    name: str
    queue: str
    definition: str
    command: tuple[str, ...]
    key: str
    environment: Mapping[str, str] = field(default_factory=dict)
    vcpus: int | None = None
    memory_mb: int | None = None
    array_size: int = 0
    timeout_seconds: int = 0
    attempts: int = 1


@dataclass(frozen=True)
class Submission:
    """The job that does what was requested; `attached` when it was there already."""

    job_id: str
    attached: bool


def job_name(*parts: str) -> str:
    """Return `seqharvest-<parts>`: at most 100 characters, the same for the same parts.

    Parts that a Batch name cannot hold as they are get replaced, and a hash keeps names apart.
    """
    return _shorten("-".join(("seqharvest", *parts)), HEAD_NAME_LIMIT)


def worker_name(head_name: str, *parts: str) -> str:
    """Return `<head_name>--<parts>`, by which `terminate_with_children` finds a head's workers."""
    prefix = f"{head_name}--"
    return prefix + _shorten("-".join(parts), NAME_LIMIT - len(prefix))


def _shorten(text: str, limit: int) -> str:
    # "--" separates a head's name from its worker's, so no part may bring its own.
    name = re.sub(r"-{2,}", "-", re.sub(r"[^A-Za-z0-9_-]", "_", text)).strip("-")
    if name == text and len(name) <= limit:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"{name[: limit - 13].rstrip('-')}-{digest}"


def submit_or_attach(client: Any, request: JobRequest) -> Submission:
    """Return the active job with the request's name and key, or submit it.

    A SubmitJob whose answer got lost is never repeated before the name was looked up again.
    Raises `InputError` for a request Batch refuses, `BatchJobError` when Batch stays away.
    """
    parameters = _submit_parameters(request)
    _never_resend_submit(client)
    problem: Exception | None = None
    for delay in (0.0, *SUBMIT_DELAYS):
        time.sleep(delay)
        try:
            running = find_active(client, request.queue, request.name, request.key)
            if running:
                log.info("attached to job %s (%s)", running["jobId"], request.name)
                return Submission(running["jobId"], attached=True)
            job_id = client.submit_job(**parameters)["jobId"]
        except (ClientError, HTTPClientError) as error:
            if not _may_pass(error):
                raise _refused(request, error) from error
            problem = error
            log.warning("Batch does not answer for %s, will look again: %s", request.name, error)
        else:
            log.info("submitted job %s (%s) to %s", job_id, request.name, request.queue)
            return Submission(job_id, attached=False)
    raise BatchJobError(
        f"AWS Batch did not take job {request.name} in {sum(SUBMIT_DELAYS):.0f} s: {problem}",
        "check the Batch endpoint and try again; a job that got through will be attached to",
    ) from problem


def find_active(client: Any, queue: str, name: str, key: str) -> dict[str, Any] | None:
    """Return the description of the active job with this name and key tag, oldest first.

    A job that is being terminated does not count: attaching to it would inherit its end.
    """
    for job in sorted(_live(client, queue, name), key=lambda job: job.get("createdAt", 0)):
        if job.get("tags", {}).get(KEY_TAG) == _tag(key):
            return job
    return None


def is_live(job: Mapping[str, Any]) -> bool:
    """Whether a job, as DescribeJobs has it, is active and nobody has asked for its end."""
    ending = job.get("isTerminated") or job.get("isCancelled")
    return job.get("status") in ACTIVE and not ending


def describe(client: Any, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return descriptions by job id; ids that Batch does not know are absent."""
    found = {}
    remaining = iter(dict.fromkeys(ids))
    while chunk := list(islice(remaining, DESCRIBE_LIMIT)):
        for job in client.describe_jobs(jobs=chunk)["jobs"]:
            found[job["jobId"]] = job
    return found


def terminate_with_children(
    client: Any,
    job_id: str,
    queues: Sequence[str],
    reason: str,
    patience_seconds: float = 40.0,  # Batch sends SIGKILL 30 s after SIGTERM
) -> int:
    """End a head job, then its workers on the queues; return how many jobs were told to end.

    Can be repeated. Workers are left alone when another live head job has the same name: they
    are that one's now. Waits for the head's end, at most `patience_seconds`, for no worker to
    be submitted behind our back.
    """
    head = describe(client, [job_id]).get(job_id)
    if head is None:
        log.warning("job %s is not known to Batch, nothing to end", job_id)
        return 0
    ended = _terminate(client, [head], reason)
    if _has_successor(client, head):
        return ended
    ended += _terminate_children(client, head["jobName"], queues, reason)
    if _wait_for_end(client, job_id, patience_seconds) and not _has_successor(client, head):
        ended += _terminate_children(client, head["jobName"], queues, reason)
    log.info("ended job %s (%s) with its workers: %d jobs", job_id, head["jobName"], ended)
    return ended


def _terminate_children(client: Any, name: str, queues: Sequence[str], reason: str) -> int:
    return sum(
        _terminate(client, _live(client, queue, f"{name}--*"), reason)
        for queue in dict.fromkeys(queues)
    )


def _terminate(client: Any, jobs: Iterable[Mapping[str, Any]], reason: str) -> int:
    told = 0
    for job in jobs:
        if is_live(job):
            client.terminate_job(jobId=job["jobId"], reason=reason[:1024])
            told += 1
    return told


def _wait_for_end(client: Any, job_id: str, patience_seconds: float) -> bool:
    """Wait for a job that was told to end; return whether there was any waiting to do."""
    deadline = time.monotonic() + patience_seconds
    waited = False
    while describe(client, [job_id]).get(job_id, {}).get("status") in ACTIVE:
        waited = True
        if time.monotonic() > deadline:
            log.warning("job %s has not ended %.0f s after SIGTERM", job_id, patience_seconds)
            break
        time.sleep(0.5)
    return waited


def _has_successor(client: Any, head: Mapping[str, Any]) -> bool:
    return any(
        job["jobId"] != head["jobId"] for job in _live(client, head["jobQueue"], head["jobName"])
    )


def _live(client: Any, queue: str, name: str) -> list[dict[str, Any]]:
    """Describe a queue's live jobs with this name, or name prefix if it ends with `*`."""
    # Summaries need not say that a job is being terminated; descriptions do.
    return [job for job in describe(client, _active(client, queue, name)).values() if is_live(job)]


def _active(client: Any, queue: str, name: str) -> Iterator[str]:
    # ListJobs' own match ignores case.
    prefix = name[:-1] if name.endswith("*") else None
    pages = client.get_paginator("list_jobs").paginate(
        jobQueue=queue, filters=[{"name": "JOB_NAME", "values": [name]}]
    )
    for page in pages:
        for summary in page["jobSummaryList"]:
            found = summary["jobName"]
            matches = found == name if prefix is None else found.startswith(prefix)
            if matches and summary.get("status") in ACTIVE:
                yield summary["jobId"]


def _submit_parameters(request: JobRequest) -> dict[str, Any]:
    if request.array_size > ARRAY_LIMIT:
        raise InputError(
            f"job {request.name} has {request.array_size} children, Batch takes {ARRAY_LIMIT}",
            "split the project into smaller ones",
        )
    parameters: dict[str, Any] = {
        "jobName": request.name,
        "jobQueue": request.queue,
        "jobDefinition": request.definition,
        "containerOverrides": _overrides(request),
        "tags": {KEY_TAG: _tag(request.key)},
        "propagateTags": True,
        "retryStrategy": {**RETRY_STRATEGY, "attempts": max(1, min(request.attempts, 10))},
    }
    if request.array_size > 1:  # Batch refuses an array of one
        parameters["arrayProperties"] = {"size": request.array_size}
    if request.timeout_seconds:
        # Batch refuses less than a minute.
        parameters["timeout"] = {"attemptDurationSeconds": max(60, request.timeout_seconds)}
    return parameters


def _overrides(request: JobRequest) -> dict[str, Any]:
    overrides: dict[str, Any] = {
        "command": list(request.command),
        "environment": [
            {"name": name, "value": value} for name, value in sorted(request.environment.items())
        ],
    }
    resources = {"VCPU": request.vcpus, "MEMORY": request.memory_mb}
    if any(resources.values()):
        overrides["resourceRequirements"] = [
            {"type": kind, "value": str(value)} for kind, value in resources.items() if value
        ]
    return overrides


def _tag(key: str) -> str:
    """Return the key as a tag's value; a hash where a tag cannot hold it."""
    if re.fullmatch(r"[\w .:/=+@-]{1,256}", key, re.ASCII):
        return key
    return hashlib.sha256(key.encode()).hexdigest()


def _never_resend_submit(client: Any) -> None:
    """Take SubmitJob out of botocore's own retries, which would send it twice unasked."""
    client.meta.events.register_first(
        "needs-retry.batch.SubmitJob", _raise_ambiguous, unique_id="seqharvest-submit-once"
    )


def _raise_ambiguous(response: Any, caught_exception: Exception | None, **_: Any) -> None:
    if caught_exception is not None:
        raise caught_exception
    http, parsed = response
    if http.status_code >= 500:
        raise ClientError(parsed, "SubmitJob")


def _may_pass(error: Exception) -> bool:
    if not isinstance(error, ClientError):
        return True
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    code = error.response.get("Error", {}).get("Code", "")
    return status >= 500 or status == 429 or "Throttl" in code or code == "TooManyRequestsException"


def _refused(request: JobRequest, error: Exception) -> InputError:
    return InputError(
        f"AWS Batch refuses job {request.name} on queue {request.queue} "
        f"with definition {request.definition}: {error}",
        "check the queue and job definition names in the settings and the job's resources",
    )
