"""How a run ends, as its project ended."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from tests.dags.bag import task
from tests.operators.projects import at_the_gate
from tests.task_run import context

pytestmark = pytest.mark.usefixtures("aws")


def conclude(project: str, states: dict[str, str], **xcoms: Any) -> Any:
    operator = task("rnaseq_project", "conclude")
    operator.project = project
    return operator.execute(context(operator, states=states, xcoms=xcoms))


def test_a_rejected_project_ends_its_run_well_even_if_the_gate_was_marked_failed() -> None:
    at_the_gate("EndA").decide("EndA", "rejected", by="ann", way="test")
    assert conclude("EndA", {"approve": "failed"})["state"] == "rejected"


def test_a_failed_task_fails_project_and_run_with_its_reason() -> None:
    registry = at_the_gate("EndB")
    states = {"fetch.run": "success", "analysis.run_2": "failed", "load.run": "upstream_failed"}
    reason = {"analysis.run/2/failure": "out of memory"}
    with pytest.raises(AirflowFailException, match=r"analysis\.run_2: out of memory"):
        conclude("EndB", states, **reason)
    item = registry.project("EndB")
    assert (item["state"], item["reason"]) == ("failed", "analysis.run_2: out of memory")


def test_a_run_that_never_had_the_project_does_not_fail_it() -> None:
    registry = at_the_gate("EndC", run_id="other")
    with pytest.raises(AirflowFailException, match=r"open: somebody else .*this run's hands"):
        conclude("EndC", {"open": "failed"}, **{"open/-1/failure": "somebody else has it"})
    assert registry.project("EndC")["state"] == "awaiting_review"


def test_an_unknown_project_fails_the_run_with_the_first_reason() -> None:
    with pytest.raises(AirflowFailException, match="'a/b' is not"):
        conclude("a/b", {"open": "failed"}, **{"open/-1/failure": "project id 'a/b' is not …"})
