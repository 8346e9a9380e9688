"""A backfill of 30 days against the local archive: its days in parallel, and again for nothing."""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from seqharvest.archives import resolve
from seqharvest.archives.resolve import Archives, open_archives
from seqharvest.registry import Registry
from seqharvest.settings import settings
from tests import airflow_home  # noqa: F401
from tests.conftest import REPO, free_port

FIRST, DAYS = date(2026, 3, 1), 30
FORM: dict[str, Any] = {
    "organisms": ["Homo sapiens"],
    "assays": ["expression profiling by high throughput sequencing"],
    "minimum_samples": 2,
    "quota": 10,
    "dry_run": False,
}


def publish(folder: Path, day: int) -> None:
    """A series of one day: two samples with a read each, as FASTQ only."""
    series = 770000 + day
    place = folder / f"GSE{series}"
    place.mkdir()
    about = {"published": FIRST + timedelta(days=day), "organism": "Homo sapiens", "taxid": 9606}
    (place / "series.yaml").write_text(yaml.safe_dump(about))
    with (place / "samples.csv").open("w", newline="") as sheet:
        lines = csv.writer(sheet)
        lines.writerow(["run", "fastq_1", "offered", "Organ", "treatment"])
        for number, treatment in enumerate(("none", 'naïve "5 µM"')):
            run = f"SRR{series}{number}"
            with gzip.open(place / f"{run}.fastq.gz", "wt") as reads:
                reads.write(f"@r\n{'ACGT' * 25}\n+\n{'I' * 100}\n")
            lines.writerow([run, f"{run}.fastq.gz", "fastq", "Whole Lung", treatment])


@pytest.fixture(scope="module")
def local_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("days")
    for day in range(DAYS):
        publish(folder, day)
    port = free_port()
    series = [part for place in sorted(folder.iterdir()) for part in ("--series", str(place))]
    command = [sys.executable, "-m", "local.archive", "--port", str(port), *series]
    state = tmp_path_factory.mktemp("state")
    server = subprocess.Popen(
        [*command, "--state", str(state)],
        env={**os.environ, "PYTHONPATH": f"{REPO / 'plugins'}:{REPO}"},
        cwd=REPO,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, server)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SEQHARVEST_EUTILS_URL", f"{url}/entrez/eutils")
            patch.setenv("SEQHARVEST_GEO_URL", f"{url}/geo/query/acc.cgi")
            patch.setenv("SEQHARVEST_ENA_PORTAL_URL", f"{url}/ena/portal/api")
            patch.setenv("SEQHARVEST_NCBI_RATE", os.environ.get("BACKFILL_RATE", "100"))
            settings.cache_clear()
            yield url
    finally:
        server.terminate()
        server.wait(30)
        settings.cache_clear()


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "the archive ended at once"
        try:
            if httpx.get(f"{url}/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the archive did not become ready")


def backfill() -> tuple[list[list[dict[str, Any]]], int, float]:
    """Run the operator for each day, eight at a time; rows, requests and seconds."""
    from seqharvest.operators.sweep import GeoSweepOperator

    opened: list[Archives] = []

    def sweep_day(day: int) -> list[dict[str, Any]]:
        start = datetime.combine(FIRST + timedelta(days=day), datetime.min.time(), UTC)
        interval = {"data_interval_start": start, "data_interval_end": start + timedelta(days=1)}
        operator = GeoSweepOperator(task_id=f"sweep{day}")
        rows: list[dict[str, Any]] = operator.execute({"params": FORM, **interval})
        return rows

    @contextmanager
    def counted() -> Iterator[Archives]:
        with open_archives() as archives:
            opened.append(archives)
            yield archives

    started = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resolve, "open_archives", counted)
        with ThreadPoolExecutor(8) as pool:
            rows = list(pool.map(sweep_day, range(DAYS)))
    requests = sum((each.ncbi.asked + each.portal.asked).total() for each in opened)
    return rows, requests, time.monotonic() - started


def test_a_backfill_again_registers_nothing(
    aws: object, local_archive: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, requests, seconds = backfill()
    projects = {f"GSE{770000 + day}" for day in range(DAYS)}
    registered = [row for day in rows for row in day if row["action"] == "registered"]
    assert {row["series"] for row in registered} == projects
    assert len(registered) == DAYS, "each series is registered by one day only"
    # Each day sees the day before, too.
    assert {len(day) for day in rows[1:]} == {2}
    sample = Registry().sample("GSE770007", "SRX7700071")
    assert sample["metadata"]["treatment"] == 'naïve "5 µM"'
    ours = {"tissue": "lung", "treatment": 'naïve "5 µM"', "terms": "1"}
    assert sample["harmonised"] == ours
    again, requests_again, seconds_again = backfill()
    assert {row["action"] for day in again for row in day} == {"known"}
    assert sum(row["new_samples"] for day in again for row in day) == 0
    assert requests_again < requests
    with capsys.disabled():
        print(
            f"\nbackfill of {DAYS} days, 8 at a time: {requests} requests, {seconds:.1f} s;"
            f" again: {requests_again} requests, {seconds_again:.1f} s, nothing registered"
        )
