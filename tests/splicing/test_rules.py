"""What cannot be judged is said so, and why; what may escape decay is told beside the class."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seqharvest.errors import InputError
from seqharvest.splicing.analysis import Found, analyse
from seqharvest.splicing.genome import Genome
from seqharvest.splicing.gtf import read_gtf
from seqharvest.splicing.junctions import pool
from seqharvest.splicing.psi import event_psi

from .world import Model, World, junction_table

INTRON = "GTAAGT" + "C" * 80 + "CAG"
EXONS = ("CCCC" + "ATG" + "CAC" * 60, "GCA" * 30, "ACC" * 40, "GCC" * 20 + "TAA" + "C" * 500)


def gene(parts: tuple[str, ...] = EXONS, **about: Any) -> tuple[World, Model]:
    exons, text = [], "CCCCC"
    for part in parts:
        exons.append((len(text) + 1, len(text) + len(part)))
        text += part + INTRON
    model = Model("g", "t", exons, "+", 10, **about)
    return World(text, [model]), model


def only(table: pa.Table, **wanted: Any) -> dict[str, Any]:
    (row,) = [r for r in table.to_pylist() if all(r[k] == v for k, v in wanted.items())]
    return dict(row)


def skip(world: World, model: Model, exon: int) -> World:
    """A sample skips an exon."""
    before, behind = model.exons[exon - 1][1] + 1, model.exons[exon + 1][0] - 1
    world.junctions.append((before, behind, "+"))
    return world


def excluded(tmp_path: Path, world: World) -> dict[str, Any]:
    return only(world.analyse(tmp_path).isoforms, form="exclusion")


def test_a_stop_51_nt_before_the_last_junction_is_destroyed_and_50_is_not(tmp_path: Path) -> None:
    for distance, expected in ((50, "productive"), (51, "nonproductive")):
        third = "TAA" + "C" * distance
        world, _ = gene((EXONS[0], EXONS[1], third, EXONS[3]))
        row = only(world.analyse(tmp_path / str(distance)).transcripts)
        assert (row["class"], row["stop_to_junction"]) == (expected, distance)


def test_escapes_are_columns_and_no_rule(tmp_path: Path) -> None:
    near, _ = gene(("CCCCATG" + "CAC" * 10 + "TAA" + "C" * 400, *EXONS[1:]))
    row = only(near.analyse(tmp_path).transcripts)
    assert row["class"] == "nonproductive"
    assert row["start_proximal"] and row["start_to_stop"] == 33
    assert row["long_stop_exon"] and row["long_last_exon"]


def test_a_change_that_takes_the_start_codon_is_undetermined(tmp_path: Path) -> None:
    world, model = gene(("C" * 30, *EXONS))
    started = replace(model, start=model.exons[1][0] + 4)
    world.models = [started]
    row = excluded(tmp_path, skip(world, model, 1))
    assert (row["class"], row["rule"]) == ("undetermined", "start_lost")


@pytest.mark.parametrize(
    ("tag", "rule"), [("cds_start_NF", "start_unknown"), ("mRNA_end_NF", "end_unknown")]
)
def test_a_cut_off_transcript_is_undetermined(tmp_path: Path, tag: str, rule: str) -> None:
    world, model = gene(tags=(tag, "basic"))
    row = excluded(tmp_path, skip(world, model, 2))
    assert (row["rule"], row["transcript_rank"]) == (rule, "incomplete")


def test_a_cut_off_transcript_speaks_for_its_gene_only_where_no_other_does(tmp_path: Path) -> None:
    world, model = gene(tags=("cds_start_NF", "MANE_Select"))
    world.models.append(replace(model, name="u", tags=()))
    assert only(skip(world, model, 1).analyse(tmp_path).events)["transcript_id"] == "u"


def test_a_cds_with_a_stop_in_it_is_not_trusted(tmp_path: Path) -> None:
    world, model = gene((EXONS[0], "GCA" * 10 + "TGA" + "GCA" * 30, *EXONS[2:]))
    end = model.exons[-1][0] + 59
    world.models = [replace(model, end=end)]
    assert only(world.analyse(tmp_path / "a").transcripts)["rule"] == "cds_disagrees"
    world.write(tmp_path)
    at = model.exons[1][0] + 30
    notes = 'gene_id "g"; transcript_id "t";'
    with (tmp_path / "genes.gtf").open("a") as gtf:
        gtf.write(f"c\tmade\tSelenocysteine\t{at}\t{at + 2}\t.\t+\t0\t{notes}\n")
    genome = Genome(tmp_path / "genome.fa")
    found = analyse(read_gtf(tmp_path / "genes.gtf"), genome, pool([]))
    assert only(found.transcripts)["rule"] == "stop_in_last_exon"


def test_a_gene_without_a_cds_is_noncoding(tmp_path: Path) -> None:
    world, model = gene()
    world.models = [replace(model, start=0, biotype="lncRNA")]
    found = skip(world, model, 1).analyse(tmp_path)
    assert set(found.junctions["class"].to_pylist()) == {"noncoding"}
    assert only(found.events)["inclusion_rule"] == "noncoding_gene"


def test_junctions_outside_genes_and_without_a_strand_say_so(tmp_path: Path) -> None:
    world, model = gene()
    world.sequence += "C" * 1000
    far, (_, end), (begin, _) = len(world.sequence), model.exons[0], model.exons[2]
    world.junctions = [
        (far - 500, far - 400, "+"),
        (far - 300, far - 200, "."),
        (end + 1, begin - 1, "."),  # shares its sites with the gene
    ]
    found = world.analyse(tmp_path)
    rules = {r["intron_start"]: (r["rule"], r["strand"]) for r in found.junctions.to_pylist()}
    assert rules[far - 500] == ("no_gene", "+")
    assert rules[far - 300] == ("strand_unknown", ".")
    assert rules[end + 1] == ("stop_in_last_exon", "+")
    assert only(found.events)["event_type"] == "cassette_exon"
    reads = {(end + 1, begin - 1, "."): 9, (model.exons[1][1] + 1, begin - 1, "+"): 6}
    psi = only(event_psi(found.events, junction_table({"s": reads})))
    assert (psi["inclusion"], psi["exclusion"], psi["psi"]) == (3.0, 9.0, 0.25)


def test_a_junction_of_too_few_reads_makes_no_event_and_has_a_class(tmp_path: Path) -> None:
    world, model = gene()
    place = (model.exons[0][1] + 1, model.exons[2][0] - 1, "+")
    world.write(tmp_path)
    found: Found = analyse(
        read_gtf(tmp_path / "genes.gtf"),
        Genome(tmp_path / "genome.fa"),
        pool([junction_table({"a": {place: 2}, "b": {place: 2}})]),
    )
    assert found.events.num_rows == 0
    assert only(found.junctions, intron_start=place[0], annotated=False)["fit"] == "sites"


def test_an_annotation_beyond_the_genome_is_an_error_that_says_where(tmp_path: Path) -> None:
    world, _ = gene()
    world.sequence = world.sequence[:300]
    with pytest.raises(InputError, match="c:"):
        replace_frame(world).analyse(tmp_path)


def replace_frame(world: World) -> World:
    """Without a CDS: the writer would look for it beyond the sequence."""
    world.models = [replace(model, start=0) for model in world.models]
    return world
