"""What LIST pages say about a project: complete, absent, empty, older than the reads."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from seqharvest.inventory import complete_samples, entries, fetched_runs
from seqharvest.layout import provenance_key, read_key, result_prefix
from seqharvest.workflows import QC
from tests.conftest import Aws

_numbers = itertools.count(1)


@pytest.fixture
def project() -> str:
    return f"inventory{next(_numbers)}"


def put(aws: Aws, key: str, body: bytes = b"x") -> None:
    aws.client("s3").put_object(Bucket=aws.bucket, Key=key, Body=body)


def put_results(aws: Aws, project: str, sample: str) -> None:
    for output in QC.outputs:
        put(aws, result_prefix("qc", "f00", project, sample) + output)


def counting(aws: Aws) -> tuple[Any, list[str]]:
    asked: list[str] = []
    s3 = boto3.client("s3")
    s3.meta.events.register("before-call", lambda model, **_: asked.append(model.name))
    return s3, asked


def test_a_sample_is_complete_when_every_output_is_there_and_not_empty(
    aws: Aws, project: str
) -> None:
    for sample in ("whole", "whole2", "partly"):
        put_results(aws, project, sample)
    where = result_prefix("qc", "f00", project, "partly")
    aws.client("s3").delete_object(Bucket=aws.bucket, Key=where + "fastp.json")
    put(aws, where + "metrics.json", b"")
    answer = complete_samples(aws.bucket, QC, "f00", project, ["whole", "partly", "never"])
    assert answer.complete == {"whole"}
    assert answer.missing["partly"] == ["absent: fastp.json", "empty: metrics.json"]
    assert len(answer.missing["never"]) == len(QC.outputs)
    assert complete_samples(aws.bucket, QC, "0ff", project, ["whole"]).complete == set()


class _Clock:
    """An S3 that says of raw reads that they were stored some time later than they were."""

    def __init__(self, s3: Any, later: timedelta) -> None:
        self.s3, self.later = s3, later

    def get_paginator(self, name: str) -> _Clock:
        return self

    def paginate(self, **asked: Any) -> Any:
        for page in self.s3.get_paginator("list_objects_v2").paginate(**asked):
            for found in page.get("Contents", []):
                if found["Key"].startswith("raw/"):
                    found["LastModified"] += self.later
            yield page


@pytest.mark.parametrize(("later", "complete"), [(5, False), (0, True), (-5, True)])
def test_results_older_than_their_reads_do_not_count(
    aws: Aws, project: str, later: int, complete: bool
) -> None:
    put(aws, read_key(project, "s", "SRR1", 1))
    put_results(aws, project, "s")
    put_results(aws, project, "readless")
    s3 = _Clock(aws.client("s3"), timedelta(seconds=later))
    answer = complete_samples(aws.bucket, QC, "f00", project, ["s", "readless"], s3)
    assert ("s" in answer.complete) == complete
    assert "readless" in answer.complete  # its reads may have been archived since
    if not complete:
        assert answer.missing["s"] == [f"older than its reads: {name}" for name in QC.outputs]


def test_two_lists_answer_for_any_number_of_samples(aws: Aws, project: str) -> None:
    for sample in range(15):
        put_results(aws, project, f"s{sample}")
    s3, asked = counting(aws)
    names = [f"s{n}" for n in range(15)]
    assert len(complete_samples(aws.bucket, QC, "f00", project, names, s3).complete) == 15
    assert asked == ["ListObjectsV2"] * 2


def test_entries_go_on_over_pages(aws: Aws, project: str) -> None:
    s3 = boto3.client("s3")
    for n in range(7):
        put(aws, f"pages/{project}/{n}")
    s3.meta.events.register(
        "provide-client-params.s3.ListObjectsV2",
        lambda params, **_: {**params, "MaxKeys": 3},
    )
    found = list(entries(aws.bucket, f"pages/{project}/", s3))
    assert [entry.key[-1] for entry in found] == list("0123456")
    assert found[0].size == 1
    assert abs(found[0].modified - datetime.now(UTC)) < timedelta(minutes=1)


def test_a_project_does_not_see_a_namesakes_objects(aws: Aws, project: str) -> None:
    put_results(aws, f"{project}0", "s")
    assert not complete_samples(aws.bucket, QC, "f00", project, ["s"]).complete


def test_a_run_is_fetched_when_its_provenance_and_reads_are_there(aws: Aws, project: str) -> None:
    for run, mates in (("SRR1", 2), ("SRR2", 1), ("SRR3", 2), ("SRR5", 2)):
        for mate in range(1, mates + 1):
            put(aws, read_key(project, "s", run, mate))
        put(aws, provenance_key(project, "s", run))
    aws.client("s3").delete_object(Bucket=aws.bucket, Key=provenance_key(project, "s", "SRR3"))
    put(aws, provenance_key(project, "s", "SRR4"))
    put(aws, read_key(project, "s", "SRR5", 2), b"")
    assert fetched_runs(aws.bucket, project) == {("s", "SRR1"), ("s", "SRR2")}
