"""A sweep registers what it finds once, and says of everything else why not."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from seqharvest.archives import register, sweep
from seqharvest.archives.http import ArchiveClient
from seqharvest.errors import InputError
from seqharvest.registry import Registry

from .conftest import ArchiveServer, Reply
from .test_resolve import row, serve_runs, serve_series

DAY = date(2026, 3, 2)


def run_sweep(client: ArchiveClient, **options: Any) -> dict[str, dict[str, Any]]:
    rows = sweep.sweep(DAY, DAY, Registry(), ncbi=client, portal=client, **options)
    return {row["series"]: row for row in rows}


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
    assert "no SRA study" in registry.project("GSE201")["reason"]
    assert "cannot get document summary" in registry.project("GSE202")["reason"]
    assert registry.project("GSE204")["state"] == "registered"
    assert "2026/03/01:2026/03/02[PDAT]" in archive.requests[0][1]["term"]
    again = run_sweep(client, minimum_samples=2)
    assert again["GSE204"]["action"] == "known" and again["GSE204"]["new_samples"] == 0


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
    assert rows["GSE212"] == rows["GSE212"] | {
        "action": "left out",
        "reason": "the quota of 1 new projects is used up",
    }


def test_a_dry_run_registers_nothing(
    aws: object, archive: ArchiveServer, client: ArchiveClient
) -> None:
    serve_series(archive, {"accession": "GSE221"}, {"accession": "GSE222", "bioproject": ""})
    serve_runs(archive, row("SRR221", "SRX221"))
    rows = run_sweep(client, dry_run=True)
    assert rows["GSE221"]["action"] == "would register" and rows["GSE221"]["new_samples"] == 1
    assert rows["GSE222"]["action"] == "failed"
    for project in rows:
        with pytest.raises(InputError):
            Registry().project(project)


def test_by_hand_one_bad_accession_never_stops_the_others(
    aws: object, archive: ArchiveServer, capsys: pytest.CaptureFixture[str]
) -> None:
    serve_runs(archive, row("SRR231", "SRX231"))
    assert register.main(["nonsense", "PRJNA231", "--by", "tester"]) == InputError.exit_code
    shown = capsys.readouterr()
    assert "'nonsense' is not an accession" in shown.err
    assert "project PRJNA231: 1 samples, 1 new" in shown.out
    assert Registry().project("PRJNA231")["state"] == "registered"
    assert register.main(["PRJNA231", "--dry-run"]) == 0
    assert "SRX231\tpaired\tSRR231" in capsys.readouterr().out
