"""The registry keeps its promises when people and machines race, repeat and mistype."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqharvest.errors import InputError, SeqharvestError, StateConflict
from seqharvest.registry import Move, ProjectState, Registry, SampleState
from seqharvest.registry.__main__ import main
from seqharvest.registry.items import to_item, to_value
from tests.conftest import Aws

_numbers = itertools.count(1)
RUNS = [{"accession": "SRR1", "spots": 1000, "fastq": [{"size": 10}]}]


@pytest.fixture
def registry(aws: Aws) -> Registry:
    return Registry()


@pytest.fixture
def project(registry: Registry) -> str:
    return new_project(registry, samples=3)


def new_project(registry: Registry, samples: int = 1) -> str:
    name = f"GSE{next(_numbers)}"
    registry.register_project(name, by="sweep", source="geo", title="T", organism="yeast")
    for n in range(samples):
        registry.register_sample(name, f"s{n}", by="sweep", layout="paired", runs=RUNS)
    return name


def to_review(registry: Registry, project: str, verdicts: str = "h1") -> None:
    registry.begin(project, run_id=f"{project}__round1", by="dag")
    registry.move_project(project, "qc", by="dag")
    registry.await_review(project, by="dag", verdicts_hash=verdicts)


def all_at_once(count: int, act: Callable[[int], Any]) -> tuple[list[Any], list[StateConflict]]:
    """Run an action in threads that start together; return the results and the conflicts."""
    barrier = threading.Barrier(count)

    def run(n: int) -> Any:
        barrier.wait()
        try:
            return act(n)
        except StateConflict as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        ended = list(pool.map(run, range(count)))
    lost = [end for end in ended if isinstance(end, StateConflict)]
    return [end for end in ended if not isinstance(end, StateConflict)], lost


# ---- registration


def test_registering_twice_is_harmless(registry: Registry) -> None:
    name = f"GSE{next(_numbers)}"
    assert registry.register_project(name, by="a", source="geo", title="first", taxid=4932)
    assert not registry.register_project(name, by="b", source="ena", title="second")
    assert registry.register_sample(name, "s1", by="a", layout="single", runs=RUNS)
    assert not registry.register_sample(name, "s1", by="b", layout="paired", runs=[])
    assert registry.project(name)["title"] == "first"
    assert registry.project(name)["taxid"] == 4932
    assert [s["layout"] for s in registry.samples(name)] == ["single"]
    assert [event["who"] for event in registry.events(name)] == ["a", "a"]


def test_of_eight_who_register_at_once_one_is_told_it_is_new(registry: Registry) -> None:
    name = f"GSE{next(_numbers)}"
    news, _ = all_at_once(8, lambda n: registry.register_project(name, by=str(n), source="geo"))
    assert sorted(news) == [False] * 7 + [True]


def test_a_sample_of_two_projects_fails_in_the_second_naming_the_first(registry: Registry) -> None:
    first, second = new_project(registry, 0), new_project(registry, 0)
    shared = f"SRX{next(_numbers)}"
    assert registry.register_sample(first, shared, by="a", layout="paired", runs=RUNS)
    assert registry.register_sample(second, shared, by="a", layout="paired", runs=RUNS)
    assert not registry.register_sample(first, shared, by="a", layout="paired", runs=RUNS)
    assert registry.sample(first, shared)["state"] == "registered"
    item = registry.sample(second, shared)
    assert item["state"] == "failed"
    assert f"sample {shared} belongs to project {first}" in item["reason"]
    assert registry.retry_samples(second, by="a") == 0  # a retry does not steal it


def test_private_samples_of_the_same_name_do_not_meet(registry: Registry) -> None:
    for name in (new_project(registry, 0), new_project(registry, 0)):
        registry.register_sample(name, "GSM7", by="a", layout="single", runs=RUNS, private=True)
        assert registry.sample(name, "GSM7")["state"] == "registered"


@pytest.mark.parametrize("bad", ["a/b", "", "x" * 65, "GSE1\n", "..", "é"])
def test_a_bad_project_id_is_named(registry: Registry, bad: str) -> None:
    with pytest.raises(InputError, match="project id"):
        registry.register_project(bad, by="a", source="geo")
    with pytest.raises(InputError, match="project id"):
        registry.project(bad)


def test_a_sample_of_an_unknown_project_or_of_no_layout_is_refused(registry: Registry) -> None:
    with pytest.raises(InputError, match="GSE404404 is not registered"):
        registry.register_sample("GSE404404", "SRX404", by="a", layout="paired", runs=RUNS)
    assert registry._get("SAMPLE#SRX404", "OWNER") is None  # and nothing is claimed
    with pytest.raises(InputError, match="layout 'PAIRED'"):
        registry.register_sample(new_project(registry), "s", by="a", layout="PAIRED", runs=RUNS)


def test_numbers_come_back_as_python_numbers(registry: Registry, project: str) -> None:
    values = {"a": 1, "b": 0.25, "c": [1e-9, {"d": 3}], "empty": "", "yes": True}
    registry.move_project(project, "fetching", by="a", numbers=values)
    stored = registry.project(project)["numbers"]
    assert stored == values
    assert [type(stored["a"]), type(stored["b"])] == [int, float]


# ---- moves


def test_a_move_is_stored_with_its_event(registry: Registry, project: str) -> None:
    registry.move_project(project, "failed", by="dag", why="NCBI is down")
    item = registry.project(project)
    assert (item["state"], item["reason"], item["version"]) == ("failed", "NCBI is down", 2)
    event = next(e for e in registry.events(project) if e["to"] == "failed")
    assert {k: event[k] for k in ("who", "from", "why", "version")} == {
        "who": "dag",
        "from": "registered",
        "why": "NCBI is down",
        "version": 2,
    }


def test_a_move_to_where_it_is_changes_nothing(registry: Registry, project: str) -> None:
    before = registry.move_sample(project, "s0", "fetching", by="a")
    assert registry.move_sample(project, "s0", "fetching", by="b") == before
    assert len(registry.events(project)) == 5


def test_of_eight_who_move_from_the_same_item_one_wins(registry: Registry, project: str) -> None:
    item = registry.project(project)
    won, lost = all_at_once(
        8, lambda n: registry._write(Move(item, "fetching" if n % 2 else "failed"), f"actor{n}")
    )
    assert (len(won), len(lost)) == (1, 7)
    first = won[0]
    assert all(f"{first['moved_by']} was first" in str(error) for error in lost)
    assert all(first["state_since"] in str(error) for error in lost)
    assert all(f"moved it to {first['state']}" in str(error) for error in lost)
    assert len([e for e in registry.events(project) if "sample" not in e]) == 2


def test_a_write_whose_answer_got_lost_is_not_taken_for_a_lost_race(
    registry: Registry, project: str
) -> None:
    move = Move(registry.project(project), "fetching")
    assert registry._write(move, "a")["version"] == 2
    assert registry._write(move, "a")["version"] == 2


@pytest.mark.parametrize("to", ["qc", "awaiting_review", "analysing", "loaded"])
def test_a_project_never_skips_a_stage(registry: Registry, project: str, to: str) -> None:
    with pytest.raises(StateConflict, match=f"{project} cannot go to {to}: it is registered"):
        registry.move_project(project, to, by="a")
    registry.move_project(project, "failed", by="a", why="x")
    with pytest.raises(StateConflict, match="it was registered"):
        registry.move_project(project, to, by="a")


def test_only_a_decision_approves(registry: Registry, project: str) -> None:
    to_review(registry, project)
    with pytest.raises(StateConflict, match="without a decision"):
        registry.move_project(project, "approved", by="a")
    with pytest.raises(StateConflict, match="cannot go to analysing"):
        registry.move_project(project, "analysing", by="a")


def test_a_cleared_task_takes_a_project_back_and_says_so(registry: Registry, project: str) -> None:
    to_review(registry, project)
    registry.decide(project, "approved", by="ann", way="t")
    registry.move_project(project, "analysing", by="dag")
    registry.move_project(project, "failed", by="dag", why="no disk")
    registry.move_project(project, "analysing", by="dag")
    registry.move_project(project, "qc", by="dag")
    whys = [e["why"] for e in registry.events(project)][-2:]
    assert whys == ["run again: it was failed", "run again: it was analysing"]
    assert "reason" not in registry.project(project)


def test_thousands_of_samples_move_without_a_read_each(registry: Registry) -> None:
    name = new_project(registry, 0)
    for n in range(120):
        registry.register_sample(name, f"s{n:03}", by="a", layout="paired", runs=RUNS)
    asked: list[str] = []
    client = boto3.client("dynamodb")
    client.meta.events.register("before-call", lambda model, **_: asked.append(model.name))
    counted = Registry(client=client)
    items = counted.samples(name)
    counted.move_sample(name, "s007", "failed", by="other", why="raced")  # since they were read
    asked.clear()
    counted.move_samples([Move(item, "fetching") for item in items[20:]], by="dag")
    assert len(asked) == 2
    counted.move_samples([Move(item, "fetching") for item in items[:20]], by="dag")
    assert counted.counts(name) == {"fetching": 120}
    assert len(counted.events(name)) == 1 + 120 + 1 + 120


# ---- rounds


def test_work_is_found_once_and_not_while_a_run_is_at_it(registry: Registry, project: str) -> None:
    def work() -> list[dict[str, Any]]:
        return [row for row in registry.projects_with_work() if row["project"] == project]

    assert work() == [{"project": project, "round": 1, "samples": 3}]
    registry.begin(project, run_id="r1", by="dag")
    assert work() == []
    with pytest.raises(StateConflict, match="in the hands of run r1"):
        registry.begin(project, run_id="r2", by="dag")
    assert registry.begin(project, run_id="r1", by="dag")["run_id"] == "r1"
    assert registry.begin(project, run_id="r2", by="dag", take_over=True)["run_id"] == "r2"


def test_of_eight_runs_that_begin_one_gets_the_project(registry: Registry, project: str) -> None:
    won, lost = all_at_once(8, lambda n: registry.begin(project, run_id=f"r{n}", by=f"r{n}"))
    assert (len(won), len(lost)) == (1, 7)


def test_new_samples_after_loading_make_another_round(registry: Registry, project: str) -> None:
    to_review(registry, project)
    registry.decide(project, "approved", by="ann", way="t")
    registry.move_project(project, "analysing", by="dag")
    assert registry.finish(project, by="dag")["round"] == 2
    assert registry.finish(project, by="dag")["round"] == 2
    registry.register_sample(project, "s9", by="sweep", layout="single", runs=RUNS)
    rows = [row for row in registry.projects_with_work() if row["project"] == project]
    assert rows == [{"project": project, "round": 2, "samples": 4}]
    item = registry.begin(project, run_id=f"{project}__round2", by="dag")
    assert "review_decision" not in item


def test_a_series_the_sweep_could_not_resolve_starts_when_its_samples_come(
    registry: Registry,
) -> None:
    name = new_project(registry, 0)
    registry.move_project(name, "failed", by="sweep", why="ENA does not have it yet")
    assert name not in [row["project"] for row in registry.projects_with_work()]
    registry.register_sample(name, "s1", by="sweep", layout="single", runs=RUNS)
    rows = [row for row in registry.projects_with_work() if row["project"] == name]
    assert rows == [{"project": name, "round": 1, "samples": 1}]
    assert registry.begin(name, run_id="r1", by="dag")["state"] == "fetching"


def test_a_rejected_project_waits_for_samples_newer_than_the_decision(
    registry: Registry, project: str
) -> None:
    to_review(registry, project)
    registry.decide(project, "rejected", by="ann", way="t")
    assert project not in [row["project"] for row in registry.projects_with_work()]
    registry.register_sample(project, "s9", by="sweep", layout="single", runs=RUNS)
    rows = [row for row in registry.projects_with_work() if row["project"] == project]
    assert rows == [{"project": project, "round": 2, "samples": 1}]  # a run id not used before


def test_a_retry_puts_back_what_failed_and_makes_work(registry: Registry, project: str) -> None:
    with pytest.raises(InputError, match="nothing of project"):
        registry.retry(project, by="me")
    registry.begin(project, run_id="r1", by="dag")
    with pytest.raises(StateConflict, match="in run r1"):
        registry.retry(project, by="me")
    registry.move_sample(project, "s0", "failed", by="dag", why="md5")
    registry.move_project(project, "failed", by="dag", why="x")
    item = registry.retry(project, by="me")
    assert (item["state"], item["round"], item["samples_retried"]) == ("registered", 2, 1)
    assert project in [row["project"] for row in registry.projects_with_work()]
    assert "retried" not in registry.begin(project, run_id="r2", by="dag")


# ---- decisions


def test_a_second_reviewer_is_told_who_was_first(registry: Registry, project: str) -> None:
    to_review(registry, project)
    won, lost = all_at_once(
        8,
        lambda n: registry.decide(
            project, "approved" if n % 2 else "rejected", by=f"reviewer{n}", way="page"
        ),
    )
    assert (len(won), len(lost)) == (1, 7)
    first = won[0]
    told = f"{first['reviewed_by']} was first and {first['review_decision']} it at"
    assert all(told in str(error) for error in lost)
    again = registry.decide(project, first["state"], by=first["reviewed_by"], way="page")
    assert again == first


def test_a_decision_excludes_samples_and_is_kept_whole(registry: Registry, project: str) -> None:
    registry.begin(project, run_id="r1", by="dag")
    for name in ("s0", "s1", "s2"):
        for state in ("fetching", "fetched", "qc_passed"):
            registry.move_sample(project, name, state, by="dag", verdict="pass")
    registry.move_project(project, "qc", by="dag")
    registry.await_review(project, by="dag", verdicts_hash="h")
    with pytest.raises(InputError, match="has no sample s7, s8"):
        registry.decide(project, "approved", by="ann", way="t", exclude=["s8", "s7"])
    with pytest.raises(InputError, match="every sample"):
        registry.decide(project, "approved", by="ann", way="t", exclude=["s0", "s1", "s2"])
    registry.decide(project, "approved", by="ann", way="t", comment="odd", exclude=["s1"])
    assert registry.counts(project) == {"qc_passed": 2, "excluded": 1}
    record = next(e for e in registry.events(project) if e["to"] == "approved")["details"]
    assert record["excluded"] == ["s1"]
    assert (record["reviewed_by"], record["reviewed_hash"]) == ("ann", "h")

    registry.move_project(project, "qc", by="dag")  # another QC, other verdicts: decide again
    item = registry.await_review(project, by="dag", verdicts_hash="other")
    assert (item["state"], item.get("review_decision")) == ("awaiting_review", None)
    assert registry.decide(project, "approved", by="bob", way="t")["excluded"] == ["s1"]
    registry.move_project(project, "qc", by="dag")
    registry.await_review(project, by="dag", verdicts_hash="third")
    registry.decide(project, "approved", by="bob", way="t", include=["s1"])
    assert registry.counts(project) == {"qc_passed": 3}


@pytest.mark.parametrize("decision", ["approved", "rejected"])
def test_a_decision_stands_while_the_verdicts_do(
    registry: Registry, project: str, decision: str
) -> None:
    to_review(registry, project, "same")
    registry.decide(project, decision, by="ann", way="t")
    registry.begin(project, run_id=f"{project}__round1", by="dag")
    registry.move_project(project, "qc", by="dag")
    item = registry.await_review(project, by="dag", verdicts_hash="same")
    assert (item["state"], item["reviewed_by"]) == (decision, "ann")


def test_nobody_decides_before_qc(registry: Registry, project: str) -> None:
    with pytest.raises(StateConflict, match="does not await review, it is registered"):
        registry.decide(project, "approved", by="ann", way="t")
    with pytest.raises(InputError, match="'maybe' is not a decision"):
        registry.decide(project, "maybe", by="ann", way="t")


def edit(registry: Registry, project: str, **values: Any) -> None:
    """Edit the PROJECT item as a person does in the DynamoDB console."""
    key = to_item({"pk": project, "sk": "PROJECT"})
    for name, value in values.items():
        registry.client.update_item(
            TableName=registry.table,
            Key=key,
            UpdateExpression="SET #n = :v",
            ExpressionAttributeNames={"#n": name},
            ExpressionAttributeValues={
                ":v": {"SS": sorted(value)} if isinstance(value, set) else to_value(value)
            },
        )


@pytest.mark.parametrize(
    ("typed", "state"),
    [
        ("approve", "approved"),
        ("APPROVED ", "approved"),
        ("Reject", "rejected"),
        ("rejected", "rejected"),
        ("yes please", None),
        (1, None),
        ("", None),
    ],
)
def test_a_decision_typed_into_dynamodb_is_adopted(
    registry: Registry, project: str, typed: Any, state: str | None
) -> None:
    edit(registry, project, review_decision=typed)
    assert registry.adopt_decision(project) is None  # not its time yet
    to_review(registry, project)
    assert registry.adopt_decision(project) is None  # typed before the verdicts were in
    edit(registry, project, review_decision=typed)
    adopted = registry.adopt_decision(project)
    assert (adopted or {}).get("state") == state
    if adopted:
        assert (adopted["reviewed_by"], adopted["review_way"]) == ("dynamodb console", "dynamodb")
    assert registry.project(project)["state"] == (state or "awaiting_review")
    assert registry.adopt_decision(project) is None


@pytest.mark.parametrize("excluded", ["s1, s2", ["s1", "s2"], {"s1", "s2"}])
def test_samples_excluded_by_hand_may_be_typed_in_several_ways(
    registry: Registry, project: str, excluded: Any
) -> None:
    to_review(registry, project)
    edit(registry, project, review_decision="approve", reviewed_by="eva", excluded=excluded)
    adopted = registry.adopt_decision(project)
    assert adopted and (adopted["reviewed_by"], adopted["excluded"]) == ("eva", ["s1", "s2"])


def test_a_typed_decision_with_an_unknown_sample_waits_and_says_so(
    registry: Registry, project: str, caplog: pytest.LogCaptureFixture
) -> None:
    to_review(registry, project)
    edit(registry, project, review_decision="approve", excluded="s1 nosuch")
    assert registry.adopt_decision(project) is None
    assert "has no sample nosuch" in caplog.text
    assert registry.project(project)["state"] == "awaiting_review"


def test_a_decision_typed_first_is_not_overwritten_by_another_way(
    registry: Registry, project: str
) -> None:
    to_review(registry, project)
    edit(registry, project, review_decision="reject", reviewed_by="eva")
    with pytest.raises(StateConflict, match=r"eva was first and rejected it .* through dynamodb"):
        registry.decide(project, "approved", by="ann", way="review page")
    assert registry.project(project)["state"] == "rejected"


def test_a_decision_typed_while_another_is_written_wins(registry: Registry, project: str) -> None:
    to_review(registry, project)
    chosen = registry._chosen

    def typed_meanwhile(*arguments: Any) -> Any:
        edit(registry, project, review_decision="reject", reviewed_by="eva")
        return chosen(*arguments)

    registry._chosen = typed_meanwhile  # type: ignore[method-assign]
    with pytest.raises(StateConflict, match="eva was first"):
        registry.decide(project, "approved", by="ann", way="review page")
    assert registry.project(project)["reviewed_by"] == "eva"


def test_who_looked_at_other_verdicts_is_told(registry: Registry, project: str) -> None:
    to_review(registry, project, "new")
    with pytest.raises(StateConflict, match="verdicts changed since you looked"):
        registry.decide(project, "approved", by="ann", way="t", seen="old")
    assert registry.decide(project, "approved", by="ann", way="t", seen="new")["reviewed_hash"]


def test_decisions_are_kept_and_are_stale_once_the_verdicts_changed(
    registry: Registry, project: str
) -> None:
    to_review(registry, project, "first")
    registry.decide(project, "rejected", by="ann", way="t", comment="too few reads")
    registry.begin(project, run_id="again", by="dag")
    registry.move_project(project, "qc", by="dag")
    registry.await_review(project, by="dag", verdicts_hash="second", thresholds_version="2")
    registry.decide(project, "approved", by="bob", way="u", exclude=["s1"])
    later, earlier = registry.decisions(project)
    assert (later["reviewed_by"], later["excluded"], later["stale"]) == ("bob", ["s1"], False)
    assert later["reviewed_thresholds"] == "2"
    assert (earlier["review_comment"], earlier["stale"]) == ("too few reads", True)


# ---- the audit

_acts = st.one_of(
    st.tuples(st.just("project"), st.sampled_from(list(ProjectState))),
    st.tuples(st.sampled_from(["s0", "s1"]), st.sampled_from(list(SampleState))),
    st.tuples(st.just("decide"), st.sampled_from(["approved", "rejected"])),
    st.tuples(st.just("begin"), st.sampled_from(["r1", "r2"])),
    st.tuples(st.just("verdicts"), st.sampled_from(["h1", "h2"])),
    st.tuples(st.just("retry"), st.just("")),
    st.tuples(st.just("finish"), st.just("")),
)


def _act(registry: Registry, project: str, act: tuple[str, str]) -> None:
    what, to = act
    try:
        if what == "project":
            registry.move_project(project, to, by="h", why="w")
        elif what == "decide":
            registry.decide(project, to, by="h", way="t", exclude=["s1"])
        elif what == "begin":
            registry.begin(project, run_id=to, by="h")
        elif what == "verdicts":
            registry.await_review(project, by="h", verdicts_hash=to)
        elif what == "retry":
            registry.retry(project, by="h")
        elif what == "finish":
            registry.finish(project, by="h")
        else:
            registry.move_sample(project, to=to, sample=what, by="h", verdict="pass")
    except SeqharvestError:
        pass  # refused: nothing may have changed, which the replay shows


@settings(max_examples=40, deadline=None)
@given(acts=st.lists(_acts, min_size=5, max_size=25))
def test_the_events_replay_to_the_present_whatever_happened(aws: Aws, acts: list[Any]) -> None:
    registry = Registry()
    name = f"P{uuid.uuid4().hex}"
    registry.register_project(name, by="h", source="geo")
    for sample in ("s0", "s1"):
        registry.register_sample(name, sample, by="h", layout="single", runs=RUNS)
    for act in acts:
        _act(registry, name, act)
    histories: dict[str, list[dict[str, Any]]] = {}
    for event in registry.events(name):
        histories.setdefault(event.get("sample", ""), []).append(event)
    for item in (registry.project(name), *registry.samples(name)):
        history = sorted(histories[item.get("sample", "")], key=lambda event: event["version"])
        assert [event["version"] for event in history] == list(range(1, item["version"] + 1))
        assert history[-1]["to"] == item["state"]
        assert all(b["from"] == a["to"] for a, b in itertools.pairwise(history))
        assert item["last_event"] == history[-1]["sk"].rpartition("#")[2]


# ---- the command line


def test_the_command_line_decides_and_shows(
    registry: Registry, project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    to_review(registry, project)
    assert main(["approve", project, "--by", "ann", "--exclude", "s1,s2", "--comment", "ok"]) == 0
    assert f"{project}: approved by ann, without s1, s2" in capsys.readouterr().out
    assert main(["reject", project, "--by", "bob"]) == 1
    assert "ann was first" in capsys.readouterr().err
    assert main(["show", project]) == 0
    shown = capsys.readouterr().out
    assert "awaiting_review → approved" in shown and "SRR1" in shown
    assert main(["list"]) == 0
    assert project in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [["show", "a/b"], ["show", "GSE404404"], ["retry", "GSE404404"]]
)
def test_a_wrong_id_on_the_command_line_is_one_line_and_exit_code_2(
    registry: Registry, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture
def reads(aws: Aws) -> Iterator[str]:
    s3 = aws.client("s3")
    bucket = f"lab{next(_numbers)}"
    s3.create_bucket(Bucket=bucket)
    for name in ("a_R1.fastq.gz", "a_R2.fastq.gz", "b.fastq.gz"):
        s3.put_object(Bucket=bucket, Key=f"run7/{name}", Body=b"reads")
    yield f"s3://{bucket}/run7"


def test_a_private_sheet_registers_its_good_rows_and_names_the_bad(
    registry: Registry, reads: str, aws: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "sample,fastq_1,fastq_2,tissue\n"
        f"liver,{reads}/a_R1.fastq.gz,{reads}/a_R2.fastq.gz,Liver\n"
        f"a/b,{reads}/b.fastq.gz,,x\n"
        f"gone,{reads}/nosuch.fastq.gz,,x\n"
        f"local,/home/me/b.fastq.gz,,x\n"
        f"skin,{reads}/b.fastq.gz,,Skin\n"
    )
    project = f"batch-{next(_numbers)}"
    assert main(["add-private", project, str(sheet), "--by", "ann"]) == 2
    captured = capsys.readouterr()
    assert [line.split(":")[1].split(" ")[2] for line in captured.err.splitlines()] == [
        "line",
        "line",
        "sample",
    ]
    assert "line 3: sample id 'a/b'" in captured.err and "line 5: '/home/me" in captured.err
    samples = {s["sample"]: s for s in registry.samples(project)}
    assert sorted(samples) == ["liver", "skin"]
    assert (samples["liver"]["layout"], samples["skin"]["layout"]) == ("paired", "single")
    assert samples["liver"]["metadata"] == {"tissue": "Liver"}
    key = f"raw/project={project}/sample=liver/a_2.fastq.gz"
    assert aws.client("s3").get_object(Bucket=aws.bucket, Key=key)["Body"].read() == b"reads"
    assert main(["add-private", project, str(sheet)]) == 2
    assert ": 0 new samples" in capsys.readouterr().out
