"""SplAdder's test data: the same events, and its PSI from its own counts."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest

from seqharvest.splicing.analysis import Found, analyse
from seqharvest.splicing.genome import Genome
from seqharvest.splicing.gtf import read_gtf
from seqharvest.splicing.junctions import pool
from seqharvest.splicing.psi import event_psi

from .world import junction_table

DATA = Path(__file__).parents[3] / "shared/data/splicing/spladder_psi"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is absent")

#: Their kind of event, and the columns of counts for and against inclusion.
KINDS = {
    "exon_skip": (("e1e2_conf", "e2e3_conf"), ("e1e3_conf",)),
    "alt_3prime": (("e2_conf",), ("e1e3_conf",)),
    "alt_5prime": (("e2_conf",), ("e1e3_conf",)),
    "mutex_exons": (("e1e2_conf", "e2e4_conf"), ("e1e3_conf", "e3e4_conf")),
}


@pytest.fixture(scope="module")
def found() -> Found:
    genome = Genome(DATA / "genome.fa")
    return analyse(read_gtf(DATA / "testcase_events.gtf"), genome, pool([]))


def confirmed(kind: str) -> list[dict[str, str]]:
    with gzip.open(DATA / f"merge_graphs_{kind}_C3.confirmed.txt.gz", "rt") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def blocks(row: dict[str, str]) -> tuple[int, int]:
    """The bases that make the difference."""
    return int(row["e2_start"]), int(row["e2_end"])


def test_its_exons_sites_introns_and_exclusive_exons_are_events(found: Found) -> None:
    names = {
        "exon_skip": "cassette_exon",
        "alt_3prime": "alternative_3_site",
        "alt_5prime": "alternative_5_site",
        "mutex_exons": "mutually_exclusive_exons",
        "intron_retention": "retained_intron",
    }
    ours = {(r["event_type"], r["gene_id"], r["start"], r["end"]) for r in found.events.to_pylist()}
    missing = {
        (names[kind], row["gene_name"], *blocks(row))
        for kind in names
        for row in confirmed(kind)
        if (names[kind], row["gene_name"], *blocks(row)) not in ours
    }
    # Their longer exons that hold a whole retained intron: for us that is the retained intron.
    assert missing == {
        ("alternative_3_site", "gene10", 6301, 6550),
        ("alternative_5_site", "gene11", 7151, 7301),
        ("alternative_5_site", "gene13", 8151, 8301),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_psi_is_theirs_from_their_counts(found: Found, kind: str) -> None:
    events = {(r["gene_id"], r["start"], r["end"]): r for r in found.events.to_pylist()}
    compared = 0
    for row in confirmed(kind):
        event = events.get((row["gene_name"], *blocks(row)))
        if event is None:
            continue
        for sample in (name[: -len(":psi")] for name in row if name.endswith(":psi")):
            reads = counts(event, row, sample, KINDS[kind])
            (psi,) = [
                r["psi"]
                for r in event_psi(found.events, junction_table({sample: reads}, "1")).to_pylist()
                if r["event_id"] == event["event_id"]
            ] or [None]
            theirs = row[f"{sample}:psi"]
            if psi is None or theirs == "nan":  # they ask for more reads
                continue
            ours = 1 - psi if kind == "mutex_exons" else psi
            if kind == "exon_skip":  # their table has the lesser junction where we have the mean
                into, out, skip = (float(row[f"{sample}:{c}"]) for c in sum(KINDS[kind], ()))
                assert ours == pytest.approx((into + out) / (into + out + 2 * skip))
                ours = min(into, out) / (min(into, out) + skip)
            assert abs(ours - float(theirs)) <= 0.01, (event["event_id"], sample)
            compared += 1
    assert compared >= 19


def test_the_two_published_shares(found: Found) -> None:
    skip = {(201, 300, "+"): 29, (401, 600, "+"): 34, (201, 600, "+"): 7}
    more = {(201, 300, "+"): 34, (401, 600, "+"): 39, (201, 600, "+"): 7}
    table = event_psi(found.events, junction_table({"sample1": skip, "sample10": more}, "1"))
    shares = {row["sample"]: round(row["psi"], 3) for row in table.to_pylist()}
    assert shares == {"sample1": 0.818, "sample10": 0.839}


def counts(
    event: dict[str, Any], row: dict[str, str], sample: str, columns: Any
) -> dict[tuple[int, int, str], int]:
    """Their counts over our junctions, left before right."""
    reads = {}
    for form, names in zip((("start", "end"), ("start_2", "end_2")), columns, strict=True):
        block = [event[name] for name in form]
        sides = [event["flank_start"], *block, event["flank_end"]]
        if block[0] is None:
            sides = [event["flank_start"], event["flank_end"]]
        gaps = [(a + 1, b - 1) for a, b in zip(sides[::2], sides[1::2], strict=True) if b > a + 1]
        for gap, name in zip(gaps, names, strict=True):
            reads[*gap, event["strand"]] = int(float(row[f"{sample}:{name}"]))
    return reads
