"""The Batch executor when things go wrong: killed heads, refusals, work that is done already."""

from __future__ import annotations

import json
import random
import socket
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from snakemake_executor_plugin_seqharvest_batch import naming, records
from tests.snakemake_workflows.batch_head import Head

PAIR = Path(__file__).parent / "chain" / "workflow" / "pair.smk"


def test_killed_heads_never_run_a_job_twice(head: Head) -> None:
    samples = [f"s{number}" for number in range(7)]
    head.prepare(*samples, seconds=2)
    head.extra = {"--seqharvest-batch-array-size": 3}
    chance = random.Random(20261122)
    for _ in range(4):
        process = head.start()
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=chance.uniform(1.5, 5))
        process.kill()
        process.communicate()
    code, output = head.run()
    assert code == 0, output
    assert {f"sample={sample}/count.txt" for sample in samples} <= head.stored()
    assert Counter(_members(head)) == dict.fromkeys(_members(head), 1)
    assert len(_members(head)) == len(samples)


def _members(head: Head) -> list[str]:
    """Return the name of every job that was ever submitted, an array's by its records."""
    names: list[str] = []
    s3 = head.aws.client("s3")
    for summary in head.batch.submits(head.queue):
        if not (summary.get("arrayProperties") or {}).get("size"):
            names.append(summary["jobName"])
            continue
        key = f".snakemake-batch/array-{naming.array_content(summary['jobName'])}.jsonl"
        names += records.names(s3.get_object(Bucket=head.aws.bucket, Key=key)["Body"].read())
    return names


def test_only_the_failed_children_of_an_array_are_tried_again(head: Head) -> None:
    head.prepare("a", "b", "greedy1", "greedy2")
    code, output = head.run()
    assert code == 0, output
    assert Counter(Counter(_members(head)).values()) == {1: 2, 2: 2}, "siblings are left alone"
    assert {f"sample={sample}/count.txt" for sample in ("a", "b", "greedy1")} <= head.stored()
    assert {failure["kind"] for failure in head.failures} == {"out_of_memory"}
    assert {failure["action"] for failure in head.failures} == {"again with more memory"}
    asked = [_memory(job) for job in head.batch.jobs(head.queue)]
    assert Counter(asked) == {150: 4, 300: 2}, "the rule does not scale, so memory is doubled"


def _memory(job: dict) -> int:
    needs = job["container"]["resourceRequirements"]
    return next(int(need["value"]) for need in needs if need["type"] == "MEMORY")


def test_what_another_life_finished_meanwhile_is_not_submitted(head: Head) -> None:
    head.prepare("a", "b")
    head.extra = {"--seqharvest-batch-recheck-seconds": 0}
    s3 = head.aws.client("s3")
    with Relay(head.batch.client.meta.endpoint_url) as relay:
        process = head.start(AWS_ENDPOINT_URL_BATCH=relay.url)
        relay.wait_for_a_caller()  # the DAG is built: both samples are missing in it
        for name in ("trim.txt", "count.txt"):
            key = f"{head.results}/sample=a/{name}"
            s3.put_object(Bucket=head.aws.bucket, Key=key, Body=b"1\n")
        s3.put_object(Bucket=head.aws.bucket, Key=f"{head.results}/sample=b/trim.txt", Body=b"1")
        s3.put_object(Bucket=head.aws.bucket, Key=f"{head.results}/sample=b/count.txt", Body=b"")
        relay.open()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "submitted=1 attached=0 running=0 done=1 failed=0 skipped=1 total=2" in output
    assert len(head.batch.jobs(head.queue)) == 1, "b's empty output counts as missing"


def test_a_new_input_and_a_user_s_will_run_jobs_whose_outputs_exist(head: Head) -> None:
    head.prepare("a")
    head.snakefile = PAIR
    head.extra = {"--seqharvest-batch-recheck-seconds": 0}
    assert head.run()[0] == 0
    assert len(head.batch.jobs(head.queue)) == 2
    time.sleep(1.1)  # S3 tells times in seconds
    head.prepare("a")
    code, output = head.run()
    assert code == 0, output
    assert "submitted=2" in output
    head.extra["--forcerun"] = "second"
    code, output = head.run()
    assert code == 0, output
    assert "submitted=1" in output
    assert len(head.batch.jobs(head.queue)) == 5


def test_a_revoked_credential_ends_the_run_and_leaves_its_jobs_alone(head: Head) -> None:
    head.prepare("a", "b", seconds=6)
    with Relay(head.batch.client.meta.endpoint_url) as relay:
        relay.open()
        process = head.start(AWS_ENDPOINT_URL_BATCH=relay.url)
        head.batch.wait_for(head.queue, "RUNNING", 2)
        relay.deny()
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "ExpiredTokenException" in output
    assert "left alone" in output
    assert {job["status"] for job in head.batch.jobs(head.queue)} == {"RUNNING"}
    code, output = head.run()
    assert code == 0, output
    assert "submitted=0 attached=2 running=0 done=2" in output


def test_a_job_batch_has_forgotten_is_judged_by_its_outputs(head: Head) -> None:
    head.prepare("a", "b", seconds=5)
    head.extra = {"--seqharvest-batch-lost-after-seconds": 1}
    process = head.start()
    head.batch.wait_for(head.queue, "RUNNING", 2)
    time.sleep(1.5)  # a status round has seen them
    for name in ("trim.txt", "count.txt"):
        key = f"{head.results}/sample=a/{name}"
        head.aws.client("s3").put_object(Bucket=head.aws.bucket, Key=key, Body=b"1\n")
    _forget(head)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "Batch has forgotten" in output
    (failure,) = head.failures
    assert (failure["kind"], failure["wildcards"]) == ("lost", {"sample": "b"})
    assert failure["reason"] == "Batch has forgotten it (last seen in a live array)"
    assert "submitted=3 attached=0 running=0 done=2 failed=0" in output


def _forget(head: Head) -> None:
    """Make the endpoint forget a queue's jobs, as AWS does after seven days."""
    with sqlite3.connect(head.batch.state / "batch.sqlite") as database:
        database.execute("DELETE FROM jobs WHERE queue = ?", (head.queue,))


def test_a_disabled_queue_is_told_before_anything_is_submitted(head: Head) -> None:
    head.prepare("a")
    head.batch.client.update_job_queue(jobQueue=head.queue, state="DISABLED")
    code, output = head.run()
    assert code == 1
    assert f"job queue {head.queue} is disabled" in output


def test_a_rule_no_host_can_run_is_told_by_name(head: Head) -> None:
    head.prepare("a")
    head.extra = {"--seqharvest-batch-instance-types": "r5d.large", "--set-threads": "align=64"}
    code, output = head.run()
    assert code == 1
    assert "rule align, count, trim: no host" in output
    assert not head.batch.submits(head.queue)


class Relay:
    """Stands between a head and Batch: holds its calls, passes them on, or denies them."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._called, self._open = threading.Event(), threading.Event()
        self._denied = False

    def __enter__(self) -> Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        self._server.close()

    def wait_for_a_caller(self) -> None:
        assert self._called.wait(30)

    def open(self) -> None:
        self._open.set()

    def deny(self) -> None:
        self._denied = True

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._server.accept()
                self._called.set()
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with suppress(OSError), caller:
            self._open.wait()
            with socket.create_connection(self._target) as target:
                back = threading.Thread(target=self._copy, args=(target, caller), daemon=True)
                back.start()
                while data := caller.recv(65536):
                    if self._denied:
                        caller.sendall(_DENIAL)
                        return
                    target.sendall(data)

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)


_BODY = json.dumps({"message": "The security token included in the request is expired"})
_DENIAL = (
    "HTTP/1.1 403 Forbidden\r\nx-amzn-ErrorType: ExpiredTokenException\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n"
    f"Connection: close\r\n\r\n{_BODY}"
).encode()


@pytest.fixture(autouse=True)
def end_of_jobs(head: Head) -> None:
    """End what a test left on the queue."""
    yield
    for job in head.batch.submits(head.queue):
        head.batch.client.terminate_job(jobId=job["jobId"], reason="end of test")
