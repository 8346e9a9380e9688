"""How far a fetch is, on its sample's item: true, without a move, and never in the fetch's way."""

from __future__ import annotations

import gzip
import hashlib
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqharvest import stages
from seqharvest.archives import fetch
from seqharvest.archives.limits import Limits
from seqharvest.archives.model import FastqFile, Run
from seqharvest.archives.progress import Progress
from seqharvest.registry import Registry, fetching
from seqharvest.registry.__main__ import main

from .conftest import ArchiveServer, Reply

COUNT = 400


@pytest.fixture
def body() -> bytes:
    letters = random.Random(4)
    lines = (
        f"@r{n}\n{''.join(letters.choices('ACGT', k=90))}\n+\n{'F' * 90}\n" for n in range(COUNT)
    )
    return gzip.compress("".join(lines).encode(), mtime=0)


def test_a_download_shows_on_its_samples_item_without_moving_it(
    aws: Any,
    archive: ArchiveServer,
    body: bytes,
    limits: Limits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    registry, project = Registry(), "progress1"
    url = archive.serve("/SRR1.fastq.gz", Reply(body, pause=0.005))
    run = Run("SRR1", "SRX71", "single", spots=COUNT)
    run = replace(run, fastq=(FastqFile(url, hashlib.md5(body).hexdigest(), len(body)),))
    registry.register_project(project, by="t", source="geo")
    registry.register_sample(project, "SRX71", by="t", layout="single", runs=[run.as_dict()])
    stages.open_project(project, run_id="r1", by="t")
    plans = stages.plan_fetch(project, "t")
    before = registry.sample(project, "SRX71")

    seen, note = [], fetching.note

    def look(*told: Any) -> None:
        note(*told)
        seen.append(registry.sample(project, "SRX71"))

    monkeypatch.setattr(fetching, "note", look)
    order = fetch.Order(aws.bucket, project, "SRX71", run, ("ena",))
    fetch.fetch(aws.client("s3"), order, 2, replace(limits, tell_every=0.1))

    assert {(item["state"], item["version"]) for item in seen} == {("fetching", before["version"])}
    told = [item["fetching"]["SRR1"] for item in seen]
    under_way = [one for one in told if one["phase"] == "downloading" and one["bytes"]]
    arrived = [one["bytes"] for one in under_way]
    assert len(arrived) > 2 and arrived == sorted(arrived) and arrived[-1] <= len(body)
    assert all(one["of"] == len(body) and one["source"] == "ena" for one in under_way)
    middle = under_way[1]
    assert middle["rate"] > 0 and middle["eta"] <= 60
    assert told[-1]["phase"] == "stored"
    assert "SRR1 stored" in shown(project, capsys)
    note(project, "SRX71", "SRR1", {**middle, "bytes": 1_250_000, "of": 3 * 10**9, "eta": 150})
    assert "SRR1 1.2 MB of 3.0 GB from ena, " in shown(project, capsys)

    stages.record_fetch(project, plans, "t")
    item = registry.sample(project, "SRX71")
    assert item["state"] == "fetched" and "fetching" not in item
    note(project, "SRX71", "SRR1", told[0])  # a late word changes nothing
    assert registry.sample(project, "SRX71") == item
    note(project, "SRX72", "SRR1", told[0])  # nor does it make a sample
    assert [one["sample"] for one in registry.samples(project)] == ["SRX71"]


def shown(project: str, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["show", project]) == 0
    return capsys.readouterr().out


def test_a_registry_that_does_not_answer_stops_no_fetch(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: object) -> None:
        raise OSError("no network")

    with Progress(broken, every=0.01) as progress:
        progress.begin(10)
        time.sleep(0.05)
    assert "progress was not recorded: no network" in caplog.text
