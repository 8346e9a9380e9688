"""Compare what the lake says of the demo's series with what its reads were drawn from."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqharvest.lake import athena

Junction = tuple[str, str, int, int, str]  # sample, chromosome, first and last base, strand

#: A junction with this many sure reads (8 bases on both sides) cannot be missed.
SURE_READS = 3
#: Reads STAR reports over a junction, against those drawn: trimming and errors cost a few.
JUNCTION_TOLERANCE = 0.15
#: Fragments salmon assigns to a gene, against those drawn.
GENE_TOLERANCE = 0.15
#: The same for an isoform, of its own fragments or, if that is more, of its gene's: what tells the
#: minor isoform of a strong gene from the others is a handful of fragments (salmon 1.10.1 over
#: several runs: 2 % of such isoforms are off by 30 to 40 % of their own, 3 to 6 % of the gene's).
ISOFORM_TOLERANCE = 0.30
GENE_SHARE_TOLERANCE = 0.10
#: Genes and isoforms with fewer fragments are noise.
LEAST_FRAGMENTS = 50


@dataclass(frozen=True)
class Agreement:
    """How far lake and truth agree, over the samples that are of good quality."""

    samples: int
    junctions_expected: int
    junctions_missed: list[Junction]
    junctions_invented: list[Junction]
    junction_error: float  # median relative error of the counts
    genes_expected: int
    genes_off: list[tuple[str, str, float, float]]  # sample, gene, drawn, estimated
    isoforms_expected: int
    isoforms_off: list[tuple[str, str, float, float]]

    def __str__(self) -> str:
        found = self.junctions_expected - len(self.junctions_missed)
        return (
            f"{found} of {self.junctions_expected} junctions of {self.samples} good samples found, "
            f"{len(self.junctions_invented)} invented, counts off by {self.junction_error:.1%} "
            f"(median); {self.genes_expected - len(self.genes_off)} of {self.genes_expected} gene "
            f"counts within {GENE_TOLERANCE:.0%}; "
            f"{self.isoforms_expected - len(self.isoforms_off)} of {self.isoforms_expected} "
            f"isoform counts "
            f"within {ISOFORM_TOLERANCE:.0%} or {GENE_SHARE_TOLERANCE:.0%} of their gene"
        )


def compare(truth: Path, project: str, release: str) -> Agreement:
    """Query the lake and compare it with the truth folder of the demo's data."""
    good = [row["sample"] for row in read(truth / "samples.tsv") if row["quality"] == "good"]
    drawn = {
        junction_of(row): row for row in read(truth / "junctions.tsv") if row["sample"] in good
    }
    seen = {
        junction_of(row): row
        for row in lake("junctions", project, release)
        if row["sample"] in good
    }
    sure = {key for key, row in drawn.items() if int(row["reads"]) >= SURE_READS}
    errors = sorted(
        abs(seen[key]["unique_reads"] - int(drawn[key]["reads_star"]))
        / int(drawn[key]["reads_star"])
        for key in sure & seen.keys()
    )
    genes = counts(truth / "genes.tsv", "gene_id", good)
    isoforms = annotated_only_genes(truth, good)
    return Agreement(
        samples=len(good),
        junctions_expected=len(sure),
        junctions_missed=sorted(sure - seen.keys()),
        junctions_invented=sorted(
            key for key, row in seen.items() if row["unique_reads"] >= 2 and key not in drawn
        ),
        junction_error=errors[len(errors) // 2] if errors else 1.0,
        genes_expected=len(genes),
        genes_off=off(
            genes,
            estimates("gene_quant", "gene_id", project, release),
            {key: GENE_TOLERANCE * drawn for key, drawn in genes.items()},
        ),
        isoforms_expected=len(isoforms),
        isoforms_off=off(
            isoforms,
            estimates("transcript_quant", "transcript_id", project, release),
            isoform_tolerances(truth, isoforms),
        ),
    )


def with_drawn_reads(rows: list[dict[str, Any]], truth: Path) -> list[dict[str, Any]]:
    """Add to each row of `novel_junctions` the reads that were drawn, in column `drawn`."""
    conditions = {
        row["sample"]: row["condition"]
        for row in read(truth / "samples.tsv")
        if row["quality"] == "good"
    }
    drawn: Counter[tuple[str, ...]] = Counter()
    for row in read(truth / "junctions.tsv"):
        if row["sample"] in conditions:
            drawn[(conditions[row["sample"]], *place_of(row))] += int(row["reads_star"])
    return [{**row, "drawn": drawn[(row["condition"], *place_of(row))]} for row in rows]


def annotated_only_genes(truth: Path, good: list[str]) -> dict[tuple[str, str], float]:
    """Isoform counts of genes whose every isoform the GTF has: the others' reads go astray."""
    rows = [row for row in read(truth / "isoforms.tsv") if row["sample"] in good]
    incomplete = {row["gene_id"] for row in rows if row["annotated"] == "0"}
    return {
        (row["sample"], row["transcript_id"]): float(row["fragments"])
        for row in rows
        if row["gene_id"] not in incomplete and float(row["fragments"]) >= LEAST_FRAGMENTS
    }


def counts(path: Path, key: str, good: list[str]) -> dict[tuple[str, str], float]:
    """Fragments drawn, by sample and feature, where there are enough of them."""
    return {
        (row["sample"], row[key]): float(row["fragments"])
        for row in read(path)
        if row["sample"] in good and float(row["fragments"]) >= LEAST_FRAGMENTS
    }


def estimates(table: str, key: str, project: str, release: str) -> dict[tuple[str, str], float]:
    """Estimated counts by sample and feature."""
    rows = lake(table, project, release)
    return {(row["sample"], row[key]): row["est_counts"] for row in rows}


def isoform_tolerances(
    truth: Path, isoforms: dict[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    """How many fragments an isoform's estimate may be off."""
    of_gene: Counter[tuple[str, str]] = Counter()
    gene = {}
    for row in read(truth / "isoforms.tsv"):
        of_gene[row["sample"], row["gene_id"]] += int(row["fragments"])
        gene[row["transcript_id"]] = row["gene_id"]
    return {
        (sample, isoform): max(
            ISOFORM_TOLERANCE * drawn, GENE_SHARE_TOLERANCE * of_gene[sample, gene[isoform]]
        )
        for (sample, isoform), drawn in isoforms.items()
    }


def off(
    drawn: dict[tuple[str, str], float],
    estimated: dict[tuple[str, str], float],
    tolerances: dict[tuple[str, str], float],
) -> list[tuple[str, str, float, float]]:
    """Features whose estimate is further from what was drawn than their tolerance."""
    return [
        (*key, number, estimated.get(key, 0.0))
        for key, number in sorted(drawn.items())
        if abs(estimated.get(key, 0.0) - number) > tolerances[key]
    ]


def place_of(row: dict[str, Any]) -> tuple[str, ...]:
    """Where a junction is, whatever its sample."""
    return tuple(str(row[name]) for name in ("chrom", "intron_start", "intron_end", "strand"))


def junction_of(row: dict[str, Any]) -> Junction:
    """The key of a junction row, in the lake as in the truth."""
    start, end = int(row["intron_start"]), int(row["intron_end"])
    return row["sample"], row["chrom"], start, end, row["strand"]


def lake(table: str, project: str, release: str) -> list[dict[str, Any]]:
    """Every row of a project's partition, through Athena."""
    where = f"release = '{release}' AND project = '{project}'"
    return athena.query(f"SELECT * FROM {table} WHERE {where}")


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a truth table."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
