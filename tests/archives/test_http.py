"""Requests to archives: what is retried, what is waited for, what is an error in disguise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.archives import biosample, ena, eutils, geo, http, runinfo, soft
from seqharvest.archives.http import ArchiveClient, NcbiSpacing, Patience, retry_after
from seqharvest.errors import ArchiveError
from seqharvest.settings import settings

from .conftest import DATA, ArchiveServer, Reply

ERRORS = json.loads((DATA / "api/errors/index.json").read_text()) if DATA.is_dir() else []
EMPTY = b'{"esearchresult":{"count":"0","idlist":[]}}'
ONE = b'{"esearchresult":{"count":"1","webenv":"MCID_1","querykey":"1","idlist":[]}}'


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error["file"])
@pytest.mark.parametrize("service", ["search", "summary", "ena", "runinfo", "biosample", "geo"])
def test_no_error_body_is_taken_for_no_results(
    error: dict[str, str | int],
    service: str,
    archive: ArchiveServer,
    client: ArchiveClient,
    data: Path,
) -> None:
    reply = Reply(
        (data / "api/errors" / str(error["file"])).read_bytes().strip(),
        int(error["status"]),
        {"Content-Type": str(error["content_type"])},
    )
    archive.serve("/eutils/esearch.fcgi", reply if service == "search" else Reply(ONE))
    for path in ("/eutils/esummary.fcgi", "/eutils/efetch.fcgi", "/portal/filereport", "/geo"):
        archive.serve(path, reply)
    today = datetime.now(UTC).date()
    ask = {
        "ena": lambda: ena.runs("SRP000001", client),
        "runinfo": lambda: runinfo.runs("SRP000001", client),
        "biosample": lambda: biosample.attributes(["SAMN1"], client),
        "geo": lambda: soft.samples("GSE1", client),
    }
    with pytest.raises(ArchiveError):
        ask.get(service, lambda: geo.search(today, today, [], client))()


def test_an_honest_empty_result_is_not_an_error(
    archive: ArchiveServer, client: ArchiveClient, data: Path
) -> None:
    empty = (data / "api/gds/esearch_gds_empty.json").read_bytes()
    archive.serve("/eutils/esearch.fcgi", Reply(empty))
    archive.serve("/portal/filereport", Reply(b"[]"))
    today = datetime.now(UTC).date()
    assert geo.search(today, today, ["Homo sapiens"], client) == []
    assert ena.runs("SRP000001", client) == []


@pytest.mark.parametrize(
    "first",
    [
        Reply(b"slow down", 429),
        Reply(b"", 503),
        Reply(b"oops", 500),
        Reply(b"<html>maintenance</html>"),
        Reply(EMPTY, cut=5),
        Reply(EMPTY[:-4]),
        Reply(b'{"error":"API rate limit exceeded","count":"11"}'),
    ],
    ids=["429", "503", "500", "web page", "reset", "cut body", "rate limit with 200"],
)
def test_what_may_pass_is_asked_again(
    first: Reply, archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", first, Reply(EMPTY))
    today = datetime.now(UTC).date()
    assert geo.search(today, today, [], client) == []
    assert len(archive.asked("/eutils/esearch.fcgi")) == 2


def test_retry_after_is_obeyed(archive: ArchiveServer, client: ArchiveClient) -> None:
    archive.serve("/portal/filereport", Reply(b"", 429, {"Retry-After": "1"}), Reply(b"[]"))
    started = time.monotonic()
    ena.runs("SRP000001", client)
    assert time.monotonic() - started >= 1


def test_a_wait_of_an_hour_is_reported_instead(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/portal/filereport", Reply(b"", 503, {"Retry-After": "3600"}))
    with pytest.raises(ArchiveError, match="3600 s"):
        ena.runs("SRP000001", client)
    assert len(archive.requests) == 1


def test_a_wrong_request_is_not_repeated(archive: ArchiveServer, client: ArchiveClient) -> None:
    archive.serve("/portal/filereport", Reply(b'{"message":"bad accession"}', 400))
    with pytest.raises(ArchiveError, match=r"accession=SRP000001.*bad accession"):
        ena.runs("SRP000001", client)
    assert len(archive.requests) == 1


def test_errors_do_not_tell_the_api_key(archive: ArchiveServer, client: ArchiveClient) -> None:
    archive.serve("/eutils/esearch.fcgi", Reply(b"", 404))
    with pytest.raises(ArchiveError) as raised:
        geo.series("GSE1", client)
    assert archive.requests[0][1]["api_key"] == "secret-key"
    assert "secret-key" not in str(raised.value)


def test_a_dead_server_is_an_archive_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        ArchiveClient(Patience(attempts=2, first_wait=0.01)) as client,
        pytest.raises(ArchiveError, match="gave no answer"),
    ):
        client.get("http://127.0.0.1:9/x", {}, lambda response: response.text)


def test_parallel_tasks_share_the_pace(tmp_path: Path) -> None:
    spacing = NcbiSpacing(tmp_path, has_key=True)
    started = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: NcbiSpacing(tmp_path, has_key=True)(), range(6)))
    assert time.monotonic() - started >= 5 * spacing.gap


def test_retry_after_as_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert 28 < (retry_after(format_datetime(soon, usegmt=True)) or 0) <= 30


def test_processes_share_the_pace_too(tmp_path: Path) -> None:
    turn = (
        "import sys; from pathlib import Path; from seqharvest.archives.http import NcbiSpacing\n"
        "spacing = NcbiSpacing(Path(sys.argv[1]), has_key=False)\n"
        "for _ in range(2): spacing()"
    )
    command = [sys.executable, "-c", turn, str(tmp_path)]
    paths = {**os.environ, "PYTHONPATH": str(Path(http.__file__).parents[2])}
    started = time.monotonic()
    tasks = [subprocess.Popen(command, env=paths) for _ in range(3)]
    assert [task.wait(60) for task in tasks] == [0, 0, 0]
    # 6 requests of 3 processes at 3 a second; the first waits for nobody.
    assert time.monotonic() - started >= 5 * 0.35


def test_a_machine_may_have_a_share_of_the_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQHARVEST_NCBI_RATE", "0.5")
    settings.cache_clear()
    try:
        assert NcbiSpacing(tmp_path, has_key=True).gap == pytest.approx(2.1)
    finally:
        settings.cache_clear()


def test_a_forgotten_history_is_searched_again(
    archive: ArchiveServer, client: ArchiveClient
) -> None:
    archive.serve("/eutils/esearch.fcgi", Reply(ONE))
    lost = Reply(b'{"esummaryresult":["Unable to obtain query #1"]}')
    entry = b'{"result":{"uids":["200000001"],"200000001":{"accession":"GSE1","entrytype":"GSE"}}}'
    archive.serve("/eutils/esummary.fcgi", lost, Reply(entry))
    today = datetime.now(UTC).date()
    assert [found.accession for found in geo.search(today, today, [], client)] == ["GSE1"]
    archive.serve("/eutils/esummary.fcgi", lost)
    with pytest.raises(eutils.ForgottenError):
        geo.search(today, today, [], client)
    assert client.asked == {"esearch.fcgi": 4, "esummary.fcgi": 4}


@given(st.text())
def test_any_retry_after_is_a_wait_or_nothing(header: str) -> None:
    wait = retry_after(header)
    assert wait is None or wait >= 0
