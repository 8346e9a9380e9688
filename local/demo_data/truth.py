"""Writes what the demo's reads were drawn from: isoforms, junctions, genes, events, samples."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from local.demo_data.design import CONDITIONS, DemoRun
from local.demo_data.genes import Gene, Isoform
from local.demo_data.reads import READ, Fragments, Target
from local.demo_data.reference import introns, write_gtf

SURE = 8  # an overhang on both sides that survives sequencing errors and trimming
STAR_ANNOTATED, STAR_NOVEL = 3, 5  # --alignSJDBoverhangMin, --alignSJoverhangMin defaults

Junction = tuple[str, int, int, str]  # chromosome, first and last base of the intron, strand


@dataclass
class JunctionCount:
    """Fragments of a sample over one junction; a fragment counts once, even by both mates."""

    annotated: bool
    gene_id: str
    sure: int = 0
    star: int = 0
    max_overhang: int = 0


class Truth:
    """Gathers a series' truth run by run."""

    def __init__(self, genes: list[Gene]) -> None:
        self.genes = genes
        self.annotated = {
            (gene.chrom, *span, gene.strand)
            for gene in genes
            for isoform in gene.isoforms
            if isoform.annotated
            for span in introns(gene, isoform)
        }
        self.fragments: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.targets: dict[str, list[Target]] = {}
        self.junctions: dict[tuple[str, Junction], JunctionCount] = {}
        self.samples: dict[str, list[str]] = {}

    def add(self, run: DemoRun, targets: list[Target], fragments: Fragments, reads: int) -> None:
        """Count one run's fragments."""
        sample = run.experiment
        self.targets[sample] = targets
        row = self.samples.setdefault(sample, _sample_row(run))
        row[4] = ",".join(filter(None, [row[4], run.run]))
        row[6] = str(int(row[6]) + reads)
        row[7] = str(int(row[7]) + len(fragments.target))
        for i, target in enumerate(targets):
            own = fragments.target == i
            self.fragments[sample][target.isoform.transcript_id] += int(own.sum())
            start, length = fragments.start[own], fragments.length[own]
            starts = [start + length - READ] + ([start] if run.sample.paired else [])
            self._count_junctions(sample, target, starts)

    def write(self, folder: Path) -> None:
        """Write the tables, and all isoforms (the unannotated too) as `all_isoforms.gtf`."""
        folder.mkdir(parents=True, exist_ok=True)
        _table(folder / "samples.tsv", _SAMPLES, self.samples.values())
        _table(folder / "isoforms.tsv", _ISOFORMS, self._isoform_rows())
        _table(folder / "genes.tsv", _GENES, self._gene_rows())
        _table(folder / "junctions.tsv", _JUNCTIONS, self._junction_rows())
        _table(folder / "events.tsv", _EVENTS, map(_event_row, self._event_genes()))
        write_gtf(self.genes, folder / "all_isoforms.gtf", annotated_only=False)

    def _count_junctions(self, sample: str, target: Target, starts: Sequence[np.ndarray]) -> None:
        gene, isoform = target.gene, target.isoform
        for (at, left, right), span in zip(_joints(isoform), introns(gene, isoform), strict=True):
            # The shorter aligned block beside the junction is what an aligner's rules look at.
            overhang = np.max(
                [
                    np.minimum(np.minimum(at - s, left), np.minimum(s + READ - at, right))
                    for s in starts
                ],
                axis=0,
            )
            junction = (gene.chrom, *span, gene.strand)
            known = junction in self.annotated
            count = self.junctions.setdefault(
                (sample, junction), JunctionCount(known, gene.gene_id)
            )
            least = STAR_ANNOTATED if known else STAR_NOVEL
            count.sure += int((overhang >= SURE).sum())
            count.star += int((overhang >= least).sum())
            count.max_overhang = max([count.max_overhang, *overhang[overhang > 0]])

    def _isoform_rows(self) -> Iterable[list[object]]:
        for sample, targets in self.targets.items():
            for t in targets:
                isoform, gene = t.isoform, t.gene
                yield [
                    *(sample, gene.gene_id, isoform.transcript_id, int(isoform.annotated)),
                    *(isoform.kind, int(isoform.productive), f"{t.fraction:.4f}"),
                    *(f"{t.tpm:.3f}", self.fragments[sample][isoform.transcript_id]),
                ]

    def _gene_rows(self) -> Iterable[list[object]]:
        for sample, targets in self.targets.items():
            for gene in self.genes:
                own = [t for t in targets if t.gene is gene]
                fragments = sum(self.fragments[sample][t.isoform.transcript_id] for t in own)
                tpm = f"{sum(t.tpm for t in own):.3f}"
                yield [sample, gene.gene_id, gene.name, gene.biotype, fragments, tpm]

    def _junction_rows(self) -> Iterable[list[object]]:
        for (sample, junction), count in sorted(self.junctions.items()):
            if count.max_overhang:
                yield [
                    *(sample, *junction, int(count.annotated), count.gene_id),
                    *(count.sure, count.star, count.max_overhang),
                ]

    def _event_genes(self) -> list[Gene]:
        return [gene for gene in self.genes if gene.event.kind != "none"]


_SAMPLES = ("sample", "title", "condition", "layout", "runs", "quality", "reads", "fragments")
_ISOFORMS = (
    *("sample", "gene_id", "transcript_id", "annotated", "class", "productive"),
    *("fraction", "tpm", "fragments"),
)
_GENES = ("sample", "gene_id", "gene_name", "gene_biotype", "fragments", "tpm")
_JUNCTIONS = (
    *("sample", "chrom", "intron_start", "intron_end", "strand", "annotated", "gene_id"),
    *("reads", "reads_star", "max_overhang"),
)
_EVENTS = (
    *("gene_id", "gene_name", "event_type", "chrom", "start", "end", "strand"),
    *("transcript_id", "annotated", "productive", *(f"fraction_{c}" for c in CONDITIONS)),
)


def _joints(isoform: Isoform) -> Iterable[tuple[int, int, int]]:
    """Junctions in the transcript: bases before it, length of the exon left and right of it."""
    sizes = [end - start for start, end in isoform.exons]
    at = 0
    for left, right in pairwise(sizes):
        at += left
        yield at, left, right


def _sample_row(run: DemoRun) -> list[str]:
    sample = run.sample
    layout = "paired" if sample.paired else "single"
    quality = "bad" if sample.bad else "good"
    return [run.experiment, sample.title, sample.condition, layout, "", quality, "0", "0"]


def _event_row(gene: Gene) -> list[object]:
    second = gene.isoforms[1]
    span = gene.genomic(*gene.event_span)
    return [
        *(gene.gene_id, gene.name, gene.event.kind, gene.chrom, *span, gene.strand),
        *(second.transcript_id, int(second.annotated), int(second.productive)),
        *(f"{fraction:.4f}" for fraction in second.fractions),
    ]


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as out:
        writer = csv.writer(out, delimiter="\t", lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
