"""The review page's app within Airflow's own, over a real registry and bucket."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from seqharvest.registry import Registry
from seqharvest.settings import settings
from tests.review.gate import REASON, TITLE, at_the_gate, put

pytestmark = pytest.mark.usefixtures("aws")

BASE = "/seqharvest/review"
OURS = {"X-Seqharvest-Review": "1"}


def decided(client: Any, project: str, headers: dict[str, str] = OURS, **given: Any) -> Any:
    seen = Registry().project(project)["verdicts_hash"]
    body = {"decision": "approved", "seen": seen, **given}
    return client.post(f"{BASE}/api/projects/{project}/decision", json=body, headers=headers)


def test_a_project_is_shown_with_its_samples_limits_and_suggestions(as_user: Any) -> None:
    at_the_gate("PageA")
    listed = as_user("viewer").get(f"{BASE}/api/projects").json()["projects"]
    assert ("PageA", TITLE) in [(row["project"], row["title"]) for row in listed]
    found = as_user("user").get(f"{BASE}/api/projects/PageA").json()
    assert (found["current"], found["may_decide"], found["user"]) == (True, True, "ann")
    first = found["samples"][0]
    assert (first["verdict"], first["reasons"], first["runs"]) == ("fail", [REASON], ["SRR0"])
    assert found["suggested"] == ["PageA.S0000"]
    (unique,) = (column for column in found["columns"] if column["name"] == "unique_share")
    assert (unique["fail_below"], unique["warn_below"]) == (0.3, 0.6)
    assert "warn_above" not in unique


def test_a_decision_is_the_signed_in_user_s_and_the_second_is_told(as_user: Any) -> None:
    registry = at_the_gate("PageB")
    reply = decided(as_user("user"), "PageB", comment="fine", exclude=["PageB.S0000"])
    assert reply.status_code == 200, reply.text
    item = registry.project("PageB")
    assert (item["state"], item["reviewed_by"], item["review_way"], item["review_comment"]) == (
        "approved",
        "ann",
        "review page",
        "fine",
    )
    assert (item["excluded"], item["reviewed_hash"]) == (["PageB.S0000"], item["verdicts_hash"])
    assert registry.sample("PageB", "PageB.S0000")["state"] == "excluded"
    late = decided(as_user("user", name="bob"), "PageB", decision="rejected")
    assert late.status_code == 409
    assert "ann was first and approved it" in late.json()["detail"]
    assert as_user("viewer").get(f"{BASE}/api/projects/PageB").json()["decisions"][0]["excluded"]


def test_verdicts_that_changed_under_the_reviewer_are_not_decided(as_user: Any) -> None:
    registry = at_the_gate("PageC")
    reply = decided(as_user("user"), "PageC", seen="another")
    assert (reply.status_code, "verdicts changed" in reply.json()["detail"]) == (409, True)
    key = registry.project("PageC")["verdicts_key"]
    put(key, '{"samples": {"x": {"verdict": "pass", "metrics": {}, "by_metric": {}}}}', "text/json")
    assert not as_user("user").get(f"{BASE}/api/projects/PageC").json()["current"]


@pytest.mark.parametrize(
    ("role", "name", "may_look", "may_decide"),
    [(None, "", 401, 401), (None, "nil", 403, 403), ("viewer", "vera", 200, 403)],
)
def test_who_may_look_and_who_may_decide_is_airflow_s_to_say(
    as_user: Any, role: str | None, name: str, may_look: int, may_decide: int
) -> None:
    at_the_gate(f"PageD{may_look}")
    client = as_user(role, name=name)
    for path in ("/", "/page.js", "/icon.svg", "/api/projects", f"/api/projects/PageD{may_look}"):
        assert client.get(BASE + path).status_code == may_look, path
    assert decided(client, f"PageD{may_look}").status_code == may_decide
    assert Registry().project(f"PageD{may_look}")["state"] == "awaiting_review"


@pytest.mark.parametrize("reviewers", ["bob", "@op,bob"])
def test_a_setting_narrows_who_may_decide(
    as_user: Any, monkeypatch: pytest.MonkeyPatch, reviewers: str, fresh_settings: None
) -> None:
    monkeypatch.setenv("SEQHARVEST_REVIEWERS", reviewers)
    settings.cache_clear()
    project = f"PageE{len(reviewers)}"
    at_the_gate(project)
    assert decided(as_user("user"), project).status_code == 403
    assert not as_user("user").get(f"{BASE}/api/projects/{project}").json()["may_decide"]
    allowed = as_user("op") if "@op" in reviewers else as_user("user", name="bob")
    assert decided(allowed, project).status_code == 200


@pytest.fixture
def fresh_settings() -> Iterator[None]:
    yield
    settings.cache_clear()


def test_what_another_site_could_send_is_refused(as_user: Any) -> None:
    at_the_gate("PageF")
    client = as_user("user")
    assert decided(client, "PageF", headers={}).status_code == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {**OURS, "Content-Type": kind}
        reply = client.post(f"{BASE}/api/projects/PageF/decision", content=b"{}", headers=headers)
        assert reply.status_code in (403, 422)
    assert client.get(f"{BASE}/api/projects/PageF/decision").status_code == 405
    assert Registry().project("PageF")["state"] == "awaiting_review"


def test_the_report_has_an_address_that_soon_expires(as_user: Any) -> None:
    at_the_gate("PageG")
    given = as_user("viewer").get(f"{BASE}/api/projects/PageG/report").json()
    assert given["seconds"] <= 300
    assert "X-Amz-Expires=300" in given["url"]
    with urllib.request.urlopen(given["url"], timeout=10) as answer:
        assert b"The MultiQC report" in answer.read()


def test_the_page_runs_its_own_scripts_only(as_user: Any) -> None:
    reply = as_user("viewer").get(f"{BASE}/")
    policy = reply.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "//" not in reply.text.replace("<!doctype", "")  # nothing from elsewhere


def test_the_navigation_has_the_number_that_waits(as_user: Any) -> None:
    at_the_gate("PageH")
    client = as_user("admin")
    (plugin,) = (
        p for p in client.get("/api/v2/plugins").json()["plugins"] if p["name"] == "seqharvest"
    )
    views = {view["destination"]: view for view in plugin["external_views"]}
    assert views["nav"]["name"] == "QC review"
    drawn = client.get("/" + views["nav"]["icon"])
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    assert "circle" in drawn.text, "there is a number"


def test_what_is_wrong_is_said(as_user: Any) -> None:
    at_the_gate("PageI")
    client = as_user("user")
    assert client.get(f"{BASE}/api/projects/NoSuch").status_code == 404
    assert client.get(f"{BASE}/api/run?dag_id=rnaseq_project&run_id=none").status_code == 404
    reply = decided(client, "PageI", exclude=["nosuch"])
    assert (reply.status_code, "has no sample nosuch" in reply.json()["detail"]) == (400, True)


def test_fifteen_hundred_samples_are_told_in_a_moment(as_user: Any) -> None:
    at_the_gate("PageBig", samples=1500)
    client = as_user("viewer")
    client.get(f"{BASE}/api/projects/PageBig")
    started = time.monotonic()
    reply = client.get(f"{BASE}/api/projects/PageBig")
    took = time.monotonic() - started
    print(f"1,500 samples: {took:.2f} s, {len(reply.content) / 1e6:.1f} MB before compression")
    assert len(reply.json()["samples"]) == 1500
    assert took < 5
