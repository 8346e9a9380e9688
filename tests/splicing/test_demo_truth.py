"""The demo's genome and reads: each simulated event is found, classed and measured right."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from local.demo_data.design import CONDITIONS, design
from local.demo_data.genes import Gene, Isoform
from local.demo_data.reads import READ, Fragments, Target, draw_fragments, expression
from local.demo_data.reference import build_reference, introns, write_reference
from local.demo_data.truth import SURE
from seqharvest.splicing.analysis import Found, analyse
from seqharvest.splicing.genome import Genome
from seqharvest.splicing.gtf import read_gtf
from seqharvest.splicing.junctions import pool
from seqharvest.splicing.psi import event_psi

FRAGMENTS = 12_000
KINDS = {
    "poison_exon": "cassette_exon",
    "cassette_exon": "cassette_exon",
    "exon_skip": "cassette_exon",
    "alt_5ss": "alternative_5_site",
    "alt_3ss": "alternative_3_site",
    "retained_intron": "retained_intron",
}


@dataclass
class Demo:
    genes: list[Gene]
    found: Found
    psi: pa.Table
    fractions: dict[tuple[str, str], float]  # of the second isoform, by sample and gene


@pytest.fixture(scope="module", params=[1, 2])
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    seed, folder = request.param, tmp_path_factory.mktemp("demo")
    reference = build_reference(seed)
    write_reference(reference, folder)
    junctions: Counter[tuple[Any, ...]] = Counter()
    unspliced: Counter[tuple[Any, ...]] = Counter()
    fractions: dict[tuple[str, str], float] = {}
    for run in design("GSE900001"):
        condition = CONDITIONS.index(run.sample.condition)
        targets = expression(seed, reference.genes, condition, run.number)
        drawn = draw_fragments(np.random.default_rng([seed, int(run.run[3:])]), targets, FRAGMENTS)
        count(run.experiment, targets, drawn, junctions, unspliced)
        for gene in reference.genes:
            fractions[run.experiment, gene.gene_id] = gene.event.fractions[condition]
    table, retention = junction_table(junctions), retention_table(unspliced)
    found = analyse(
        read_gtf(folder / "genes.gtf"), Genome(folder / "genome.fa"), pool([table]), retention
    )
    psi = event_psi(found.events, table, retention)
    return Demo(reference.genes, found, psi, fractions)


def count(
    sample: str,
    targets: list[Target],
    drawn: Fragments,
    junctions: Counter[tuple[Any, ...]],
    unspliced: Counter[tuple[Any, ...]],
) -> None:
    """Fragments with 8 bases on both sides of a junction, or of an intron's boundary."""
    for i, target in enumerate(targets):
        gene, isoform = target.gene, target.isoform
        own = drawn.target == i
        starts = drawn.start[own], drawn.start[own] + drawn.length[own] - READ
        for at, span in zip(np.cumsum(sizes(isoform))[:-1], introns(gene, isoform), strict=True):
            junctions[sample, gene.chrom, *span, gene.strand] += over(starts, at)
        if isoform.kind == "retained_intron":
            low, high = (transcript_offset(isoform, at) for at in gene.event_span)
            reads = over(starts, low), over(starts, high)
            span = gene.genomic(*gene.event_span)
            for side, number in enumerate(reads if gene.strand == "+" else reversed(reads)):
                unspliced[sample, gene.chrom, *span, gene.strand, side] += number


def over(starts: tuple[Any, Any], at: int) -> int:
    mates = [(at - start >= SURE) & (start + READ - at >= SURE) for start in starts]
    return int((mates[0] | mates[1]).sum())


def sizes(isoform: Isoform) -> list[int]:
    return [end - start for start, end in isoform.exons]


def transcript_offset(isoform: Isoform, position: int) -> int:
    return sum(max(0, min(end, position) - start) for start, end in isoform.exons)


def junction_table(counts: Counter[tuple[Any, ...]]) -> pa.Table:
    rows = sorted((*key, number) for key, number in counts.items() if number)
    names = ("sample", "chrom", "intron_start", "intron_end", "strand", "unique_reads")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def retention_table(counts: Counter[tuple[Any, ...]]) -> pa.Table:
    rows = [(*key[:5], n, counts[*key[:5], 1], 1.0) for key, n in counts.items() if key[5] == 0]
    names = ("sample", "chrom", "intron_start", "intron_end", "strand")
    names += ("start_reads", "end_reads", "covered")
    return pa.table(dict(zip(names, map(list, zip(*sorted(rows), strict=True)), strict=True)))


def eventful(demo: Demo) -> dict[str, Gene]:
    return {gene.gene_id: gene for gene in demo.genes if gene.event.kind != "none"}


def test_each_event_is_found_where_it_is_and_no_other(demo: Demo) -> None:
    truth = {
        (KINDS[gene.event.kind], gene.gene_id, *gene.genomic(*gene.event_span), gene.strand)
        for gene in eventful(demo).values()
    }
    names = ("event_type", "gene_id", "start", "end", "strand")
    rows = demo.found.events.to_pylist()
    assert {tuple(row[name] for name in names) for row in rows} == truth
    assert len(rows) == len(truth)


def test_each_destroyed_form_is_named_and_no_other(demo: Demo) -> None:
    genes = eventful(demo)
    for row in demo.found.events.to_pylist():
        gene = genes[row["gene_id"]]
        # The gene's second isoform is the form with the bases, but where it skips an exon.
        second = "exclusion" if gene.event.kind == "exon_skip" else "inclusion"
        expected = "none" if gene.event.productive else second
        assert row["nonproductive_form"] == expected, row
        assert (row["transcript_rank"], row["fit"]) == ("canonical", "exact")
        assert row["transcripts"] == row["agreeing"] > 0
        assert row[f"annotated_{second}"] == gene.event.annotated


def test_each_junction_has_the_class_of_its_isoforms(demo: Demo) -> None:
    productive: dict[tuple[Any, ...], bool] = {}
    for gene in demo.genes:
        for isoform in gene.isoforms:
            for span in introns(gene, isoform):
                key = (gene.chrom, *span, gene.strand)
                productive[key] = productive.get(key, False) or isoform.productive
    for row in demo.found.junctions.to_pylist():
        key = tuple(row[name] for name in ("chrom", "intron_start", "intron_end", "strand"))
        assert row["class"] == ("productive" if productive.pop(key) else "nonproductive"), row
    assert not productive


def test_annotated_decay_comes_out_destroyed_and_coding_productive(demo: Demo) -> None:
    wanted = {"protein_coding": "productive", "nonsense_mediated_decay": "nonproductive"}
    rows = demo.found.transcripts.to_pylist()
    assert {row["biotype"] for row in rows} == set(wanted)
    assert all(row["class"] == wanted[row["biotype"]] for row in rows)


def test_psi_is_what_the_reads_were_drawn_from(demo: Demo) -> None:
    genes = eventful(demo)
    inside, errors = [], []
    for row in demo.psi.to_pylist():
        share = demo.fractions[row["sample"], row["gene_id"]]
        truth = 1 - share if genes[row["gene_id"]].event.kind == "exon_skip" else share
        if row["inclusion"] + row["exclusion"] >= 20:
            inside.append(row["psi_low"] <= truth <= row["psi_high"])
            errors.append(row["psi"] - truth)
    assert len(inside) > 150
    assert np.mean(inside) >= 0.93, np.mean(inside)  # of 95 % intervals
    assert abs(np.mean(errors)) < 0.01
