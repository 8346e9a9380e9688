"""Puts the endpoint's parts together and names the AWS operations they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from local.batch.config import Config
from local.batch.definitions import Definitions
from local.batch.engine import Engine
from local.batch.environments import Environments, key_of
from local.batch.jobs import Job
from local.batch.listing import Listing
from local.batch.logs import LogShipper
from local.batch.protocol import ClientError
from local.batch.store import Store
from local.batch.submission import Submission
from local.batch.tags import Tags

Operation = Callable[[dict], dict]


@dataclass
class Endpoint:
    """All parts of a running endpoint."""

    config: Config
    store: Store
    environments: Environments
    definitions: Definitions
    submission: Submission
    listing: Listing
    tags: Tags
    shipper: LogShipper
    engine: Engine

    @classmethod
    def build(cls, config: Config) -> Endpoint:
        """Open the state and put the parts together; needs a running event loop."""
        store = Store(config.state / "batch.sqlite")
        environments = Environments(store, config)
        definitions = Definitions(store, config)
        shipper = LogShipper(store, config.state / "spool")
        return cls(
            config=config,
            store=store,
            environments=environments,
            definitions=definitions,
            submission=Submission(store, environments, definitions, config),
            listing=Listing(store, environments, config),
            tags=Tags(store),
            shipper=shipper,
            engine=Engine(store, environments, shipper, config),
        )

    def operations(self) -> dict[str, Operation]:
        """Return the operations of the AWS API that this endpoint has."""
        return {
            "CreateComputeEnvironment": self._changing(self.environments.create_environment),
            "UpdateComputeEnvironment": self._changing(self.environments.update_environment),
            "DescribeComputeEnvironments": self.environments.describe_environments,
            "DeleteComputeEnvironment": self.environments.delete_environment,
            "CreateJobQueue": self._changing(self.environments.create_queue),
            "UpdateJobQueue": self._changing(self.environments.update_queue),
            "DescribeJobQueues": self.environments.describe_queues,
            "DeleteJobQueue": self._delete_queue,
            "RegisterJobDefinition": self.definitions.register,
            "DeregisterJobDefinition": self.definitions.deregister,
            "DescribeJobDefinitions": self.definitions.describe,
            "SubmitJob": self._submit,
            "DescribeJobs": self.listing.describe,
            "ListJobs": self.listing.list,
            "CancelJob": self._ending(self.engine.cancel),
            "TerminateJob": self._ending(self.engine.terminate),
            "TagResource": self.tags.tag,
            "UntagResource": self.tags.untag,
            "ListTagsForResource": self.tags.list,
        }

    def health(self) -> dict:
        """Return what runs and waits, and how much room there is."""
        vcpus, memory = self.engine.capacity.used()
        return {
            "status": "ok",
            "jobs": self.store.count_by_status(),
            "vcpus": {"used": vcpus, "total": self.config.vcpus},
            "memoryMiB": {"used": memory, "total": self.config.memory_mib},
            "logStreamsPending": self.shipper.pending,
        }

    def _changing(self, operation: Operation) -> Operation:
        """Let the scheduler look again after a change of queues or compute environments."""

        def run(request: dict) -> dict:
            result = operation(request)
            self.engine.wake()
            return result

        return run

    def _delete_queue(self, request: dict) -> dict:
        name = self.environments.delete_queue(request)
        if name:
            self.engine.terminate_queue(name)
        return {}

    def _submit(self, request: dict) -> dict:
        job = self.submission.submit(request)
        # The caller sees SUBMITTED first, as on AWS; the rest follows at once.
        asyncio.get_running_loop().call_soon(self.engine.admit, job.id)
        arn = self.config.arn(f"job/{job.id}")
        return {"jobArn": arn, "jobName": job.name, "jobId": job.id}

    def _ending(self, end: Callable[[Job, str], None]) -> Operation:
        def run(request: dict) -> dict:
            job = self.store.job(key_of(request["jobId"]))
            if job is None:
                raise ClientError(f"Job {request['jobId']} does not exist")
            end(job, request["reason"])
            return {}

        return run
