"""A Batch that answers late and counts: `python -m bench.batch_stub --port 4998 [--run 5 20]`.

Jobs wait, run for a random while and succeed; a `--runner` does what the jobs would do. Requests
are checked against botocore's model of the service, as in the local Batch endpoint.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import botocore.session
from aiohttp import web

from bench.batch_jobs import ENDED, STATES, Job, Jobs, Member
from bench.stub_server import Handler, StubServer, arguments, serve
from local.batch.protocol import ClientError, Protocol, ServiceError

REGION = "arn:aws:batch:us-east-1:000000000000"
TICK = 0.05  # seconds between two looks at the schedule
MAX_OVERRIDES = 8_192  # bytes of containerOverrides that SubmitJob takes
ARRAY_SIZES = range(2, 10_001)
INSTANCE_TYPES = ["r5d", "m5d", "c5d"]
FAILURES = {
    "throttle": (429, "TooManyRequestsException", "Too Many Requests"),
    "error": (500, "ServerException", "Internal failure"),
    "denied": (403, "ExpiredTokenException", "The security token included is expired"),
}

#: Does the work of members that end in the same moment; returns what each has worked on, by id.
Runner = Callable[[Sequence[Member]], Awaitable[Mapping[str, Sequence[str]]]]


class BatchStub(StubServer):
    """Jobs in memory."""

    def __init__(self, latency: float, jobs: Jobs, runner: Runner | None, rate: float) -> None:
        super().__init__(latency)
        self.timed = ("SubmitJob",)
        self.jobs = jobs
        self.work: Counter[str] = Counter()  # how often each thing was worked on
        #: When DescribeJobs was asked, and how many jobs its caller took for active then.
        self.describes: list[dict[str, float]] = []
        self._told: set[str] = set()  # those that a caller has been told have ended
        self._runner = runner
        self._rate, self._tokens, self._filled = rate, rate, time.monotonic()
        self._definitions: dict[str, dict[str, Any]] = {}
        self._protocol = Protocol()
        model = botocore.session.get_session().get_service_model("batch")
        self._names = {name.lower(): name for name in model.operation_names}
        self._handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "SubmitJob": self._submit,
            "DescribeJobs": self._describe,
            "ListJobs": self._list,
            "TerminateJob": self._terminate,
            "CancelJob": self._terminate,
            "RegisterJobDefinition": self._register,
            "DeregisterJobDefinition": self._deregister,
            "DescribeJobDefinitions": self._describe_definitions,
            "DescribeJobQueues": self._queues,
            "DescribeComputeEnvironments": self._environments,
        }

    def add_routes(self, app: web.Application) -> None:
        """Add the ledger of the work that was done, and start the clock."""
        app.router.add_get("/_work", self._ledger)
        app.router.add_get("/_active", self._active)
        app.router.add_get("/_describes", self._described)
        app.cleanup_ctx.append(self._clock)

    def failure(self, kind: str) -> web.Response:
        """Return Batch's error."""
        return _error(*FAILURES[kind])

    def operation(self, request: web.Request) -> tuple[str, Handler]:
        """Read the operation off the address: `/v1/submitjob`."""
        name = self._names.get(request.path.rpartition("/")[2], "Unknown")
        return name, self._answer

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        try:
            name, params = self._protocol.parse(request.method, path, query, await request.read())
            if name == "SubmitJob" and not self._allowed():
                self.counts["SubmitJob throttled"] += 1
                return self.failure("throttle")
            if name not in self._handlers:
                raise ClientError(f"the Batch stub does not have {name}")
            body = self._protocol.render(name, self._handlers[name](params))
        except ServiceError as error:
            return _error(error.status, error.code, str(error))
        return web.Response(body=body, content_type="application/json")

    def _allowed(self) -> bool:
        """Take a token of the bucket that the account's SubmitJob limit is."""
        if not self._rate:
            return True
        now = time.monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _submit(self, request: dict[str, Any]) -> dict[str, Any]:
        overrides = request.get("containerOverrides", {})
        if len(json.dumps(overrides)) > MAX_OVERRIDES:
            raise ClientError("Container Overrides length must be at most 8192")
        size = request.get("arrayProperties", {}).get("size")
        if size is not None and size not in ARRAY_SIZES:
            raise ClientError("Array size must be between 2 and 10000")
        defined = self._definitions.get(request["jobDefinition"], {})
        job = self.jobs.add(
            request["jobName"],
            request["jobQueue"].rpartition("/")[2],
            defined.get("jobDefinitionArn", request["jobDefinition"]),
            size,
            container={**defined.get("containerProperties", {}), **overrides},
            timeout=request.get("timeout") or defined.get("timeout") or {},
        )
        return {"jobId": job.id, "jobName": job.name, "jobArn": f"{REGION}:job/{job.id}"}

    def _describe(self, request: dict[str, Any]) -> dict[str, Any]:
        if len(request["jobs"]) > 100:
            raise ClientError("DescribeJobs takes at most 100 ids")
        known = self.jobs.count - len(self._told)
        self.describes.append({"at": time.time(), "active": known})
        found = [one for job_id in request["jobs"] if (one := self.jobs.member(job_id))]
        for job, child in found:
            if (member := child or (job.members[0] if job.size is None else None)) and (
                member.status in ENDED
            ):
                self._told.add(member.id)
        return {"jobs": [_detail(*one) for one in found]}

    def _list(self, request: dict[str, Any]) -> dict[str, Any]:
        if "arrayJobId" in request:
            job = self.jobs.by_id.get(request["arrayJobId"])
            status = request.get("jobStatus", "RUNNING")
            children = job.members if job else []
            found = [_common(m.job, m) for m in children if m.status == status]
            return _page(found, request, 1000)
        queue = request.get("jobQueue", "").rpartition("/")[2]
        jobs = [job for job in reversed(self.jobs.by_id.values()) if job.queue == queue]
        filters = request.get("filters", [])
        if not filters:
            status = request.get("jobStatus", "RUNNING")
            return _page([_common(j, None) for j in jobs if j.status == status], request, 1000)
        if len(filters) > 1 or filters[0]["name"] != "JOB_NAME":
            raise ClientError("the Batch stub filters by one JOB_NAME only")
        pattern = filters[0]["values"][0].lower()  # Batch does not tell cases apart
        named = [j for j in jobs if _matches(j.name.lower(), pattern)]
        return _page([_common(j, None) for j in named], request, 100)

    def _terminate(self, request: dict[str, Any]) -> dict[str, Any]:
        found = self.jobs.member(request["jobId"])
        if found:
            self.jobs.terminate(*found, request["reason"])
        return {}

    def _register(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["jobDefinitionName"]
        arn = f"{REGION}:job-definition/{name}:1"
        made = {**request, "jobDefinitionArn": arn, "revision": 1, "status": "ACTIVE"}
        self._definitions |= dict.fromkeys((name, f"{name}:1", arn), made)
        return made

    def _deregister(self, request: dict[str, Any]) -> dict[str, Any]:
        self._definitions.pop(request["jobDefinition"], None)
        return {}

    def _describe_definitions(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request.get("jobDefinitionName", "")
        one = {"revision": 1, "status": "ACTIVE", "type": "container"}
        arn = f"{REGION}:job-definition/{name}:1"
        return {"jobDefinitions": [{"jobDefinitionName": name, "jobDefinitionArn": arn, **one}]}

    def _queues(self, request: dict[str, Any]) -> dict[str, Any]:
        order = [{"order": 1, "computeEnvironment": f"{REGION}:compute-environment/bench"}]
        names = [name.rpartition("/")[2] for name in request.get("jobQueues", [])]
        return {
            "jobQueues": [
                {
                    "jobQueueName": name,
                    "jobQueueArn": f"{REGION}:job-queue/{name}",
                    "state": "ENABLED",
                    "status": "VALID",
                    "priority": 1,
                    "computeEnvironmentOrder": order,
                }
                for name in names
            ]
        }

    def _environments(self, _request: dict[str, Any]) -> dict[str, Any]:
        environment = {
            "computeEnvironmentName": "bench",
            "computeEnvironmentArn": f"{REGION}:compute-environment/bench",
            "type": "MANAGED",
            "state": "ENABLED",
            "status": "VALID",
            "computeResources": {
                "type": "SPOT",
                "maxvCpus": 100_000,
                "subnets": ["subnet-1"],
                "instanceTypes": INSTANCE_TYPES,
            },
        }
        return {"computeEnvironments": [environment]}

    async def _ledger(self, _request: web.Request) -> web.Response:
        return web.json_response(dict(self.work))

    async def _active(self, _request: web.Request) -> web.Response:
        return web.json_response(self.jobs.active())

    async def _described(self, _request: web.Request) -> web.Response:
        return web.json_response(self.describes)

    async def _clock(self, _app: web.Application) -> Any:
        ticking = asyncio.ensure_future(self._tick())
        yield
        ticking.cancel()

    async def _tick(self) -> None:
        while True:
            self.jobs.start_due()
            if ended := self.jobs.due_to_end():
                done = await self._runner(ended) if self._runner else {}
                for member in ended:
                    self.work.update(done.get(member.id, ()))
                    self.jobs.change(member, "SUCCEEDED")
            await asyncio.sleep(TICK)


def _common(job: Job, member: Member | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "jobArn": f"{REGION}:job/{member.id if member else job.id}",
        "jobId": member.id if member else job.id,
        "jobName": job.name,
        "status": member.status if member else job.status,
        "createdAt": int(job.created * 1000),
        "jobDefinition": job.definition,
    }
    single = member or (job.members[0] if job.size is None else None)
    if single:
        told |= _times(single)
    if job.size is not None and member is None:
        summary = {state: job.counts[state] for state in STATES}
        told["arrayProperties"] = {"size": job.size, "statusSummary": summary}
        if told["status"] in ("SUCCEEDED", "FAILED"):
            told["stoppedAt"] = int(max(child.ends for child in job.members) * 1000)
    elif member and member.index is not None:
        told["arrayProperties"] = {"index": member.index}
    return told


def _times(member: Member) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if member.status in ("RUNNING", "SUCCEEDED", "FAILED"):
        told["startedAt"] = int(member.starts * 1000)
    if member.status in ("SUCCEEDED", "FAILED"):
        told["stoppedAt"] = int(min(member.ends, time.time()) * 1000)
        told["container"] = {"exitCode": 0 if member.status == "SUCCEEDED" else 143}
    if member.reason:
        told["statusReason"] = member.reason
    return told


def _detail(job: Job, member: Member | None) -> dict[str, Any]:
    common = _common(job, member)
    detail = {
        **common,
        "jobQueue": f"{REGION}:job-queue/{job.queue}",
        "timeout": job.timeout or None,
        "isTerminated": job.is_terminated,
        "isCancelled": False,
        "attempts": [],
    }
    if job.size is None or member:
        detail["container"] = {**job.container, **common.get("container", {})}
    return detail


def _page(found: list[dict[str, Any]], request: dict[str, Any], most: int) -> dict[str, Any]:
    start = int(request.get("nextToken") or 0)
    size = min(request.get("maxResults") or most, most)
    page: dict[str, Any] = {"jobSummaryList": found[start : start + size]}
    if len(found) > start + size:
        page["nextToken"] = str(start + size)
    return page


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _error(status: int, code: str, message: str) -> web.Response:
    headers = {"x-amzn-ErrorType": code}
    return web.json_response({"message": message}, status=status, headers=headers)


def _load(name: str | None) -> Runner | None:
    if name is None:
        return None
    module, _, function = name.partition(":")
    runner: Runner = getattr(importlib.import_module(module), function)
    return runner


def main() -> None:
    """Serve until ended."""
    parser = arguments(__doc__)
    parser.add_argument("--wait", type=float, default=1.0, help="seconds before a job may start")
    parser.add_argument("--run", type=float, nargs=2, default=[5.0, 20.0], help="least, most")
    parser.add_argument("--slots", type=int, default=1_000_000, help="jobs that run at once")
    parser.add_argument("--rate", type=float, default=0, help="SubmitJob a second; 0: no limit")
    parser.add_argument("--runner", help="module:function that does the work of jobs that end")
    given = parser.parse_args()
    jobs = Jobs(given.wait, (given.run[0], given.run[1]), given.slots)
    serve(BatchStub(given.latency, jobs, _load(given.runner), given.rate), given.port)


if __name__ == "__main__":
    main()
