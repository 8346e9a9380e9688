"""What LIST pages say about a project: complete, absent, empty, older than the reads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.project import Made
from seqharvest import list_pages
from seqharvest.errors import ListingError
from seqharvest.inventory import complete_samples, is_fetched, raw_runs
from seqharvest.layout import provenance_key, read_key, result_prefix
from seqharvest.workflows import QC
from tests.conftest import Aws
from tests.s3_server import S3Server, s3_server

WRITTEN = 1_767_225_600

_numbers = itertools.count(1)


@pytest.fixture
def project() -> str:
    return f"inventory{next(_numbers)}"


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


def outputs_of(sample: str) -> list[Made]:
    where = result_prefix("qc", "f00", "p", sample)
    return [Made(where + output, 1, WRITTEN) for output in QC.outputs]


def put(aws: Aws, key: str, body: bytes = b"x") -> None:
    aws.client("s3").put_object(Bucket=aws.bucket, Key=key, Body=body)


def put_results(aws: Aws, project: str, sample: str) -> None:
    for output in QC.outputs:
        put(aws, result_prefix("qc", "f00", project, sample) + output)


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


@pytest.mark.parametrize(("later", "complete"), [(5, False), (0, True), (-5, True)])
def test_results_older_than_their_reads_do_not_count(
    server: S3Server, later: int, complete: bool
) -> None:
    outputs = [*outputs_of("s"), *outputs_of("readless")]
    server.fill([Made(read_key("p", "s", "SRR1", 1), 1, WRITTEN + later), *outputs])
    answer = complete_samples("bucket", QC, "f00", "p", ["s", "readless"], server.client())
    assert ("s" in answer.complete) == complete
    assert "readless" in answer.complete  # its reads may have been archived since
    if not complete:
        assert answer.missing["s"] == [f"older than its reads: {name}" for name in QC.outputs]


def test_an_output_that_is_only_a_folder_or_a_namesake_is_absent(server: S3Server) -> None:
    first, second, *others = outputs_of("s")
    inside = first._replace(key=first.key + "/part-0")
    server.fill([inside, second._replace(key=second.key + ".tmp"), *others])
    answer = complete_samples("bucket", QC, "f00", "p", ["s"], server.client())
    assert answer.missing["s"] == [
        "absent: fastp.json (there is a folder of that name)",
        "absent: fastqc.zip",
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_state_of_a_project_is_told_output_by_output(
    server: S3Server, data: st.DataObject
) -> None:
    """Against a judgement of each key by itself, over random states and small pages."""
    samples = [f"s{number}" for number in range(12)]
    state = {sample: data.draw(st.tuples(_READS, _OUTPUTS)) for sample in samples}
    objects = []
    for sample, (read, outputs) in state.items():
        if read is not None:
            objects.append(Made(read_key("p", sample, "SRR1", 1), 1, read))
        for made, (size, modified) in zip(outputs_of(sample), outputs, strict=True):
            if size is not None:
                objects.append(made._replace(size=size, modified=modified))
    server.fill(objects)
    answer = complete_samples("bucket", QC, "f00", "p", samples, server.client(page=7))
    for sample, (read, outputs) in state.items():
        good = all(size and (read is None or modified >= read) for size, modified in outputs)
        assert (sample in answer.complete, sample not in answer.missing) == (good, good)


_TIMES = st.integers(1_700_000_000, 1_700_000_002)
_READS = st.none() | _TIMES
_OUTPUTS = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 1, 1, 1, 0, None]), st.just(1_700_000_001) | _TIMES),
    min_size=len(QC.outputs),
    max_size=len(QC.outputs),
)


def test_a_page_that_cannot_be_had_is_an_error_and_not_a_missing_sample(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = [f"s{number:04}" for number in range(1000)]
    server.fill(made for sample in samples for made in outputs_of(sample))
    monkeypatch.setattr(list_pages, "PATIENCE_SECONDS", 1)
    server.fail("throttle", after=5, times=-1, contains="prefix=qc")
    with pytest.raises(ListingError, match=r"s3://bucket/qc/.* SlowDown"):
        complete_samples("bucket", QC, "f00", "p", samples, server.client())


def test_few_requests_answer_for_any_number_of_samples(server: S3Server) -> None:
    samples = [f"s{number:05}" for number in range(4000)]
    server.fill(made for sample in samples[::2] for made in outputs_of(sample))
    answer = complete_samples("bucket", QC, "f00", "p", samples, server.client())
    assert answer.complete == set(samples[::2])
    assert list(answer.missing) == samples[1::2]
    assert server.lists <= 10 * 2 + 50
    server.fill(made for sample in samples[:15] for made in outputs_of(sample))
    assert (
        len(complete_samples("bucket", QC, "f00", "p", samples[:15], server.client()).complete)
        == 15
    )
    assert server.lists == 2


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
    fetched = {name for name, run in raw_runs(aws.bucket, project).items() if is_fetched(run)}
    assert fetched == {("s", "SRR1"), ("s", "SRR2")}
