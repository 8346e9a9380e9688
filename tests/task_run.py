"""What an operator sees of Airflow while it runs, and a Batch endpoint for its jobs."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.local.batch_endpoint import BatchEndpoint

#: Stands in for the programs of jobs: `python -m MODULE s3://bucket/<manifest>`; the manifest's
#: project says what to do.
STAND_IN = """#!/bin/sh
case "$3" in
*project=slow/*) echo "seqharvest progress submitted=1 running=1"; exec sleep 300;;
*project=wrong/*) echo "sample s1: no such file"; exit 1;;
*project=half/*) test "$AWS_BATCH_JOB_ARRAY_INDEX" = 0;;
*) echo "hello from $3"
   for done in 1 2; do echo "seqharvest progress done=$done total=3"; done;;
esac
"""


class StateStore(dict[str, Any]):
    """Airflow's task_state_store: it outlives tries."""

    def set(self, key: str, value: Any, retention: Any = None) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


@dataclass
class Instance:
    """A task instance as operators use it."""

    run_id: str = "run1"
    dag_id: str = "rnaseq_project"
    map_index: int = -1
    try_number: int = 1
    max_tries: int = 3
    xcoms: dict[str, Any] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        return self.xcoms.get(f"{task_ids}/{map_indexes}/{key}")

    def get_task_states(self, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str]]:
        return {run_ids[0]: self.states}


def context(task: Any = None, **instance: Any) -> dict[str, Any]:
    """A context with an empty state store."""
    return {
        "ti": Instance(**instance),
        "task": task,
        "dag": task.dag if task and task.has_dag() else None,
        "task_state_store": StateStore(),
        "params": {},
    }


def fired(trigger: Any) -> Any:
    """The payload of a trigger's first event."""

    async def first() -> Any:
        async for event in trigger.run():
            return event.payload

    return asyncio.run(first())


def sent_on(trigger: Any) -> Any:
    """The trigger as the triggerer makes it: from what was serialized."""
    path, arguments = trigger.serialize()
    assert path == f"{type(trigger).__module__}.{type(trigger).__qualname__}"
    return type(trigger)(**arguments)


@pytest.fixture(scope="module")
def batch_jobs(aws: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BatchEndpoint]:
    """A local Batch endpoint with our queues and definitions; all of AWS points at it."""
    from seqharvest.aws import forget_clients
    from seqharvest.settings import settings

    folder = tmp_path_factory.mktemp("batch")
    _stand_in(folder / "bin" / "python")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ("--job-path", f"{folder}/bin:/usr/bin:/bin", "--vcpus", "8", "--grace", "1")
    endpoint = BatchEndpoint(port, folder, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_BATCH", f"http://127.0.0.1:{port}")
        patch.setenv("SEQHARVEST_BATCH_POLL_SECONDS", "0.2")
        for forget in (settings.cache_clear, forget_clients):
            forget()
        endpoint.start()
        _prepare(endpoint.client)
        yield endpoint
        endpoint.stop()
    for forget in (settings.cache_clear, forget_clients):
        forget()


def _stand_in(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(STAND_IN)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _prepare(client: Any) -> None:
    from seqharvest.settings import settings

    knobs = settings()
    client.create_compute_environment(computeEnvironmentName="here", type="UNMANAGED")
    for queue in (knobs.head_queue, knobs.worker_queue, knobs.large_disk_queue):
        client.create_job_queue(
            jobQueueName=queue,
            priority=1,
            computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "here"}],
        )
    resources = [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "64"}]
    for definition in (knobs.head_job, knobs.worker_job, knobs.fetch_job):
        client.register_job_definition(
            jobDefinitionName=definition,
            type="container",
            containerProperties={
                "image": "none",
                "command": ["true"],
                "resourceRequirements": resources,
            },
        )


def jobs_of(project: str) -> list[dict[str, Any]]:
    """All jobs, of any state, whose name holds the project."""
    from seqharvest.settings import settings

    client, found = boto3.client("batch"), []
    for queue in (settings().head_queue, settings().worker_queue):
        summaries = client.list_jobs(
            jobQueue=queue, filters=[{"name": "JOB_NAME", "values": ["seqharvest-*"]}]
        )["jobSummaryList"]
        found += [job for job in summaries if f"-{project}-" in job["jobName"]]
    return found
