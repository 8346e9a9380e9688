"""Make in the local stack what infrastructure code makes in the cloud; safe to run again.

Bucket, registry table, Glue catalogue, log group, Batch queues and one job definition a role.
"""

from __future__ import annotations

import os
from typing import Any

import boto3
from botocore.exceptions import ClientError

from local.config import HEAD_VCPUS, StackConfig, worker_vcpus
from seqharvest.lake import catalogue
from seqharvest.registry import TABLE
from seqharvest.settings import settings

# A job's default vCPUs and MiB; submits may override them.
ROLES = {
    "head_job": ("0.25", "600"),
    "worker_job": ("1", "2000"),
    "fetch_job": ("1", "1000"),
}
# As in the cloud, heads have machines of their own: they wait for workers, which could not start
# where heads had taken every core.
HEADS, WORKERS = "heads", "workers"
QUEUES = {  # setting: (compute environment, priority)
    "head_queue": (HEADS, 10),
    "worker_queue": (WORKERS, 5),
    "large_disk_queue": (WORKERS, 1),
}


def main() -> None:
    """Make whatever is not there yet."""
    config = StackConfig.from_environment()
    make_storage()
    make_registry()
    catalogue.ensure_tables(settings().bucket)
    make_queues()
    make_job_definitions(config)


def make_storage() -> None:
    """The data bucket and the log group of Batch."""
    s3, logs = boto3.client("s3"), boto3.client("logs")
    if_absent(s3.create_bucket, Bucket=settings().bucket)
    if_absent(logs.create_log_group, logGroupName="/aws/batch/job")


def make_registry() -> None:
    """The registry's table, with its index and stream."""
    if_absent(boto3.client("dynamodb").create_table, TableName=settings().table, **TABLE)


def make_queues() -> None:
    """The compute environments and queues of a deployment, sized to this machine."""
    batch = boto3.client("batch")
    there = batch.describe_compute_environments()["computeEnvironments"]
    for name, kind, vcpus in ((HEADS, "EC2", HEAD_VCPUS), (WORKERS, "SPOT", worker_vcpus())):
        if name not in {environment["computeEnvironmentName"] for environment in there}:
            batch.create_compute_environment(
                computeEnvironmentName=name,
                type="MANAGED",
                state="ENABLED",
                computeResources={
                    "type": kind,
                    "minvCpus": 0,
                    "maxvCpus": vcpus,
                    "subnets": ["subnet-loopback"],
                    "instanceTypes": ["optimal"],
                    "instanceRole": "ecsInstanceRole",
                },
            )
    for knob, (environment, priority) in QUEUES.items():
        queue = getattr(settings(), knob)
        if not batch.describe_job_queues(jobQueues=[queue])["jobQueues"]:
            batch.create_job_queue(
                jobQueueName=queue,
                priority=priority,
                state="ENABLED",
                computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
            )


def make_job_definitions(config: StackConfig) -> None:
    """One definition a role; a new revision only when what it says has changed."""
    batch = boto3.client("batch")
    environment = [{"name": k, "value": v} for k, v in sorted(config.seqharvest().items())]
    for knob, (vcpus, memory) in ROLES.items():
        name = getattr(settings(), knob)
        wanted = {
            "image": "seqharvest-pipeline",
            "command": ["true"],
            "environment": environment,
            "resourceRequirements": [
                {"type": "VCPU", "value": vcpus},
                {"type": "MEMORY", "value": memory},
            ],
        }
        active = batch.describe_job_definitions(jobDefinitionName=name, status="ACTIVE")
        latest = max(active["jobDefinitions"], key=lambda d: d["revision"], default=None)
        if latest and all(latest["containerProperties"].get(k) == v for k, v in wanted.items()):
            continue
        batch.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties=wanted
        )


def if_absent(create: Any, **arguments: Any) -> None:
    """Call a create operation; that the thing exists already is as good."""
    there = {
        "BucketAlreadyOwnedByYou",
        "BucketAlreadyExists",
        "ResourceInUseException",
        "ResourceAlreadyExistsException",
    }
    try:
        create(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] not in there:
            raise


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    main()
