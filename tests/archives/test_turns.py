"""A source never has more downloads than it may, whoever dies, and nobody waits for the dead."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from seqharvest.archives import turns
from seqharvest.archives.limits import Limits
from seqharvest.archives.turns import turn
from seqharvest.errors import ArchiveError, InputError, SeqharvestError
from seqharvest.settings import settings

QUICK = Limits(turn_patience=20, turn_wait=0.02, turn_seconds=5)
_numbers = itertools.count(1)


@pytest.fixture
def source(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A source nobody has used, with three turns."""
    name = f"source{next(_numbers)}"
    monkeypatch.setenv("SEQHARVEST_FETCH_LIMITS", f"{name}=3, other=1")
    settings.cache_clear()
    yield name
    settings.cache_clear()


def test_never_more_at_a_time_than_the_setting_says_and_all_get_their_turn(source: str) -> None:
    guard, at_once, counts = threading.Lock(), [0], []

    def download(_: int) -> None:
        with turn(source, QUICK):
            with guard:
                at_once[0] += 1
                counts.append(at_once[0])
            time.sleep(0.05)
            with guard:
                at_once[0] -= 1

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(download, range(30)))
    assert len(counts) == 30 and max(counts) == 3


def test_a_turn_of_the_dead_runs_out_and_one_in_use_does_not(source: str) -> None:
    short = replace(QUICK, turn_seconds=0.5, turn_patience=0.1)
    for _ in range(2):
        turns._Turn(source, short).wait(3)  # they die
    with turn(source, short):
        with pytest.raises(ArchiveError, match="had 3 downloads for"), turn(source, short):
            pass
        time.sleep(1)  # longer than an unrenewed turn lasts
        for _ in range(2):
            turns._Turn(source, short).wait(3)
        with pytest.raises(ArchiveError, match="had 3 downloads for"), turn(source, short):
            pass


def test_a_source_without_a_limit_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns.aws, "client", None)
    with turn("sra", QUICK):
        pass


def test_a_limit_that_cannot_be_kept_is_an_error(
    source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQHARVEST_TABLE", "none")
    settings.cache_clear()
    with pytest.raises(SeqharvestError, match="cannot be taken"), turn(source, QUICK):
        pass
    for bad in ("ena", "ena=many", "ena=0", "=,"):
        monkeypatch.setenv("SEQHARVEST_FETCH_LIMITS", bad)
        settings.cache_clear()
        with pytest.raises(InputError, match="is not source=number"), turn("ena", QUICK):
            pass
