"""What a head job says of its progress, and how it gets into S3."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from seqharvest.progress import counts
from seqharvest.progress.record import Recorder
from tests.conftest import Aws


def test_a_progress_line_is_read_and_any_other_is_not() -> None:
    line = "seqharvest progress submitted=5 running=2 done=3 total=9 eta=240 mood=fine"
    assert counts.parse(line) == {"submitted": 5, "running": 2, "done": 3, "total": 9, "eta": 240}
    assert counts.parse("3 of 9 steps (33%) done") == {}


def test_counts_are_told_as_people_say_them() -> None:
    told = counts.words({"submitted": 5, "running": 2, "done": 3, "total": 9, "eta": 240})
    assert told == "3 of 9 jobs done, 2 running, 5 submitted, about 4 min left"
    assert counts.words({"done": 9, "total": 9, "eta": 0}) == "9 of 9 jobs done"
    assert [counts.duration(s) for s in (40, 200, 12_000)] == ["40 s", "3 min", "3 h 20 min"]


def read(aws: Aws, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        aws.client("s3").get_object(Bucket=aws.bucket, Key=key)["Body"].read()
    )
    return found


def wait_for(aws: Aws, key: str, state: str) -> dict[str, Any]:
    patience = time.monotonic() + 10
    while (record := read(aws, key))["state"] != state:
        assert time.monotonic() < patience, f"still {record}"
        time.sleep(0.05)
    return record


def test_a_record_follows_the_counts_and_replaces_what_an_earlier_try_left(
    aws: Aws, tmp_path: Path
) -> None:
    key, failures = f"progress-{uuid.uuid4().hex}", tmp_path / "failures.jsonl"
    aws.client("s3").put_object(Bucket=aws.bucket, Key=key, Body=b'{"state": "ended"}')
    with Recorder(aws.bucket, key, failures, every_seconds=0.1) as recorder:
        assert wait_for(aws, key, "starting")["counts"] == {}
        for done in range(50):
            recorder.see(f"seqharvest progress done={done} total=50\n")
        recorder.see("Finished jobid: 3\n")
        assert wait_for(aws, key, "running")["counts"] == {"done": 49, "total": 50}
        failure = {"job": "g", "kind": "user_error", "summary": "damaged", "wildcards": {}}
        lines = [
            {**failure, "wildcards": {"sample": "S1"}, "will_retry": True},
            {**failure, "wildcards": {"sample": "S2"}, "will_retry": False},
        ]
        failures.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"half')
        recorder.see("seqharvest progress done=49 failed=1 total=50\n")
    record = read(aws, key)
    assert record["state"] == "ended"
    assert record["counts"]["failed"] == 1
    assert record["failures"] == {"S2": {"kind": "user_error", "reason": "damaged"}}
    assert time.time() - record["updated"] < 10


def test_what_cannot_be_recorded_does_not_stop_the_head(
    aws: Aws, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Recorder("no-such-bucket", "k", tmp_path / "none") as recorder:
        recorder.see("seqharvest progress done=1 total=1\n")
    assert recorder.counts == {"done": 1, "total": 1}
    assert "progress was not recorded" in caplog.text
