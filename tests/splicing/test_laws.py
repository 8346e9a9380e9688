"""What holds for every genome, annotation and set of junctions."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from seqharvest.splicing.analysis import Found
from seqharvest.splicing.psi import event_psi

from .world import Model, World, change, junction_table, plain_verdict, random_world

seeds = st.integers(0, 1 << 32)
laws = settings(max_examples=60, deadline=None)

PLACES = ("start", "end", "start_2", "end_2", "flank_start", "flank_end", "strand", "event_id")


def analysed(world: World, **options: Any) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        return world.analyse(Path(folder), **options)


def rows(table: pa.Table, *sort: str, without: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    listed = table.sort_by([(name, "ascending") for name in sort]).to_pylist()
    return [{k: v for k, v in row.items() if k not in without} for row in listed]


@laws
@given(seeds)
def test_every_isoform_is_judged_as_a_plain_reader_judges_it(seed: int) -> None:
    world = random_world(seed)
    found = analysed(world)
    events = {row["event_id"]: row for row in found.events.to_pylist()}
    models = {model.name: model for model in world.models}
    own = {row["transcript_id"]: row["rule"] for row in found.transcripts.to_pylist()}
    for name, rule in own.items():
        if rule not in ("start_unknown", "cds_disagrees"):
            assert rule == plain_verdict(world, models[name], models[name].exons)
    for row in found.isoforms.to_pylist():
        model, event = models[row["transcript_id"]], events[row["event_id"]]
        if row["rule"] not in ("start_unknown", "cds_disagrees"):
            changed = change(model, event, row["form"])
            assert row["rule"] == plain_verdict(world, model, changed), row


@laws
@given(seeds)
def test_the_other_strand_of_everything_gives_the_same_but_for_places(seed: int) -> None:
    world = random_world(seed)
    here, there = analysed(world), analysed(world.mirrored())
    size = len(world.sequence) + 1

    def turned(row: dict[str, Any]) -> dict[str, Any]:
        row = dict(row)
        row["strand"] = "-" if row["strand"] == "+" else "+"
        for a, b in (("start", "end"), ("start_2", "end_2"), ("flank_start", "flank_end")):
            if row[a] is not None:
                row[a], row[b] = size - row[b], size - row[a]
        row["event_id"] = turned_id(row["event_id"])
        return row

    def turned_id(name: str | None) -> str | None:
        if name is None:
            return None
        gene, kind, contig, left, *blocks, right, sign = name.split(":")
        places = [
            "-".join(str(size - int(p)) for p in reversed(b.split("-")))
            for b in (right, *blocks, left)
        ]
        return ":".join([gene, kind, contig, *places, "-" if sign == "+" else "+"])

    def by_id(row: dict[str, Any]) -> str:
        return str(row["event_id"])

    ours = sorted((turned(row) for row in here.events.to_pylist()), key=by_id)
    assert ours == sorted(there.events.to_pylist(), key=by_id)
    theirs = {
        (size - row["intron_end"], size - row["intron_start"]): row
        for row in there.junctions.to_pylist()
    }
    for row in here.junctions.to_pylist():
        other = theirs.pop((row["intron_start"], row["intron_end"]))
        for name in ("class", "rule", "transcript_id", "fit", "stop_to_junction", "annotated"):
            assert row[name] == other[name]
        assert turned_id(row["event_id"]) == other["event_id"]
    assert not theirs


@laws
@given(seeds)
def test_the_order_of_records_and_of_junctions_does_not_matter(seed: int) -> None:
    world = random_world(seed)
    here = analysed(world)
    order = Random(seed)
    order.shuffle(world.junctions)
    there = analysed(world, order=order)
    for name in ("events", "isoforms", "junctions", "transcripts"):
        assert getattr(here, name).equals(getattr(there, name)), name


@laws
@given(seeds)
def test_an_unrelated_gene_changes_nothing(seed: int) -> None:
    world = random_world(seed)
    here = analysed(world)
    at = len(world.sequence) + 100
    exons = [(at, at + 80), (at + 200, at + 280), (at + 400, at + 500)]
    other = random_world(seed + 1)
    more = World(
        world.sequence + "A" * 99 + other.sequence.ljust(700, "C"),
        [*world.models, Model("a0", "u", exons, world.models[0].strand)],
        world.junctions,
    )
    there = analysed(more)
    mine = [row for row in there.events.to_pylist() if row["gene_id"] == "g1"]
    assert rows(here.events, "event_id") == sorted(mine, key=lambda row: row["event_id"])
    known = {(r["intron_start"], r["intron_end"]): r for r in there.junctions.to_pylist()}
    for row in here.junctions.to_pylist():
        assert row == known[row["intron_start"], row["intron_end"]]


@laws
@given(seeds, st.randoms(use_true_random=False))
def test_an_event_keeps_its_id_whatever_else_is_seen(seed: int, random: Random) -> None:
    world = random_world(seed)
    before = {row["event_id"]: row for row in analysed(world).events.to_pylist()}
    kept = [junction for junction in world.junctions if random.random() < 0.5]
    for row in analysed(World(world.sequence, world.models, kept)).events.to_pylist():
        if row["event_id"] in before:  # others may have needed that a junction was not seen
            wanted = before[row["event_id"]]
            assert [row[name] for name in PLACES] == [wanted[name] for name in PLACES]
    assert len(before) == len(set(before))
    for name in before:
        assert re.fullmatch(r"g1:(SE|A5|A3|RI|MX):c:\d+(:\d+-\d+){1,2}:\d+:[+-]", name)


@laws
@given(seeds, st.randoms(use_true_random=False))
def test_psi_is_a_share_within_its_interval(seed: int, random: Random) -> None:
    world = random_world(seed)
    found = analysed(world)
    places = [
        (row["intron_start"], row["intron_end"], row["strand"])
        for row in found.junctions.to_pylist()
    ]
    reads = {p: random.choice((0, 1, 7, 900, 10**6)) for p in places}
    psi = event_psi(found.events, junction_table({"a": reads, "b": {}, "c": dict(reads)}))
    by_sample: dict[str, list[dict[str, Any]]] = {}
    for row in psi.to_pylist():
        assert 0 <= row["psi_low"] <= row["psi"] <= row["psi_high"] <= 1
        assert row["inclusion"] + row["exclusion"] > 0
        by_sample.setdefault(row.pop("sample"), []).append(row)
    assert "b" not in by_sample
    assert by_sample.get("a") == by_sample.get("c")


CODON = st.sampled_from(
    [a + b + c for a in "ACGT" for b in "ACG" for c in "ACG" if a != "T" or (b, c) == ("C", "C")]
)


@laws
@given(st.lists(CODON, min_size=4, max_size=30), CODON, st.integers(0, 4))
def test_three_more_bases_without_a_stop_in_a_cassette_keep_the_frame(
    codons: list[str], more: str, at: int
) -> None:
    def judged(cassette: list[str]) -> dict[str, Any]:
        first, last = "ATG" + "CAC" * 20, "GCC" * 20 + "TAA" + "C" * 100
        intron = "GTAAGT" + "C" * 60 + "CAG"
        body = "".join(cassette)
        exons, text = [], "CCCCC"
        for part in (first, body, "ACC" * 40, last):
            exons.append((len(text) + 1, len(text) + len(part)))
            text += part + intron
        model = Model("g", "t", exons, "+", 6, ("MANE_Select",))
        skipped = Model("g", "s", [exons[0], *exons[2:]], "+", 6)
        (row,) = (
            analysed(World(text, [model, skipped]))
            .isoforms.filter((pa.compute.field("form") == "inclusion") & pa.compute.field("first"))
            .to_pylist()
        )
        return dict(row)

    before, after = judged(codons), judged([*codons[:at], more, *codons[at:]])
    assert before["class"] == after["class"] == "productive"
    assert before["same_stop"] and after["same_stop"]
    assert after["start_to_stop"] == before["start_to_stop"] + 3


def test_a_transcript_of_higher_rank_is_asked_first() -> None:
    world = random_world(7)
    first, *others = world.models
    world.models = [
        replace(first, tags=()),
        replace(first, name="t9", tags=("MANE_Select",)),
        *others,
    ]
    for row in analysed(world).events.to_pylist():
        assert row["transcript_id"] in (None, "t9") or row["fit"] == "exact"
