"""What the hosts behind a job queue have: vCPUs, memory, GPUs, scratch."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

MIB_PER_GIB = 1024
BYTES_PER_MIB = 1 << 20
#: What ext4 takes for itself: 1.6 % for inodes, 5 % kept for root.
FILESYSTEM = 0.07
#: The kernel and the ECS agent keep about 3 % and 300 MiB: of 8,192 MiB an inf1.xlarge leaves
#: 7,679, of 32,768 an r5d.xlarge 31,672. Asked for more, a job stays RUNNABLE for ever.
SYSTEM_SHARE, SYSTEM_MIB = 0.03, 300


@dataclass(frozen=True)
class Host:
    """An instance type as AWS advertises it: memory in MiB, instance store in GB (10⁹ bytes).

    An instance store of several disks counts as one: hosts must stripe them (RAID 0).
    """

    name: str
    vcpus: int
    memory: int
    store: int = 0
    gpus: int = 0

    @property
    def free_memory(self) -> int:
        """Return the MiB that jobs surely get; Batch may find a little more, never `memory`."""
        return max(0, int(self.memory * (1 - SYSTEM_SHARE)) - SYSTEM_MIB)


@dataclass(frozen=True)
class Queue:
    """A job queue and the instance types its jobs may land on; none: they are not known."""

    name: str
    hosts: tuple[Host, ...] = ()
    #: MiB of scratch a host has when that is not its instance store (an EBS volume of each host).
    scratch: int = 0
    #: MiB of each host's scratch that are not the jobs' (the reference cache).
    reserved: int = 0

    def fitting(self, vcpus: int, memory: int, gpus: int = 0) -> list[Host]:
        """Return the hosts Batch might choose for such a job, the smallest memory first."""
        found = (
            host
            for host in self.hosts
            if host.vcpus >= vcpus and host.memory >= memory and host.gpus >= gpus
        )
        return sorted(found, key=lambda host: host.memory)

    def scratch_of(self, host: Host) -> int:
        """Return the MiB that a host's jobs may fill together."""
        whole = self.scratch or host.store * 10**9 // BYTES_PER_MIB
        return max(0, int(whole * (1 - FILESYSTEM)) - self.reserved)

    @property
    def plans_disk(self) -> bool:
        """Whether the scratch of every host is known."""
        return bool(self.hosts) and all(self.scratch or host.store for host in self.hosts)


_STORES = {  # GB by vCPUs, the disks of a host summed
    "5": {2: 75, 4: 150, 8: 300, 16: 600, 32: 1200, 48: 1800, 64: 2400, 96: 3600},
    "c5": {2: 50, 4: 100, 8: 200, 16: 400, 36: 900, 48: 1800, 72: 1800, 96: 3600},
    "6": {2: 118, 4: 237, 8: 474, 16: 950, 32: 1900, 48: 2850, 64: 3800, 96: 5700, 128: 7600},
}
_GIB_PER_VCPU = {"c": 2, "m": 4, "r": 8}
_GPU_HOSTS = (
    Host("g4dn.xlarge", 4, 16 * MIB_PER_GIB, 125, 1),
    Host("g4dn.2xlarge", 8, 32 * MIB_PER_GIB, 225, 1),
    Host("g4dn.4xlarge", 16, 64 * MIB_PER_GIB, 225, 1),
    Host("g4dn.8xlarge", 32, 128 * MIB_PER_GIB, 900, 1),
    Host("g4dn.12xlarge", 48, 192 * MIB_PER_GIB, 900, 4),
    Host("g4dn.16xlarge", 64, 256 * MIB_PER_GIB, 900, 1),
)


def _families() -> dict[str, tuple[Host, ...]]:
    families: dict[str, tuple[Host, ...]] = {"g4dn": _GPU_HOSTS}
    for kind, gib in _GIB_PER_VCPU.items():
        for generation, with_store, without in (("5", "5d", "5"), ("6", "6id", "6i")):
            sizes = _STORES.get(kind + generation, _STORES[generation])
            hosts = tuple(
                Host(_size(f"{kind}{with_store}", cpus), cpus, cpus * gib * MIB_PER_GIB, store)
                for cpus, store in sizes.items()
            )
            families[f"{kind}{with_store}"] = hosts
            families[f"{kind}{without}"] = tuple(
                replace(host, name=_size(f"{kind}{without}", host.vcpus), store=0) for host in hosts
            )
    return families


def _size(family: str, vcpus: int) -> str:
    return f"{family}.large" if vcpus == 2 else f"{family}.{vcpus // 4}xlarge".replace(".1x", ".x")


#: The instance types of each family this module knows, the smallest first.
FAMILIES = _families()
_BY_NAME = {host.name: host for family in FAMILIES.values() for host in family}


def expand(instance_types: Iterable[str]) -> tuple[list[Host], list[str]]:
    """Return the hosts that types and families (`r5d`) stand for, and the names not known."""
    hosts: dict[str, Host] = {}
    unknown = []
    for name in instance_types:
        family, _, size = name.partition(".")
        if size == "metal" and family in FAMILIES:
            found: tuple[Host, ...] = (replace(FAMILIES[family][-1], name=name),)
        else:
            found = FAMILIES.get(name) or ((_BY_NAME[name],) if name in _BY_NAME else ())
        if not found:
            unknown.append(name)
        hosts.update((host.name, host) for host in found)
    return list(hosts.values()), unknown


def read(
    batch: Any,
    name: str,
    *,
    instance_types: str = "",
    scratch_gib: float = 0,
    reserved_gib: float = 0,
    say: Callable[[str], None] = print,
) -> Queue:
    """Return a queue with the hosts its compute environments name, or `instance_types` does.

    `instance_types` is comma-separated; it replaces what Batch tells. Where a type is not known the
    queue has no hosts, which is said: nothing can be checked then. Raises `WorkflowError` when the
    queue does not exist, is disabled or not valid, or has no compute environment that is in use.
    """
    environments = _environments(batch, _usable_queue(batch, name))
    given = [part.strip() for part in instance_types.split(",") if part.strip()]
    types = given or [kind for each in environments for kind in _types(each)]
    hosts, unknown = expand(types)
    if unknown and given:
        raise WorkflowError(
            f"instance types {', '.join(unknown)} are not known; families: {', '.join(FAMILIES)}"
        )
    if unknown:
        say(
            f"Queue {name}: hosts of type {', '.join(sorted(set(unknown)))} are not known here; "
            "vCPU, memory and disk are not checked against them. "
            "--seqharvest-batch-instance-types can name them."
        )
        hosts = []
    return Queue(
        name,
        tuple(sorted(hosts, key=lambda host: (host.memory, host.vcpus, host.name))),
        int(scratch_gib * MIB_PER_GIB),
        int(reserved_gib * MIB_PER_GIB),
    )


def _usable_queue(batch: Any, name: str) -> Mapping[str, Any]:
    found = batch.describe_job_queues(jobQueues=[name])["jobQueues"]
    if not found:
        raise WorkflowError(f"there is no job queue {name}; give the name or ARN of one")
    queue: Mapping[str, Any] = found[0]
    if queue["state"] != "ENABLED":
        raise WorkflowError(
            f"job queue {name} is disabled: its jobs would never start; enable it or give another"
        )
    if queue.get("status") not in (None, "VALID", "UPDATING"):
        reason = queue.get("statusReason", "no reason given")
        raise WorkflowError(f"job queue {name} is {queue['status']}: {reason}")
    return queue


def _environments(batch: Any, queue: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the compute environments of a queue that are in use; raise when there is none."""
    names = [entry["computeEnvironment"] for entry in queue["computeEnvironmentOrder"]]
    answer = batch.describe_compute_environments(computeEnvironments=names)
    all_of_them = answer["computeEnvironments"]
    usable = [each for each in all_of_them if each["state"] == "ENABLED"]
    if not usable:
        told = ", ".join(re.sub(r"^.*/", "", name) for name in names)
        raise WorkflowError(
            f"job queue {queue['jobQueueName']} has no enabled compute environment ({told}): its "
            "jobs would never start"
        )
    return usable


def _types(environment: Mapping[str, Any]) -> list[str]:
    resources = environment.get("computeResources") or {}
    if resources.get("type", "").startswith("FARGATE"):
        return [resources["type"]]
    return list(resources.get("instanceTypes") or ["unmanaged"])
