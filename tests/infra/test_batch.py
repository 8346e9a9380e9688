"""Batch as the templates make it: what the code submits to, and hosts like those it plans for."""

from __future__ import annotations

import base64
import os
import subprocess
from dataclasses import fields
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

from infra.deploy import snake, template
from seqharvest.batch import RETRY_STRATEGY
from seqharvest.settings import Settings
from snakemake_executor_plugin_seqharvest_batch import hosts
from tests.conftest import REPO
from tests.infra.conftest import TAG, Account

ROLES = {"head": "HeadRole", "worker": "WorkerRole", "fetch": "FetcherRole"}


@pytest.fixture(scope="module")
def definitions(batch_account: Account) -> dict[str, dict[str, Any]]:
    """Job definitions by name."""
    found = batch_account.client("batch").describe_job_definitions()["jobDefinitions"]
    return {one["jobDefinitionName"]: one for one in found}


def environment(definition: dict[str, Any]) -> dict[str, str]:
    """Return a definition's environment."""
    return {v["name"]: str(v["value"]) for v in definition["containerProperties"]["environment"]}


def test_queues_and_definitions_have_the_names_the_code_uses(
    batch_account: Account, definitions: dict[str, Any]
) -> None:
    queues = batch_account.client("batch").describe_job_queues()["jobQueues"]
    default = Settings()
    assert {one["jobQueueName"] for one in queues} == {
        default.head_queue,
        default.worker_queue,
        default.large_disk_queue,
    }
    assert set(definitions) == {default.head_job, default.worker_job, default.fetch_job}


def test_heads_share_no_host_with_workers(batch_account: Account) -> None:
    queues = batch_account.client("batch").describe_job_queues()["jobQueues"]
    order = {
        one["jobQueueName"]: [e["computeEnvironment"] for e in one["computeEnvironmentOrder"]]
        for one in queues
    }
    heads = set(order.pop("seqharvest-head"))
    assert heads.isdisjoint(environment for of in order.values() for environment in of)
    spot, on_demand = order["seqharvest-worker"]
    assert spot.endswith("-spot") and on_demand.endswith("-on-demand")


@pytest.mark.parametrize("role", ROLES)
def test_a_job_has_its_role_its_image_and_the_disk(
    batch_account: Account, definitions: dict[str, Any], role: str
) -> None:
    found = definitions[f"seqharvest-{role}"]
    container = found["containerProperties"]
    assert container["image"] == f"{batch_account.outputs['PipelineRepository']}:{TAG}"
    assert container["jobRoleArn"] == batch_account.outputs[ROLES[role]]
    assert not container.get("privileged")
    (mount,), (volume,) = container["mountPoints"], container["volumes"]
    assert (mount["containerPath"], volume["host"]["sourcePath"]) == ("/scratch", "/scratch")
    assert container["logConfiguration"]["options"]["awslogs-group"] == "/aws/batch/job"
    retry = found["retryStrategy"]
    assert retry["attempts"] == RETRY_STRATEGY["attempts"]
    for ours, theirs in zip(RETRY_STRATEGY["evaluateOnExit"], retry["evaluateOnExit"], strict=True):
        assert {k: v.lower() for k, v in ours.items()} == {k: v.lower() for k, v in theirs.items()}


@pytest.mark.parametrize("role", ROLES)
def test_a_jobs_environment_is_settings_with_this_deployments_values(
    batch_account: Account, definitions: dict[str, Any], role: str
) -> None:
    given = environment(definitions[f"seqharvest-{role}"])
    assert given.pop("AWS_DEFAULT_REGION") == "us-east-1"
    assert given.pop("TMPDIR") == "/scratch"
    assert given.pop("SEQHARVEST_SCRATCH") == Settings().scratch
    assert given.pop("SEQHARVEST_REFERENCE_CACHE") == Settings().reference_cache
    known = {f"SEQHARVEST_{field.name.upper()}": field.name for field in fields(Settings)}
    put_out = {snake(key): value for key, value in batch_account.outputs.items()}
    assert given == {name: put_out[known[name]] for name in given}


def test_the_executor_can_plan_the_disk_of_every_worker(batch_account: Account) -> None:
    said: list[str] = []
    batch = batch_account.client("batch")
    queue = hosts.read(batch, "seqharvest-worker", reserved_gib=40, say=said.append)
    assert queue.plans_disk and said == []
    smallest = min(queue.scratch_of(host) for host in queue.hosts if host.vcpus >= 4)
    assert smallest > 40 * 1024
    gib = float(batch_account.outputs["LargeDiskGib"])
    large = hosts.read(batch, "seqharvest-large-disk", scratch_gib=gib, say=said.append)
    assert large.plans_disk and said == []
    # The volume holds what jobs may plan with and the reference cache.
    volume = template("batch")["Parameters"]["LargeDiskVolumeGib"]["Default"]
    assert volume - gib >= 40


def test_fetches_get_the_scratch_they_are_promised() -> None:
    types = template("batch")["Parameters"]["WorkerTypes"]["Default"].split(",")
    found, unknown = hosts.expand(types)
    assert unknown == []
    assert min(h.store / h.vcpus for h in found) >= Settings().scratch_gb_per_vcpu


class TestHosts:
    """The set-up of hosts, run by bash with stand-ins for what only an instance has."""

    @pytest.fixture
    def setup(self, batch_account: Account) -> str:
        """The script, out of the launch template's user data."""
        ec2 = batch_account.client("ec2")
        found = ec2.describe_launch_templates()["LaunchTemplates"]
        scripts = set()
        for one in found:
            (version,) = ec2.describe_launch_template_versions(
                LaunchTemplateId=one["LaunchTemplateId"]
            )["LaunchTemplateVersions"]
            text = base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()
            message = message_from_string(text)
            assert message.is_multipart()  # Batch adds a part of its own
            (part,) = message.get_payload()  # type: ignore[misc]
            scripts.add(part.get_payload())  # type: ignore[union-attr]
        (script,) = scripts
        return str(script)

    def run(
        self, script: str, tmp_path: Path, disks: int, volume: bool, fail: str = ""
    ) -> list[str]:
        """Run it; return the commands that touched the host, and the exit code last."""
        bin_, said, root = tmp_path / "bin", tmp_path / "said", tmp_path / "root"
        by_id = root / "dev/disk/by-id"
        for folder in (bin_, by_id):
            folder.mkdir(parents=True)
        for tool in ("mdadm", "mkfs.ext4", "mount", "systemctl", "poweroff", "dnf"):
            code = int(tool == fail)
            body = f'#!/bin/sh\necho "{tool} $*" >> {said}\nexit {code}\n'
            (bin_ / tool).write_text(body)
            (bin_ / tool).chmod(0o755)
        for number in range(disks):
            (root / f"dev/nvme{number}n1").touch()
            name = f"nvme-Amazon_EC2_NVMe_Instance_Storage_AWS{number}"
            for alias in (name, f"{name}_1"):  # udev gives each disk two names
                (by_id / alias).symlink_to(root / f"dev/nvme{number}n1")
        if volume:
            (root / "dev/nvme9n1").touch()
            (root / "dev/sdf").symlink_to(root / "dev/nvme9n1")
        # Files stand for block devices; paths move below the test's own root.
        script = script.replace("[ -b ", "[ -f ").replace("/dev/console", "/dev/null")
        for path in ("/dev/disk", "/dev/sdf", "/scratch"):
            script = script.replace(path, f"{root}{path}")
        ended = subprocess.run(
            ["bash", "-c", script],
            env={"PATH": f"{bin_}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )
        text = said.read_text().replace(str(root), "") if said.exists() else ""
        lines = [line.strip() for line in text.splitlines()]
        if not fail:
            assert ended.returncode == 0, ended.stderr
            assert (root / "scratch").stat().st_mode & 0o7777 == 0o1777
            assert (root / "scratch/reference").stat().st_mode & 0o7777 == 0o1777
        return lines

    def test_disks_are_striped_once_each(self, setup: str, tmp_path: Path) -> None:
        made, formatted, mounted = self.run(setup, tmp_path, disks=3, volume=False)
        assert "--level=0 --raid-devices=3 /dev/nvme0n1 /dev/nvme1n1 /dev/nvme2n1" in made
        assert formatted.startswith("mkfs.ext4") and formatted.endswith("/dev/md0")
        assert mounted == "mount -o noatime /dev/md0 /scratch"

    def test_a_single_disk_is_taken_as_it_is(self, setup: str, tmp_path: Path) -> None:
        formatted, mounted = self.run(setup, tmp_path, disks=1, volume=True)
        assert formatted.endswith("/dev/nvme0n1") and mounted.endswith("/dev/nvme0n1 /scratch")

    def test_without_disks_the_volume_is_taken(self, setup: str, tmp_path: Path) -> None:
        formatted, mounted = self.run(setup, tmp_path, disks=0, volume=True)
        assert formatted.endswith("/dev/nvme9n1") and mounted.endswith("/dev/nvme9n1 /scratch")

    def test_a_head_has_a_folder(self, setup: str, tmp_path: Path) -> None:
        assert self.run(setup, tmp_path, disks=0, volume=False) == []

    def test_a_host_whose_disk_fails_takes_no_jobs(self, setup: str, tmp_path: Path) -> None:
        lines = self.run(setup, tmp_path, disks=2, volume=False, fail="mkfs.ext4")
        assert lines[-2:] == ["systemctl mask --now ecs", "poweroff"]


def test_the_cache_is_not_the_jobs_disk() -> None:
    """What the profile keeps free of jobs is what the templates add to the large volume."""
    profile = (REPO / "snakemake_workflows/profiles/batch/config.yaml").read_text()
    assert "seqharvest-batch-reserved-gib: 40" in profile
