"""A sweep registers what it finds once, and says of everything else why not."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from seqharvest.archives import sweep
from seqharvest.archives.http import ArchiveClient
from seqharvest.archives.resolve import Archives
from seqharvest.errors import ArchiveError, InputError
from seqharvest.registry import Registry
from tests import airflow_home  # noqa: F401

from .conftest import ArchiveServer, Reply
from .test_resolve import NCBI, row, search, serve_runinfo, serve_runs, serve_series

DAY = date(2026, 3, 2)


def run_sweep(client: ArchiveClient, dry_run: bool = False, **wishes: Any) -> dict[str, Any]:
    archives, wanted = Archives(client, client), sweep.Wanted(**wishes)
    rows = sweep.sweep(DAY, DAY, Registry(), archives, wanted, dry_run=dry_run)
    return {row["series"]: row for row in rows}


@pytest.fixture(autouse=True)
def nothing_more(archive: ArchiveServer) -> None:
    """GEO describes samples without characteristics, BioSample knows none."""
    archive.serve("/geo", Reply(b"^SAMPLE = GSM1\n"))
    archive.serve("/eutils/efetch.fcgi", Reply(b"<BioSampleSet/>"))


def test_one_bad_series_never_stops_the_rest(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(
        archive,
        {"accession": "GSE201", "bioproject": "", "title": "no study"},
        {"accession": "GSE202", "error": "cannot get document summary"},
        {"accession": "GSE203", "n_samples": 1},
        {"accession": "GSE204", "title": "good"},
    )
    archive.serve("/eutils/esearch.fcgi", search(4), search(0), search(4))
    serve_runs(archive, row("SRR204", "SRX204"))
    rows = run_sweep(client, minimum_samples=2)
    assert {name: found["action"] for name, found in rows.items()} == {
        "GSE201": "failed",
        "GSE202": "failed",
        "GSE203": "left out",
        "GSE204": "registered",
    }
    assert rows["GSE203"]["reason"] == "1 samples, fewer than 2"
    registry = Registry()
    assert registry.project("GSE201")["state"] == "failed"
    assert "GEO names no study" in registry.project("GSE201")["reason"]
    assert "cannot get document summary" in registry.project("GSE202")["reason"]
    assert registry.project("GSE204")["state"] == "registered"
    assert "2026/03/01:2026/03/02[PDAT]" in archive.requests[0][1]["term"]
    archive.serve("/eutils/esearch.fcgi", search(4), search(0))
    again = run_sweep(client, minimum_samples=2)
    assert again["GSE204"]["action"] == "known" and again["GSE204"]["new_samples"] == 0


def test_an_archive_that_is_down_is_a_failure_that_may_pass(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    from seqharvest.operators.sweep import check_archives

    serve_series(archive, {"accession": "GSE206"})
    archive.serve("/portal/filereport", Reply(b"", 503))
    down = run_sweep(client)["GSE206"]
    assert (down["action"], down["again"]) == ("failed", True)
    with pytest.raises(ArchiveError, match=r"1 of 1 series, first GSE206: .*HTTP 503"):
        check_archives([down])
    serve_runs(archive, row("SRR206", "SRX206"))
    up = run_sweep(client)["GSE206"]
    assert up["new_samples"] == 1 and "again" not in up


def test_a_quota_limits_new_projects_only(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(archive, {"accession": "GSE211"}, {"accession": "GSE212"})
    archive.serve(
        "/portal/filereport",
        *(Reply(json.dumps([row(f"SRR{n}", f"SRX{n}")]).encode()) for n in (211, 212)),
    )
    rows = run_sweep(client, quota=1)
    assert rows["GSE211"]["action"] == "registered"
    full = {"action": "left out", "reason": "the quota of 1 new projects a day is used up"}
    assert rows["GSE212"] == rows["GSE212"] | full
    # What was taken before counts: the same day swept again takes no more.
    again = run_sweep(client, quota=1)
    assert (again["GSE211"]["action"], again["GSE212"]["action"]) == ("known", "left out")


def test_runs_of_other_organisms_and_other_kinds_of_series_are_left(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    array = "Expression profiling by array"
    serve_series(archive, {"accession": "GSE241"}, {"accession": "GSE242", "gdstype": array})
    mouse = {"scientific_name": "Mus musculus", "tax_id": "10090"}
    serve_runs(archive, row("SRR241", "SRX241"), row("SRR242", "SRX242", **mouse))
    rows = run_sweep(client)
    assert rows["GSE242"]["reason"] == f"its type is {array}"
    assert rows["GSE241"]["samples"] == 1
    assert Registry().project("GSE241")["left_out"] == [
        {"run": "SRR242", "reason": "organism Mus musculus is not wanted"}
    ]


def test_a_superseries_gives_way_to_its_subseries(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    children = [{"relationtype": "SuperSeries of", "targetobject": "GSE252"}]
    serve_series(archive, {"accession": "GSE252"})
    child = archive.routes["/eutils/esummary.fcgi"][0]
    serve_series(archive, {"accession": "GSE251", "relations": children})
    parent = archive.routes["/eutils/esummary.fcgi"][0]
    archive.serve("/eutils/esummary.fcgi", parent, child)
    serve_runs(archive, row("SRR252", "SRX252"))
    rows = run_sweep(client)
    assert rows["GSE251"]["reason"] == "superseries: taken as GSE252"
    assert rows["GSE252"]["action"] == "registered"
    with pytest.raises(InputError):
        Registry().project("GSE251")


def test_controlled_access_is_not_asked_for_again(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(archive, {"accession": "GSE261"})
    archive.serve("/portal/filereport", Reply(b"", 204))
    serve_runinfo(archive, {**NCBI, "Run": "SRR261", "Consent": "GRU"})
    assert run_sweep(client)["GSE261"]["action"] == "failed"
    serve_series(archive, {"accession": "GSE261"})
    before = len(archive.requests)
    row_again = run_sweep(client)["GSE261"]
    assert (row_again["action"], len(archive.requests) - before) == ("known", 2)
    assert row_again["reason"].startswith("controlled access")


def test_a_dry_run_registers_nothing(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(archive, {"accession": "GSE221"}, {"accession": "GSE222", "bioproject": ""})
    archive.serve("/eutils/esearch.fcgi", search(2), search(0))
    serve_runs(archive, row("SRR221", "SRX221"))
    rows = run_sweep(client, dry_run=True)
    assert rows["GSE221"]["action"] == "would register" and rows["GSE221"]["new_samples"] == 1
    assert rows["GSE222"]["action"] == "failed"
    for project in rows:
        with pytest.raises(InputError):
            Registry().project(project)
