"""What jobs get of a host: never more scratch together than it has, never less than they asked."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_seqharvest_batch import hosts, resources
from snakemake_executor_plugin_seqharvest_batch.failures import Kind
from snakemake_executor_plugin_seqharvest_batch.hosts import FAMILIES, Host, Queue
from snakemake_executor_plugin_seqharvest_batch.resources import Plan, Resources, of_job
from tests.batch_endpoint import BatchEndpoint

GIB = 1024
EVERYTHING_5D = FAMILIES["r5d"] + FAMILIES["m5d"] + FAMILIES["c5d"]


@dataclass
class Job:
    """A job as far as its resources go."""

    threads: int = 1
    resources: dict[str, Any] = field(default_factory=dict)
    rules: tuple[str, ...] = ("star",)
    attempt: int = 1


def job(threads: int = 1, **wanted: Any) -> Job:
    return Job(threads, wanted)


def plan(*families: str, large: Queue | None = None, **about: int) -> Plan:
    types = tuple(host for family in families for host in FAMILIES[family])
    return Plan(Queue("spot", types, **about), large, said.append)


said: list[str] = []
needs = st.tuples(
    st.integers(1, 96), st.integers(500, 400_000), st.integers(0, 2_000_000)
)  # vCPUs, memory, disk
queues = st.builds(
    Queue,
    st.just("spot"),
    st.sets(st.sampled_from(sorted(FAMILIES)), min_size=1).map(
        lambda names: tuple(host for name in sorted(names) for host in FAMILIES[name])
    ),
    scratch=st.sampled_from([0, 0, 500 * GIB]),
    reserved=st.sampled_from([0, 40 * GIB]),
)


@given(queues, st.lists(needs, min_size=1, max_size=60), st.data())
@settings(max_examples=300, deadline=None)
def test_no_host_s_jobs_can_need_more_scratch_than_it_has(
    queue: Queue, wanted: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    if not queue.plans_disk:
        return
    placed = []
    for vcpus, memory, disk in wanted:
        try:
            placed.append(
                of_job(job(vcpus, mem_mb=memory, disk_mb=disk), 2000, Plan(queue, say=said.append))
            )
        except WorkflowError:
            continue
        got = placed[-1]
        assert (got.vcpus, got.disk) == (vcpus, disk)
        assert got.memory >= memory
        assert any(h.vcpus >= vcpus and h.free_memory >= got.memory for h in queue.hosts)
    # Batch may choose any type, and any order; its memory may be all that is advertised.
    host = data.draw(st.sampled_from(queue.hosts))
    cpus, memory, disk = host.vcpus, host.memory, 0
    for each in data.draw(st.permutations(placed)):
        if each.vcpus <= cpus and each.memory <= memory:
            cpus, memory, disk = cpus - each.vcpus, memory - each.memory, disk + each.disk
    assert disk <= queue.scratch_of(host)


@given(st.integers(1, 96), st.integers(1, 700_000))
def test_memory_goes_up_to_a_step_at_most_an_eighth_and_never_down(vcpus: int, asked: int) -> None:
    wanted = job(vcpus, mem_mb=asked)
    for where in (None, plan("r5d")):
        got = of_job(wanted, 2000, where)
        assert asked <= got.memory <= asked * 1.125
        assert of_job(job(vcpus, mem_mb=got.memory), 2000, where) == got
        if where:
            fits = [h for h in FAMILIES["r5d"] if h.vcpus >= vcpus and h.free_memory >= asked]
            assert got.memory <= fits[0].free_memory, "a host it fitted is not lost to rounding"


def test_shares_of_a_host_still_fit_it_together() -> None:
    for host in FAMILIES["r5d"]:
        for parts in (1, 2, 4, 8):
            asked = host.free_memory * 94 // 100 // parts
            got = of_job(job(mem_mb=asked), 2000, plan("r5d"))
            assert parts * got.memory <= host.free_memory


def test_similar_needs_have_one_shape() -> None:
    memories = {of_job(job(mem_mb=mem), 2000, plan("r5d")).memory for mem in range(7800, 15500)}
    assert len(memories) <= 9


def test_memory_is_raised_until_its_share_of_the_leanest_host_holds_the_scratch() -> None:
    said.clear()
    # r5d.24xlarge is the leanest host: 3,600 GB less the filesystem for 768 GiB, 4.06 MiB a MiB.
    got = of_job(job(2, mem_mb=8000, disk_mb=60_000), 2000, plan("r5d"))
    assert got == Resources(2, 15_564, disk=60_000)
    assert said == [
        "rule star: memory raised from 8000 to 15564 MiB, whose share of a host's disk is 62 GiB "
        "of scratch"
    ]


def test_raised_memory_rules_out_lean_small_hosts() -> None:
    lean = Host("lean.small", 8, 16 * GIB, 20)
    rich = Host("rich.large", 16, 64 * GIB, 2000)
    got = of_job(job(2, mem_mb=10_000, disk_mb=100_000), 2000, Plan(Queue("spot", (lean, rich))))
    # By the lean host's share it would take 91 GB; a MiB more than that host has is enough.
    assert 16 * GIB < got.memory <= 18 * GIB


def test_what_needs_too_much_memory_for_its_scratch_goes_to_the_large_disk_queue() -> None:
    large = Queue("large", FAMILIES["r5"])
    said.clear()
    got = of_job(job(2, mem_mb=4000, disk_mb=100_000), 2000, plan("r5d", large=large))
    assert got == Resources(2, 4377, disk=100_000, queue="large")
    assert said == ["rule star: 98 GiB of scratch: to the large-disk queue large"]
    # Without such a queue it gets the memory, however much: dear, but it runs.
    assert of_job(job(2, mem_mb=4000, disk_mb=100_000), 2000, plan("r5d")).memory == 25_292


def test_scratch_that_no_host_has_is_refused_with_rule_and_remedy() -> None:
    with pytest.raises(WorkflowError) as error:
        of_job(job(2, mem_mb=4000, disk_mb=5_000_000), 2000, plan("r5d"))
    assert str(error.value) == (
        "rule star: 4883 GiB of scratch for one job is more than any host gives it (a host of spot "
        "has at most 3118 GiB): lower disk_mb or give --seqharvest-batch-large-disk-queue"
    )

    where = Plan(Queue("spot"), Queue("large", FAMILIES["r5"], scratch=500 * GIB), said.append)
    filled = [(Resources(2, 4000, disk=400_000), Kind.DISK_FULL)]
    with pytest.raises(WorkflowError, match="a host of large has at most 465 GiB"):
        of_job(job(2, mem_mb=4000, disk_mb=400_000), 2000, where, filled)


def test_every_rule_that_no_host_can_run_is_named_before_anything_is_submitted() -> None:
    jobs = [
        Job(4, {"mem_mb": 8000}, ("fastp",)),
        job(200, mem_mb=8000),
        Job(8, {"mem_mb": 800_000}, ("salmon",)),
        Job(8, {"gpu": 1}, ("caller",)),
    ]
    with pytest.raises(WorkflowError) as error:
        resources.check_all(jobs, 2000, plan("r5d"))
    told = str(error.value).splitlines()
    assert [line.split(":")[0] for line in told] == ["rule star", "rule salmon", "rule caller"]
    assert told[1] == (
        "rule salmon: no host of queue spot has 8 vCPUs, 800000 MiB; the largest, r5d.24xlarge, "
        "leaves jobs 96 vCPUs, 762539 MiB: lower the rule's threads or mem_mb, or give a queue "
        "with larger instance types"
    )
    assert "1 GPUs" in told[2]


def test_any_size_that_fits_is_taken_as_it_is() -> None:
    # Stock lowers 8 vCPU with 40,000 MB to 16,384 MB, and refuses 12 vCPU.
    got = of_job(job(12, mem_mb=40_000, runtime=30, gpu=1), 2000, plan("g4dn"))
    assert got == Resources(12, 42_803, timeout=1800, gpus=1)


def test_a_resource_that_is_no_positive_number_is_told_by_rule() -> None:
    for wanted in ({"mem_mb": 0}, {"runtime": -1}, {"disk_mb": "much"}):
        with pytest.raises(WorkflowError, match="rule star: resource"):
            of_job(job(1, **wanted), 2000, plan("r5d"))
    assert of_job(job(1, disk_mb=0, mem_mb=""), 2000, plan("r5d")).memory == 2188


def test_each_kind_of_failure_is_followed_by_more_of_what_was_short() -> None:
    large = Queue("large", FAMILIES["r5"])
    where = plan("r5d", large=large)
    wanted = job(2, mem_mb=8000, runtime=60, disk_mb=30_000)
    first = of_job(wanted, 2000, where)
    assert first == Resources(2, 8755, timeout=3600, disk=30_000)

    more = of_job(wanted, 2000, where, [(first, Kind.OUT_OF_MEMORY)])
    assert more.memory >= 2 * first.memory
    longer = of_job(wanted, 2000, where, [(first, Kind.TIMEOUT), (more, Kind.OUT_OF_MEMORY)])
    assert longer.timeout == 7200
    assert of_job(wanted, 2000, where, [(first, Kind.SPOT_RECLAIM)]) == first

    wider = of_job(wanted, 2000, where, [(first, Kind.DISK_FULL)])
    assert wider.queue == ""
    share = resources.scratch_share(where.queue, first)
    assert share is not None
    assert wider.disk == 2 * share, "its share was full, whatever it had asked for"
    widest = of_job(wanted, 2000, where, [(first, Kind.DISK_FULL), (wider, Kind.DISK_FULL)])
    assert widest.queue == "large"


def test_out_of_memory_ends_at_the_largest_host() -> None:
    where = plan("c5d")
    most = FAMILIES["c5d"][-1].free_memory
    got = of_job(job(2), 2000, where, [(Resources(2, 150_000), Kind.OUT_OF_MEMORY)])
    assert got.memory == most
    with pytest.raises(WorkflowError, match="no host of queue spot"):
        of_job(job(2), 2000, where, [(got, Kind.OUT_OF_MEMORY)])


def test_the_reference_cache_and_the_filesystem_are_not_the_jobs() -> None:
    queue = Queue("spot", FAMILIES["r5d"], reserved=40 * GIB)
    small = queue.hosts[0]
    assert queue.scratch_of(small) == int(75e9 / 2**20 * 0.93) - 40 * GIB
    assert of_job(job(8, mem_mb=40_000, disk_mb=150_000), 2000, Plan(queue)).memory > 42_803


@pytest.fixture(scope="module")
def make_queue(batch: BatchEndpoint) -> Any:
    def make(types: list[str], state: str = "ENABLED", environment: str = "ENABLED") -> str:
        name = f"q-{uuid.uuid4().hex[:8]}"
        batch.client.create_compute_environment(
            computeEnvironmentName=name,
            type="MANAGED",
            state=environment,
            computeResources={
                "type": "SPOT",
                "maxvCpus": 64,
                "instanceTypes": types,
                "subnets": ["subnet-1"],
            },
        )
        order = [{"order": 1, "computeEnvironment": name}]
        batch.client.create_job_queue(
            jobQueueName=name, priority=1, state=state, computeEnvironmentOrder=order
        )
        return name

    return make


def test_a_queue_s_hosts_are_those_of_its_compute_environments(
    batch: BatchEndpoint, make_queue: Any
) -> None:
    said.clear()
    name = make_queue(["r5d", "c5d.9xlarge", "m5d.metal"])
    queue = hosts.read(batch.client, name, reserved_gib=40, say=said.append)
    assert {host.name for host in queue.hosts} == {
        *(host.name for host in FAMILIES["r5d"]),
        "c5d.9xlarge",
        "m5d.metal",
    }
    assert queue.plans_disk
    assert said == []


def test_unknown_instance_types_are_said_once_and_nothing_is_checked(
    batch: BatchEndpoint, make_queue: Any
) -> None:
    said.clear()
    name = make_queue(["optimal", "r5d"])
    where = Plan(hosts.read(batch.client, name, say=said.append), say=said.append)
    assert len(said) == 1
    assert "type optimal are not known" in said[0]
    assert of_job(job(500, disk_mb=10**9), 2000, where).vcpus == 500
    given = hosts.read(batch.client, name, instance_types="r5d.large, c5d", say=said.append)
    assert [host.name for host in given.hosts if host.vcpus == 2] == ["c5d.large", "r5d.large"]
    assert len(said) == 1
    with pytest.raises(WorkflowError, match="instance types r9z are not known"):
        hosts.read(batch.client, name, instance_types="r9z")


def test_a_queue_whose_jobs_would_never_start_is_refused(
    batch: BatchEndpoint, make_queue: Any
) -> None:
    with pytest.raises(WorkflowError, match="there is no job queue nowhere"):
        hosts.read(batch.client, "nowhere")
    with pytest.raises(WorkflowError, match="is disabled"):
        hosts.read(batch.client, make_queue(["r5d"], state="DISABLED"))
    with pytest.raises(WorkflowError, match="no enabled compute environment"):
        hosts.read(batch.client, make_queue(["r5d"], environment="DISABLED"))
