"""Deploys and destroys the CloudFormation stacks: `make deploy STACK=… [DRY_RUN=yes]`.

Small stacks in one order; what one puts out is the parameter of the same name of those after it.
Each change is shown before it is made, and of a dry run nothing stays.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

TEMPLATES = Path(__file__).parent
#: In the order of what needs what. The first three hold what people want to keep.
STACKS = ("data", "images", "logs", "network", "iam", "batch")
KEPT = ("data", "images", "logs")
PENDING = "pending"  # stands for what a stack that is not there yet will put out, in dry runs
#: Service Quotas' names for the vCPUs of standard instances, and the parameters that ask for them.
QUOTAS = {
    "L-34B43A08": ("Spot", ("SpotVcpus",)),
    "L-1216C47A": ("on-demand", ("HeadVcpus", "FallbackVcpus", "LargeDiskVcpus")),
}
PATIENCE = 3600.0  # seconds for a stack; a compute environment takes minutes


class DeployError(Exception):
    """What is wrong, where, and what to do about it, in one line."""


class Deployment:
    """One deployment in one account and region; its stacks are named `<name>-<template>`."""

    def __init__(self, name: str, given: Mapping[str, str], region: str | None = None) -> None:
        self.name = name
        self.given = dict(given)
        self.session = boto3.Session(region_name=region)
        self.outputs: dict[str, str] = {}
        self.change_set = f"seqharvest-{time.time_ns()}"  # executed ones keep their names

    def client(self, service: str) -> Any:
        """Return a client that gives up within a minute."""
        brief = Config(retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10)
        return self.session.client(service, config=brief)

    def check_account(self) -> str:
        """Return the account; raise when there are no credentials or no region."""
        try:
            identity = self.client("sts").get_caller_identity()
        except NoRegionError as error:
            raise DeployError("no region is set → export AWS_REGION=…, or REGION=…") from error
        except NoCredentialsError as error:
            raise DeployError(
                "no AWS credentials → `aws sso login`, AWS_PROFILE=…, or a role"
            ) from error
        except (ClientError, BotoCoreError) as error:
            raise DeployError(f"AWS does not know these credentials: {error}") from error
        return str(identity["Account"])

    def deploy(self, only: Sequence[str], dry_run: bool) -> None:
        """Make each stack what its template says."""
        unknown = self.given.keys() - {key for stack in STACKS for key in parameters(stack)}
        if unknown:
            raise DeployError(f"no template has the parameter {', '.join(sorted(unknown))}")
        for stack in STACKS:
            if stack in only:
                if stack == "batch":
                    self.check_image(dry_run)
                    self.check_quotas()
                self.change(stack, dry_run)
            self.outputs |= self.outputs_of(stack)

    def check_image(self, dry_run: bool) -> None:
        """Raise when the image that job definitions are to name is not in its repository."""
        repository = self.outputs.get("PipelineRepository", "")
        tag = self.given.get("ImageTag", "")
        if not tag:
            raise DeployError("which image? → TAG=<tag of seqharvest-pipeline> (`make images`)")
        if dry_run and not repository:
            return
        name, image = repository.partition("/")[2], {"imageTag": tag}
        try:
            found = self.client("ecr").describe_images(repositoryName=name, imageIds=[image])
        except ClientError as error:
            if error.response["Error"]["Code"] not in (
                "ImageNotFoundException",
                "RepositoryNotFoundException",
            ):
                raise
            found = {}
        if not found.get("imageDetails"):
            raise DeployError(
                f"there is no image {repository}:{tag} → push it: "
                f"docker push {repository}:{tag} (docs/deploy.md), then deploy again"
            )

    def check_quotas(self) -> None:
        """Say where the account allows fewer vCPUs than the queues are given."""
        defaults = parameters("batch")
        for code, (kind, names) in QUOTAS.items():
            wanted = sum(float(self.given.get(n, defaults[n].get("Default", 0))) for n in names)
            try:
                quota = self.client("service-quotas").get_service_quota(
                    ServiceCode="ec2", QuotaCode=code
                )["Quota"]["Value"]
            except (ClientError, BotoCoreError):
                print(f"quota of {kind} vCPUs not checked (no answer from Service Quotas)")
                continue
            if quota < wanted:
                print(
                    f"WARNING: the account allows {quota:.0f} {kind} vCPUs, the queues may ask for "
                    f"{wanted:.0f} → ask for more (quota {code}), or lower {', '.join(names)}"
                )

    def change(self, stack: str, dry_run: bool) -> None:
        """Show what differs from a template, and unless it is a dry run, make it so."""
        name, cloudformation = f"{self.name}-{stack}", self.client("cloudformation")
        status = self.status(name)
        if status in ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS"):  # left by a failed first try
            cloudformation.delete_stack(StackName=name)
            self.wait(name, gone=True)
            status = ""
        if status.endswith("_IN_PROGRESS"):
            raise DeployError(f"stack {name} is {status} → wait for it, then deploy again")
        cloudformation.create_change_set(
            StackName=name,
            ChangeSetName=self.change_set,
            ChangeSetType="UPDATE" if status else "CREATE",
            TemplateBody=template_text(stack),
            Parameters=self.arguments(stack, dry_run),
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Tags=[{"Key": "seqharvest", "Value": self.name}],
        )
        changes = self.changes(name)
        print(f"{name}: {len(changes)} changes" if changes else f"{name}: nothing to change")
        for line in changes:
            print(f"  {line}")
        if not changes or dry_run:
            cloudformation.delete_change_set(StackName=name, ChangeSetName=self.change_set)
            if not status:
                cloudformation.delete_stack(StackName=name)  # the empty one under review
                self.wait(name, gone=True)
            return
        cloudformation.execute_change_set(StackName=name, ChangeSetName=self.change_set)
        ended = self.wait(name)
        if ended not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise DeployError(f"stack {name} is {ended}: {self.first_failure(name)}")

    def arguments(self, stack: str, dry_run: bool) -> list[dict[str, str]]:
        """Return a template's parameters: given, put out by stacks before it, else its default."""
        values = {**self.outputs, **self.given, "Name": self.name}
        found = []
        for key, parameter in parameters(stack).items():
            if key in values:
                found.append({"ParameterKey": key, "ParameterValue": values[key]})
            elif "Default" not in parameter:
                if not dry_run:
                    raise DeployError(
                        f"template {stack} has no value for {key} → deploy all stacks, "
                        f"or PARAMETERS='{key}=…'"
                    )
                found.append({"ParameterKey": key, "ParameterValue": PENDING})
        return found

    def changes(self, name: str) -> list[str]:
        """Wait for the change set; return its changes in words, none when nothing differs."""
        cloudformation = self.client("cloudformation")
        deadline = time.monotonic() + 300
        while True:
            found = cloudformation.describe_change_set(
                StackName=name, ChangeSetName=self.change_set
            )
            if found["Status"] == "CREATE_COMPLETE":
                break
            if found["Status"] == "FAILED":
                reason = found.get("StatusReason", "")
                if "didn't contain changes" in reason or "No updates" in reason:
                    return []
                raise DeployError(f"stack {name} cannot be changed: {reason}")
            if time.monotonic() > deadline:
                raise DeployError(f"stack {name}: the change set is {found['Status']} for 5 min")
            time.sleep(1)
        lines = []
        for change in found["Changes"]:
            one = change["ResourceChange"]
            risk = "  REPLACED" if one.get("Replacement") == "True" else ""
            action, kind = one["Action"], one["ResourceType"]
            lines.append(f"{action:6} {kind} {one['LogicalResourceId']}{risk}")
        return lines

    def status(self, name: str) -> str:
        """Return a stack's status; empty when there is none."""
        try:
            found = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return ""
            raise
        status = str(found[0]["StackStatus"]) if found else ""
        return "" if status == "DELETE_COMPLETE" else status

    def wait(self, name: str, gone: bool = False) -> str:
        """Wait for a stack to settle, and return its status."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            status = self.status(name)
            settled = not status.endswith("_IN_PROGRESS")
            if (gone and not status) or (settled and not gone) or status == "DELETE_FAILED":
                return status
            time.sleep(1)
        raise DeployError(f"stack {name} is {status} after {PATIENCE / 60:.0f} min")

    def first_failure(self, name: str) -> str:
        """Return the event that began a stack's failure."""
        events = self.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
        for event in reversed(events):
            reason = event.get("ResourceStatusReason", "")
            if event["ResourceStatus"].endswith("FAILED") and "cancelled" not in reason:
                return f"{event['LogicalResourceId']}: {reason}"
        return "no reason given; see its events in the console"

    def outputs_of(self, stack: str) -> dict[str, str]:
        """Return what a stack puts out; nothing when it is not there."""
        name = f"{self.name}-{stack}"
        if not self.status(name):
            return {}
        found = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}

    def destroy(self, delete_data: bool) -> None:
        """Delete the stacks; of data, images and logs only when told, and then the things too."""
        for stack in STACKS:
            self.outputs |= self.outputs_of(stack)
        for stack in reversed(STACKS):
            name = f"{self.name}-{stack}"
            if not self.status(name):
                continue
            if stack in KEPT and not delete_data:
                print(f"{name} stays, with what it holds → DELETE_DATA={self.name} deletes it")
                continue
            self.client("cloudformation").delete_stack(StackName=name)
            if self.wait(name, gone=True):
                raise DeployError(f"stack {name} stays: {self.first_failure(name)}")
            print(f"{name} deleted")
        if delete_data:
            self.delete_kept()

    def delete_kept(self) -> None:
        """Delete what the templates retain: bucket with all versions, registry, images."""
        bucket = self.outputs.get("Bucket")
        if bucket:
            s3 = self.client("s3")
            for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
                found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                objects = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]
                if objects:
                    s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            s3.delete_bucket(Bucket=bucket)
        if "Table" in self.outputs:
            self.client("dynamodb").delete_table(TableName=self.outputs["Table"])
        for output in ("PipelineRepository", "AirflowRepository"):
            if output in self.outputs:
                name = self.outputs[output].partition("/")[2]
                self.client("ecr").delete_repository(repositoryName=name, force=True)
        print(f"{self.name}: bucket, registry and images deleted")

    def environment(self) -> dict[str, str]:
        """Return what Airflow's environment must say for this deployment."""
        names = {snake(key): value for key, value in self.outputs.items()}
        known = set(setting_names())
        return {f"SEQHARVEST_{n.upper()}": v for n, v in names.items() if n in known}


def setting_names() -> list[str]:
    """Return the names of Seqharvest's settings."""
    from dataclasses import fields

    from seqharvest.settings import Settings

    return [field.name for field in fields(Settings)]


def snake(name: str) -> str:
    """`HeadQueue` → `head_queue`."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def template_text(stack: str) -> str:
    """Return a template."""
    return (TEMPLATES / f"{stack}.yaml").read_text()


def parameters(stack: str) -> dict[str, dict[str, Any]]:
    """Return a template's parameters."""
    return dict(template(stack)["Parameters"])


def template(stack: str) -> dict[str, Any]:
    """Return a template as data; short forms (`!Ref`) as `{tag: value}`."""
    return dict(yaml.load(template_text(stack), Loader=_Loader))


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's tags."""


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {tag: value}


_Loader.add_multi_constructor("!", _tagged)


def main(argv: Sequence[str] | None = None) -> int:
    """Deploy or destroy; return 0, or 1 with a line that says what to do."""
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description=__doc__)
    parser.add_argument("what", choices=("deploy", "destroy"))
    parser.add_argument("name", help="name of the deployment; starts every name in it")
    parser.add_argument("--region", default=None)
    parser.add_argument("--tag", default="", help="of the pipeline image in ECR")
    parser.add_argument("--parameters", default="", help="Key=value Key=value …")
    parser.add_argument("--only", default=",".join(STACKS), help="stacks, comma-separated")
    parser.add_argument("--dry-run", action="store_true", help="show the changes, make none")
    parser.add_argument("--delete-data", default="", help="the deployment's name, to be sure")
    options = parser.parse_args(argv)
    try:
        given = dict(pair.split("=", 1) for pair in options.parameters.split())
        if options.tag:
            given["ImageTag"] = options.tag
        deployment = Deployment(options.name, given, options.region)
        account = deployment.check_account()
        where = f"account {account}, region {deployment.session.region_name}"
        print(f"{options.name} in {where}")
        if options.what == "destroy":
            if options.delete_data not in ("", options.name):
                raise DeployError(f"DELETE_DATA must be {options.name}, to be sure")
            deployment.destroy(bool(options.delete_data))
            return 0
        only = options.only.split(",")
        if set(only) - set(STACKS):
            raise DeployError(f"the stacks are {', '.join(STACKS)}")
        deployment.deploy(only, options.dry_run)
        for name, value in sorted(deployment.environment().items()):
            print(f"{name}={value}")
    except DeployError as error:
        print(f"seqharvest: {error}", file=sys.stderr)
        return 1
    except ValueError:
        print("seqharvest: parameters are not Key=value Key=value …", file=sys.stderr)
        return 1
    except (ClientError, BotoCoreError) as error:
        print(f"seqharvest: AWS refuses: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
