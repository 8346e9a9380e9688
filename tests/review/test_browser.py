"""The review page in real Chromium: sort, exclude, decide, come second, lose the session."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import free_port
from tests.review.gate import TITLE, at_the_gate

CHROMIUM = Path("/usr/bin/chromium")
#: Screenshots are kept here.
PICTURES = Path(os.environ.get("SEQHARVEST_TEST_ARTEFACTS", ".local/test-artefacts/review"))
OPTIONS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"

pytestmark = [
    pytest.mark.usefixtures("aws"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="Chromium is not installed"),
]
PAGE = "plugin/qc-review"
FRAME = "iframe[title='QC review']"


@pytest.fixture(scope="module")
def address(airflow_app: Any) -> Iterator[str]:
    """Airflow's UI on a port of its own."""
    import uvicorn

    port = free_port()
    config = uvicorn.Config(airflow_app, host="127.0.0.1", port=port, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    patience = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < patience, "Airflow's api-server did not start"
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS.split())
        yield started
        started.close()


@pytest.fixture
def signed_in(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Sign a user in through Airflow's own form, in a browser window of its own."""
    contexts = []

    def sign_in(name: str, **window: Any) -> Any:
        window = {"viewport": {"width": 1440, "height": 1000}, **window}
        contexts.append(browser.new_context(base_url=f"{address}/", **window))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.trouble = []
        page.on("dialog", lambda dialog: (page.trouble.append(dialog.message), dialog.dismiss()))
        page.goto("")
        page.locator("input[name=username]").fill(name)
        page.locator("input[name=password]").fill(name)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="QC review").wait_for()
        return page

    yield sign_in
    for context in contexts:
        context.close()


def pictured(page: Any, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")


def opened(page: Any, project: str) -> Any:
    """Find the project in the navigation's list, and open it."""
    page.get_by_role("link", name="QC review").click()
    frame = page.frame_locator(FRAME)
    frame.get_by_role("link", name=project, exact=True).click()
    frame.get_by_role("heading", name="Samples", exact=True).wait_for()
    return frame


def names(frame: Any) -> list[str]:
    return list(frame.locator(".samples tbody tr:not([hidden]) .name").all_inner_texts())


def test_a_reviewer_sorts_excludes_and_approves(signed_in: Any) -> None:
    registry = at_the_gate("Web1", samples=24)
    page = signed_in("ann")
    page.get_by_role("link", name="QC review").click()
    frame = page.frame_locator(FRAME)
    frame.get_by_text(TITLE).first.wait_for()  # as text
    pictured(page, "list")
    frame = opened(page, "Web1")
    page.wait_for_timeout(500)
    pictured(page, "project")
    frame.get_by_role("heading", name="Metrics", exact=True).scroll_into_view_if_needed()
    frame.get_by_role("img", name="Correlation of samples").scroll_into_view_if_needed()
    pictured(page, "plots")
    assert names(frame)[0] == "Web1.S0000", "failures first"
    frame.get_by_role("button", name="Unique", exact=True).click()
    frame.get_by_role("button", name="Unique", exact=True).click()
    assert names(frame)[0] not in {f"Web1.S{n:04}" for n in range(0, 24, 6)}
    frame.get_by_label("Search samples").fill("SRR7")
    assert names(frame) == ["Web1.S0007"]
    frame.locator(".samples tbody tr:not([hidden])").focus()
    page.keyboard.press("x")
    frame.get_by_label("Search samples").fill("")
    frame.get_by_label("Comment").fill("S7 is a swap")
    frame.get_by_role("button", name="Approve 19 samples").click()
    frame.get_by_text("Web1 is approved.").wait_for()
    pictured(page, "approved")
    item = registry.project("Web1")
    assert (item["reviewed_by"], item["review_way"]) == ("ann", "review page")
    assert item["excluded"] == [f"Web1.S{n:04}" for n in (0, 6, 7, 12, 18)]
    assert page.trouble == [], "nothing from outside ran as a script"


def test_the_second_of_two_reviewers_is_told_who_was_first(signed_in: Any) -> None:
    registry = at_the_gate("Web2")
    first, second = opened(signed_in("ann"), "Web2"), opened(signed_in("bob"), "Web2")
    first.get_by_role("button", name="Reject the project").click()
    first.get_by_role("button", name="click again to confirm").click()
    first.get_by_text("Web2 is rejected.").wait_for()
    second.get_by_role("button", name="Approve 5 samples").click()
    second.get_by_text("ann was first and rejected it").wait_for()
    assert registry.project("Web2")["state"] == "rejected"


def test_an_expired_session_is_said_and_decides_nothing(signed_in: Any) -> None:
    registry = at_the_gate("Web3")
    page = signed_in("ann")
    frame = opened(page, "Web3")
    page.context.clear_cookies()
    frame.get_by_role("button", name="Approve 5 samples").click()
    frame.get_by_text("Your session has expired").wait_for()
    assert registry.project("Web3")["state"] == "awaiting_review"


def test_a_viewer_looks_only_and_the_report_opens(signed_in: Any) -> None:
    at_the_gate("Web4")
    frame = opened(signed_in("vera"), "Web4")
    frame.get_by_text("You may look, but not decide.").wait_for()
    assert frame.get_by_role("button", name="Approve").count() == 0
    frame.get_by_text("MultiQC report", exact=True).click()
    report = frame.frame_locator("iframe[title='MultiQC report']")
    report.get_by_role("heading", name="The MultiQC report").wait_for()


def test_fifteen_hundred_samples_are_ready_in_seconds(signed_in: Any) -> None:
    at_the_gate("Web5", samples=1500)
    page = signed_in("ann")
    started = time.monotonic()
    page.goto("seqharvest/review/?project=Web5")
    page.get_by_role("button", name="Approve 1\u2009250 samples").wait_for()
    ready = time.monotonic() - started
    sorting = page.evaluate(
        "() => { const t = performance.now();"
        " document.querySelector('th[data-key=unique_share] button').click();"
        " document.body.offsetHeight; return performance.now() - t; }"
    )
    print(f"1,500 samples: ready in {ready:.1f} s, sorted in {sorting:.0f} ms")
    pictured(page, "large")
    assert ready < 5
    assert sorting < 1000


@pytest.mark.parametrize(
    ("name", "window"),
    [
        ("phone", {"viewport": {"width": 390, "height": 844}}),
        ("dark", {"color_scheme": "dark"}),
    ],
)
def test_it_fits_a_phone_and_the_dark(signed_in: Any, name: str, window: dict[str, Any]) -> None:
    at_the_gate(f"Web_{name}", samples=40)
    page = signed_in("ann", **window)
    page.goto(f"seqharvest/review/?project=Web_{name}")
    page.get_by_role("heading", name="Samples", exact=True).wait_for()
    page.wait_for_timeout(300)
    pictured(page, name)
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page scrolls sideways"
