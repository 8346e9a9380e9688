"""What a job's process is given: environment, scratch folder, limits, names."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from local.batch.config import ACCOUNT, MIB, Config
from local.batch.environments import key_of
from local.batch.jobs import Job, now_ms
from local.batch.process import Plan

# What a job role and the container agent give; the rest of the endpoint's environment stays out.
ROLE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
REGION = ("AWS_DEFAULT_REGION", "AWS_REGION")


def new_container(job: Job, config: Config) -> dict[str, str]:
    """Return the names of a new attempt's container, as DescribeJobs gives them."""
    ecs = f"arn:aws:ecs:{config.region}:{ACCOUNT}"
    task = uuid.uuid4().hex
    definition = key_of(job.definition).split(":")[0]
    return {
        "containerInstanceArn": f"{ecs}:container-instance/local/{uuid.uuid4().hex}",
        "taskArn": f"{ecs}:task/local/{task}",
        "logStreamName": f"{definition}/default/{task}",
    }


def new_process(job: Job, environment: str) -> dict[str, object]:
    """Return what is kept of an attempt so that a later endpoint can end and report it."""
    return {
        "host": f"i-{uuid.uuid4().hex[:17]}",
        "environment": environment,
        "startedAt": now_ms(),
        "pid": None,
    }


def plan(job: Job, config: Config, environment: str, output: Path) -> Plan:
    """Say what the job's next attempt runs."""
    scratch = config.state / "scratch" / f"{job.id.replace(':', '-')}-{len(job.attempts) + 1}"
    timeout = job.spec["timeout"].get("attemptDurationSeconds")
    return Plan(
        job_id=job.id,
        command=job.spec["container"]["command"],
        environment=_environment(job, config, environment, scratch),
        scratch=scratch,
        output=output,
        timeout=timeout,
        grace=config.grace,
        memory_limit=job.memory_mib * MIB if config.enforce_memory else None,
    )


def _environment(job: Job, config: Config, environment: str, scratch: Path) -> dict[str, str]:
    container = job.spec["container"]
    return {
        "PATH": config.job_path,
        "LANG": "C.UTF-8",
        **dict(config.job_environment or {}),
        **_role(config),
        **{item["name"]: item["value"] for item in container["environment"]},
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "SEQHARVEST_SCRATCH": str(scratch),
        **_batch(job, environment),
    }


def _role(config: Config) -> dict[str, str]:
    given = {
        name: value
        for name, value in os.environ.items()
        if name in ROLE or name.startswith("AWS_ENDPOINT_URL")
    }
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        **given,
        **dict.fromkeys(REGION, config.region),
        "AWS_ENDPOINT_URL_BATCH": config.url,
        "AWS_EC2_METADATA_DISABLED": "true",  # there is none here: do not wait for it
    }


def _batch(job: Job, environment: str) -> dict[str, str]:
    values = {
        "AWS_BATCH_JOB_ID": job.id,
        "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts) + 1),
        "AWS_BATCH_JQ_NAME": job.queue,
        "AWS_BATCH_CE_NAME": environment,
    }
    if job.index is not None:
        values["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
    return values
