"""Lays the demo's genes out on chromosomes and writes the reference as FASTA and GTF."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from local.demo_data.genes import (
    EventPlan,
    Gene,
    Isoform,
    build_gene,
    build_rrna,
    reverse_complement,
)

UP, DOWN, SAME = (0.10, 0.50), (0.50, 0.15), (0.30, 0.30)  # second isoform: control, treated

#: Every kind of event, with an isoform that the annotation has and one that it lacks.
PLANS: tuple[EventPlan, ...] = (
    *(EventPlan("poison_exon", True, False, f) for f in (UP, UP, UP, DOWN, SAME)),
    *(EventPlan("poison_exon", False, False, f) for f in (UP, UP, UP, DOWN, SAME)),
    *(EventPlan("cassette_exon", True, True, f) for f in (UP, DOWN, SAME)),
    EventPlan("cassette_exon", False, True, UP),
    EventPlan("exon_skip", True, False, UP),
    EventPlan("exon_skip", False, False, UP),
    *(EventPlan("retained_intron", True, False, f) for f in (UP, DOWN, SAME)),
    *(EventPlan("retained_intron", False, False, f) for f in (UP, UP, SAME)),
    EventPlan("alt_5ss", True, True, UP),
    EventPlan("alt_5ss", False, True, SAME),
    EventPlan("alt_5ss", True, False, UP),
    EventPlan("alt_5ss", False, False, UP),
    EventPlan("alt_3ss", True, True, DOWN),
    EventPlan("alt_3ss", False, True, SAME),
    EventPlan("alt_3ss", True, False, UP),
    EventPlan("alt_3ss", False, False, UP),
    *(EventPlan("none") for _ in range(12)),
)
CHROMOSOMES = ("chr1", "chr2")
RRNA_CONTIG = "chrR"


@dataclass(frozen=True)
class Reference:
    """The genome by chromosome, and the genes on it in the order of their ids."""

    genome: dict[str, str]
    genes: list[Gene]


def build_reference(seed: int) -> Reference:
    """Draw the genome and its genes; the same seed gives the same reference."""
    rng = np.random.default_rng([seed, 0])
    order = rng.permutation(len(PLANS))
    genes = [build_gene(rng, number, PLANS[i]) for number, i in enumerate(order, start=1)]
    genome: dict[str, str] = {}
    half = (len(genes) + 1) // 2
    for chrom, part in zip(CHROMOSOMES, (genes[:half], genes[half:]), strict=True):
        genome[chrom] = _place(rng, chrom, part, gap=(3000, 8000))
    rrna = build_rrna(rng, len(genes) + 1)
    genome[RRNA_CONTIG] = _place(rng, RRNA_CONTIG, [rrna], gap=(800, 1200))
    return Reference(genome, [*genes, rrna])


def write_reference(reference: Reference, folder: Path) -> None:
    """Write `genome.fa` and `genes.gtf` (what is annotated only) into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "genome.fa").open("w") as out:
        for chrom, sequence in reference.genome.items():
            out.write(f">{chrom}\n")
            out.writelines(sequence[i : i + 60] + "\n" for i in range(0, len(sequence), 60))
    write_gtf(reference.genes, folder / "genes.gtf", annotated_only=True)


def write_gtf(genes: Iterable[Gene], path: Path, *, annotated_only: bool) -> None:
    """Write genes in Ensembl's style; without `annotated_only`, the pseudoexons too."""
    with path.open("w") as out:
        out.write("#!genome-build demo-1\n")
        for gene in genes:
            shown = [i for i in gene.isoforms if i.annotated or not annotated_only]
            out.writelines("\t".join(row) + "\n" for row in _gene_rows(gene, shown))


def transcript_spans(gene: Gene, isoform: Isoform, start: int, end: int) -> list[tuple[int, int]]:
    """Chromosome spans (1-based, inclusive, 5' to 3') of a half-open part of a transcript."""
    spans, at = [], 0
    for exon_start, exon_end in isoform.exons:
        left, right = max(start, at), min(end, at + exon_end - exon_start)
        if left < right:
            spans.append(gene.genomic(exon_start + left - at, exon_start + right - at))
        at += exon_end - exon_start
    return spans


def introns(gene: Gene, isoform: Isoform) -> list[tuple[int, int]]:
    """An isoform's introns on the chromosome (1-based, inclusive, 5' to 3')."""
    pairs = zip(isoform.exons, isoform.exons[1:], strict=False)
    return [gene.genomic(left[1], right[0]) for left, right in pairs]


def _place(rng: np.random.Generator, chrom: str, genes: list[Gene], gap: tuple[int, int]) -> str:
    pieces, at = [], 0
    for gene in genes:
        spacer = _spacer(rng, gap)
        gene.chrom, gene.offset = chrom, at + len(spacer)
        gene.strand = "+-"[int(rng.integers(2))]
        forward = gene.sequence if gene.strand == "+" else reverse_complement(gene.sequence)
        pieces += [spacer, forward]
        at += len(spacer) + len(forward)
    return "".join([*pieces, _spacer(rng, gap)])


def _spacer(rng: np.random.Generator, gap: tuple[int, int]) -> str:
    codes = rng.integers(0, 4, int(rng.integers(*gap)))
    return np.frombuffer(b"ACGT", dtype=np.uint8)[codes].tobytes().decode()


def _gene_rows(gene: Gene, isoforms: list[Isoform]) -> Iterator[list[str]]:
    about = {
        "gene_id": gene.gene_id,
        "gene_version": "1",
        "gene_name": gene.name,
        "gene_source": "demo",
        "gene_biotype": gene.biotype,
    }
    yield _row(gene, "gene", gene.genomic(0, len(gene.sequence)), about)
    for isoform in isoforms:
        about_transcript = {
            **about,
            "transcript_id": isoform.transcript_id,
            "transcript_version": "1",
            "transcript_name": f"{gene.name}-2{isoform.transcript_id[-2:]}",
            "transcript_source": "demo",
            "transcript_biotype": isoform.biotype,
        }
        if isoform.kind == "canonical":
            about_transcript["tag"] = "Ensembl_canonical"
        yield from _transcript_rows(gene, isoform, about_transcript)


def _transcript_rows(gene: Gene, isoform: Isoform, about: dict[str, str]) -> Iterator[list[str]]:
    whole = gene.genomic(isoform.exons[0][0], isoform.exons[-1][1])
    yield _row(gene, "transcript", whole, about)
    for number, (start, end) in enumerate(isoform.exons, start=1):
        exon = {**about, "exon_number": str(number)}
        exon["exon_id"] = f"{isoform.transcript_id}E{number:02d}"
        yield _row(gene, "exon", gene.genomic(start, end), exon)
    if isoform.biotype not in ("protein_coding", "nonsense_mediated_decay"):
        return
    protein = {**about, "protein_id": isoform.transcript_id.replace("DEMOT", "DEMOP")}
    yield from _coding_rows(gene, isoform, protein)
    parts = (
        ("start_codon", isoform.start, isoform.start + 3, about),
        ("stop_codon", isoform.stop, isoform.stop + 3, about),
        ("five_prime_utr", 0, isoform.start, about),
        ("three_prime_utr", isoform.stop + 3, isoform.length, about),
    )
    for feature, start, end, notes in parts:
        for span in transcript_spans(gene, isoform, start, end):
            yield _row(gene, feature, span, notes, "0" if "codon" in feature else ".")


def _coding_rows(gene: Gene, isoform: Isoform, about: dict[str, str]) -> Iterator[list[str]]:
    """CDS without its stop codon, as Ensembl writes it, each part with its phase."""
    done = 0
    for span in transcript_spans(gene, isoform, isoform.start, isoform.stop):
        yield _row(gene, "CDS", span, about, str(-done % 3))
        done += span[1] - span[0] + 1


def _row(
    gene: Gene, feature: str, span: tuple[int, int], about: dict[str, str], phase: str = "."
) -> list[str]:
    notes = " ".join(f'{key} "{value}";' for key, value in about.items())
    start, end = str(span[0]), str(span[1])
    return [gene.chrom, "demo", feature, start, end, ".", gene.strand, phase, notes]
