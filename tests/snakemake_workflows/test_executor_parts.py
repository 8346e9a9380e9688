"""The Batch executor's modules, each by itself."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_seqharvest_batch import (
    arrays,
    attach,
    bundle,
    naming,
    patience,
    records,
    retries,
    status,
    submit,
)
from snakemake_executor_plugin_seqharvest_batch.failures import Kind, classify, summary
from snakemake_executor_plugin_seqharvest_batch.progress import Progress
from snakemake_executor_plugin_seqharvest_batch.resources import Resources
from tests.batch_endpoint import BatchEndpoint

EXITED = "Essential container in task exited"


@pytest.mark.parametrize(
    ("detail", "log", "kind"),
    [
        ({"statusReason": "Host EC2 (instance i-0a1b) terminated."}, [], Kind.SPOT_RECLAIM),
        (
            {
                "statusReason": EXITED,
                "container": {
                    "exitCode": 137,
                    "reason": "OutOfMemoryError: Container killed due to memory usage",
                },
            },
            [],
            Kind.OUT_OF_MEMORY,
        ),
        ({"statusReason": EXITED, "container": {"exitCode": 137}}, [], Kind.OUT_OF_MEMORY),
        (
            {"statusReason": EXITED, "container": {"exitCode": 1}},
            ["Command 'STAR' died with <Signals.SIGKILL: 9>."],
            Kind.OUT_OF_MEMORY,
        ),
        (
            {"statusReason": EXITED, "container": {"exitCode": 1}},
            ["fastp: write error: No space left on device"],
            Kind.DISK_FULL,
        ),
        (
            {
                "statusReason": "Task failed to start",
                "container": {"reason": "CannotPullContainerError: pull access denied"},
            },
            [],
            Kind.IMAGE,
        ),
        ({"statusReason": "Job attempt duration exceeded timeout"}, [], Kind.TIMEOUT),
        (
            {"statusReason": "reviewer", "isTerminated": True, "container": {"exitCode": 137}},
            [],
            Kind.TERMINATED,
        ),
        ({"statusReason": EXITED, "container": {"exitCode": 2}}, ["bad input"], Kind.USER_ERROR),
    ],
)
def test_a_failure_is_told_by_its_kind(detail: dict[str, Any], log: list[str], kind: Kind) -> None:
    assert classify(detail, log)[0] is kind


def test_the_last_attempt_counts() -> None:
    first = {"container": {"exitCode": 1}}
    last = {"container": {"exitCode": 137, "reason": "OutOfMemoryError"}}
    kind, reason, exit_code = classify({"statusReason": EXITED, "attempts": [first, last]})
    assert (kind, exit_code) == (Kind.OUT_OF_MEMORY, 137)
    assert reason == f"{EXITED}; OutOfMemoryError"


def test_a_summary_is_the_tool_s_own_last_words() -> None:
    ruler = "=" * 80
    log = ["Error in rule star:", "End of star.log:", ruler, "reading", "FATAL: no genome", ruler]
    assert summary(EXITED, 1, log) == f"FATAL: no genome [{EXITED} (exit code 1)]"
    assert summary("Host EC2 terminated.", None, []) == "Host EC2 terminated."


def test_describe_asks_for_at_most_a_hundred_jobs_at_once() -> None:
    asked: list[int] = []

    class Batch:
        def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
            asked.append(len(jobs))
            return {"jobs": [{"jobId": job} for job in jobs if job != "j7"]}

    found = status.describe(Batch(), [f"j{number}" for number in range(250)])
    assert sorted(asked) == [50, 100, 100]
    assert len(found) == 249
    assert "j7" not in found


def test_rounds_slow_down_while_nothing_changes() -> None:
    pace = status.Pace(10)
    for _ in range(20):
        pace.after(changed=False)
    assert pace.seconds == 40
    pace.after(changed=True)
    assert pace.seconds == 10


def test_a_prefix_batch_would_refuse_is_told_by_its_option() -> None:
    with pytest.raises(WorkflowError, match="name-prefix 'a/b'"):
        naming.check_prefix("a/b")
    with pytest.raises(WorkflowError, match="1 to 100"):
        naming.check_prefix("x" * 101)


class Store:
    """An S3 client with one bucket's objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.objects[f"s3://{Bucket}/{Key}"] = Body

    def get(self, uri: str, span: str | None) -> bytes:
        start, _, end = (span or "bytes=0-").removeprefix("bytes=").partition("-")
        return self.objects[uri][int(start) : int(end) + 1 if end else None]


def test_a_command_too_long_for_submit_job_goes_to_s3() -> None:
    store = Store()
    place = bundle.Bundle(store, "s3://data/bundles/")
    short = records.record("run--a", ["--target-jobs", "x"], {})
    command = place.command("s3://data/b.json", short)
    assert not store.objects
    assert records.read(command[4:], store.get, {}) == short
    long = records.record("run--a", ["--target-jobs", *["rule:s=1"] * 2000], {})
    command = place.command("s3://data/b.json", long)
    assert sum(map(len, command)) < 500
    assert records.read(command[4:], store.get, {}) == long


@given(st.lists(st.tuples(st.text(min_size=1), st.lists(st.text(max_size=3000))), min_size=2))
def test_every_child_of_an_array_reads_its_own_record(jobs: list[tuple[str, list[str]]]) -> None:
    store = Store()
    members = [records.record(name, arguments, {"vcpus": 1}) for name, arguments in jobs]
    _content, command = bundle.Bundle(store, "s3://data").array("s3://data/b.json", members)
    for index, member in enumerate(members):
        child = {"AWS_BATCH_JOB_ARRAY_INDEX": str(index)}
        assert records.read(command[4:], store.get, child) == member


def request(queue: str, name: str) -> submit.Request:
    return submit.Request(
        name=name,
        key=name,
        queue=queue,
        definition="seqharvest-worker",
        command=["sleep", "30"],
        resources=Resources(1, 100, 600),
        attempts=3,
        tags={"cost": "test"},
    )


class LossyBatch:
    """A client whose first SubmitJob does its work and then loses the answer."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.submits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def submit_job(self, **arguments: Any) -> Any:
        self.submits += 1
        answer = self._client.submit_job(**arguments)
        if self.submits == 1:
            lost = {"ResponseMetadata": {"HTTPStatusCode": 503}, "Error": {"Code": "503"}}
            raise ClientError(lost, "SubmitJob")
        return answer


def test_a_submit_whose_answer_was_lost_makes_no_second_job(batch: BatchEndpoint) -> None:
    queue = batch.new_queue()
    client = LossyBatch(batch.client)
    job_id = submit.submit(client, request(queue, "run--rule-1"), 30, sleep=lambda _seconds: None)
    (job,) = batch.jobs(queue)
    assert job["jobId"] == job_id
    assert client.submits == 1
    assert job["tags"] == {"cost": "test", "seqharvest:key": "run--rule-1"}
    assert job["retryStrategy"]["attempts"] == 3
    assert [rule["action"] for rule in job["retryStrategy"]["evaluateOnExit"]] == ["RETRY", "EXIT"]
    batch.client.terminate_job(jobId=job_id, reason="end of test")


def test_a_refused_submit_is_not_repeated(batch: BatchEndpoint) -> None:
    with pytest.raises(ClientError):
        submit.submit(batch.client, request("no-such-queue", "run--rule-1"), 30)


def test_only_live_jobs_of_the_very_prefix_are_followed(batch: BatchEndpoint) -> None:
    queue = batch.new_queue()
    ids = {
        name: submit.submit(batch.client, request(queue, name), 30)
        for name in ("run--a-1", "run--b-2", "Run--a-1", "running--a-1")
    }
    batch.wait_for(queue, "RUNNING", 4)
    batch.client.terminate_job(jobId=ids["run--b-2"], reason="by hand")
    found = attach.earlier(batch.client, [queue], "run", since=0, members=lambda _content: [])
    assert found.following == {"run--a-1": ids["run--a-1"]}
    for job_id in ids.values():
        batch.client.terminate_job(jobId=job_id, reason="end of test")


def array_request(queue: str, name: str, size: int) -> submit.Request:
    return replace(request(queue, name), size=size, command=["sh", "-c", CHILDREN])


#: The first child succeeds, the second fails, the others run.
CHILDREN = "case $AWS_BATCH_JOB_ARRAY_INDEX in 0) ;; 1) exit 1;; *) sleep 60;; esac"


def test_an_array_s_children_are_followed_one_by_one(batch: BatchEndpoint) -> None:
    queue = batch.new_queue()
    before = time.time()
    name = naming.array_name("run", "align", "0123456789ab")
    array_id = submit.submit(batch.client, array_request(queue, name, 4), 30)
    batch.wait_for(queue, "RUNNING", 2)
    batch.wait_for(queue, "FAILED", 1)

    def members(content: str) -> list[str]:
        assert content == "0123456789ab"
        return ["run--w", "run--x", "run--y", "run--z"]

    found = attach.earlier(batch.client, [queue], "run", before, members)
    live = {"run--y": f"{array_id}:2", "run--z": f"{array_id}:3"}
    assert found.following == {"run--w": f"{array_id}:0", **live}
    later = attach.earlier(batch.client, [queue], "run", time.time(), members)
    assert later.following == live, "what succeeded before is judged by its outputs"
    assert later.doubtful == {"run--w"}

    def unreadable(_content: str) -> list[str]:
        raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")

    with pytest.raises(WorkflowError, match=f"{array_id}.*Give the bundle prefix"):
        attach.earlier(batch.client, [queue], "run", before, unreadable)
    batch.client.terminate_job(jobId=array_id, reason="end of test")
    assert not attach.earlier(batch.client, [queue], "run", time.time(), members).following


class CountingBatch:
    """Twenty arrays of a thousand children, which run until they are told to have ended."""

    def __init__(self) -> None:
        self.ended: dict[str, str] = {}
        self.asked: list[int] = []

    def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
        self.asked.append(len(jobs))
        return {"jobs": [self._detail(job_id) for job_id in jobs]}

    def _detail(self, job_id: str) -> dict[str, Any]:
        status = self.ended.get(job_id, "RUNNING")
        detail: dict[str, Any] = {"jobId": job_id, "status": status}
        if ":" not in job_id:  # not a child
            ended = [state for each, state in self.ended.items() if arrays.parent(each) == job_id]
            summary = {state: ended.count(state) for state in ("SUCCEEDED", "FAILED")}
            summary["RUNNING"] = 1000 - len(ended)
            detail["arrayProperties"] = {"size": 1000, "statusSummary": summary}
        return detail


def test_children_are_asked_about_only_when_one_of_their_array_has_ended() -> None:
    batch = CountingBatch()
    rounds = status.Rounds(batch)
    ids = [arrays.child(f"array{number}", index) for number in range(20) for index in range(1000)]
    assert rounds.ask(ids) == {}
    assert batch.asked == [20], "one request for 20,000 jobs"
    assert rounds.running == 20_000
    batch.ended = {"array3:7": "FAILED", "array3:8": "SUCCEEDED"}
    found = rounds.ask(ids)
    assert {each for each in found if found[each] != {"jobId": each, "status": "RUNNING"}} == {
        "array3:7",
        "array3:8",
    }
    assert batch.asked == [20, 20, *[100] * 10]
    remaining = [each for each in ids if each not in batch.ended]
    batch.asked.clear()
    assert len(rounds.ask(remaining)) == 998, "a lively array's children, without their parent"
    assert sorted(batch.asked) == [17, *[100] * 10]
    batch.asked.clear()
    assert rounds.ask(remaining) == {}
    assert batch.asked == [20], "and then it is quiet again"


@given(st.lists(st.integers(0, 999), max_size=8))
def test_a_round_never_takes_more_than_a_request_per_hundred_jobs(ends: list[int]) -> None:
    batch = CountingBatch()
    rounds = status.Rounds(batch)
    active = [arrays.child("array0", index) for index in range(1000)]
    while active:
        batch.asked.clear()
        batch.ended.update({arrays.child("array0", index): "SUCCEEDED" for index in ends[:1]})
        ends = ends[1:]
        found = rounds.ask(active)
        assert len(batch.asked) <= -(-len(active) // 100)
        active = [each for each in active if (found.get(each) or {}).get("status") != "SUCCEEDED"]
        if not ends and not rounds.more:
            break
    assert not batch.ended.keys() & set(active)


def test_an_array_batch_does_not_know_takes_its_children_along() -> None:
    class Forgetful(CountingBatch):
        def _detail(self, job_id: str) -> dict[str, Any]:
            return {**super()._detail(job_id), "jobId": f"{job_id}-other"}

    ids = ["single", arrays.child("array0", 0), arrays.child("array0", 1)]
    rounds = status.Rounds(Forgetful())
    assert rounds.ask(ids) == {"single": None}, "children may be a moment behind their parent"
    assert rounds.ask(ids) == dict.fromkeys(ids)


def test_alike_jobs_become_arrays_and_an_odd_one_stays_alone() -> None:
    small, large = Resources(1, 100, 600), Resources(4, 100, 600)
    jobs = [("align", small, number) for number in range(5)]
    jobs += [("align", large, 5), ("count", small, 6), ("align", replace(small, timeout=605), 7)]
    assert list(arrays.grouped(jobs, 4)) == [[0, 1, 2, 3], [4, 7], [5], [6]]
    assert list(arrays.grouped(jobs[:2], 0)) == [[0], [1]]


@given(st.integers(60, 10**7))
def test_an_array_s_time_out_is_at_most_an_eighth_longer(seconds: int) -> None:
    rounded = arrays.shape(Resources(1, 100, seconds)).timeout
    assert seconds <= rounded <= seconds * 9 / 8


class Job:
    restart_times = 3


def test_only_failures_that_ask_for_more_raise_the_attempt() -> None:
    ledger = retries.Ledger()
    had = Resources(1, 100)
    ledger.failed("a", had, Kind.SPOT_RECLAIM)
    assert (ledger.attempt("a"), ledger.goes_on("a", Job)) == (1, True)
    ledger.failed("a", had, Kind.OUT_OF_MEMORY)
    assert (ledger.attempt("a"), ledger.goes_on("a", Job)) == (2, True)
    ledger.failed("a", had, Kind.TIMEOUT)
    assert ledger.goes_on("a", Job)
    ledger.failed("a", had, Kind.LOST)
    assert not ledger.goes_on("a", Job), "after --retries it ends"


@pytest.mark.parametrize(
    ("kind", "tries"), [(Kind.IMAGE, 2), (Kind.USER_ERROR, 1), (Kind.TERMINATED, 1), (Kind.LOST, 4)]
)
def test_some_kinds_are_given_up_early(kind: Kind, tries: int) -> None:
    ledger = retries.Ledger()
    for number in range(1, tries + 1):
        ledger.failed("a", Resources(1, 100), kind)
        assert ledger.goes_on("a", Job) == (number < tries)


def test_a_throttled_submit_comes_back_soon() -> None:
    waits: list[float] = []

    class Throttling:
        def submit_job(self, **_arguments: Any) -> dict[str, str]:
            if len(waits) < 10:
                problem = {"Error": {"Code": "TooManyRequestsException"}}
                raise ClientError(problem, "SubmitJob")
            return {"jobId": "j1"}

    assert submit.submit(Throttling(), request("q", "run--a"), 60, sleep=waits.append) == "j1"
    assert max(waits[:3]) < 0.3
    assert max(waits) <= 1


def test_a_revoked_credential_is_not_waited_for() -> None:
    answer = {"ResponseMetadata": {"HTTPStatusCode": 403}}
    for code in ("ExpiredTokenException", "AccessDeniedException", "UnrecognizedClientException"):
        error = ClientError({**answer, "Error": {"Code": code}}, "DescribeJobs")
        assert patience.is_denied(error)
        assert not patience.is_transient(error)


def test_what_is_left_is_told_once_jobs_have_ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    progress = Progress(total=10)
    progress.add(submitted=9, skipped=1)
    assert "eta" not in capsys.readouterr().out
    clock[0] += 30
    progress.add(done=2, failed=1)
    assert capsys.readouterr().out.strip() == (
        "seqharvest progress submitted=9 attached=0 running=0 done=2 failed=1 skipped=1 total=10 "
        "eta=60"
    )
