"""Turns one sample's STAR and salmon files into the lake's rows."""

import argparse
import bisect
import csv
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqharvest.annotation import Transcript, read_tx2gene
from seqharvest.errors import SeqharvestError
from seqharvest.lake import parquet
from seqharvest.lake.schemas import TABLES
from seqharvest.qc.metrics import COUNT_COLUMN, read_counts
from seqharvest.workflows import ANALYSIS

STRANDS = {"0": ".", "1": "+", "2": "-"}
#: SJ.out.tab, column 5; STAR's manual, section 4.4.
MOTIFS = ("non-canonical", "GT/AG", "CT/AC", "GC/AG", "CT/GC", "AT/AC", "GT/AT")


def main() -> int:
    """Write gene_quant, transcript_quant and junctions of a sample, and versions.json last."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("sample", "fingerprint", "release", "star-version"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--strandedness", choices=COUNT_COLUMN, required=True)
    for name in ("star-index", "tx2gene", "fastp", "sj", "counts", "quant"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("salmon", "out-junctions", "out-genes", "out-transcripts", "out-versions"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    given = parser.parse_args()
    try:
        write(given)
    except SeqharvestError as error:
        print(f"tables: sample {given.sample}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def write(given: argparse.Namespace) -> None:
    """Do the work of `main`."""
    transcripts = read_tx2gene(given.tx2gene)
    genes, _ = read_counts(given.counts.read_text().splitlines())
    column = COUNT_COLUMN[given.strandedness] - 1
    counts = {gene: of_strands[column] for gene, of_strands in genes.items()}
    common = {"sample": given.sample, "fingerprint": given.fingerprint}
    quantified = list(transcript_rows(given.quant, transcripts))
    rows: dict[str, tuple[Iterable[dict[str, Any]], Path]] = {
        "transcript_quant": (quantified, given.out_transcripts),
        "gene_quant": (gene_rows(quantified, counts), given.out_genes),
        "junctions": (junction_rows(given.sj, Genes.read(given.star_index)), given.out_junctions),
    }
    for name, (found, path) in rows.items():
        table = TABLES[name]
        parquet.write(table, table.from_rows([{**common, **row} for row in found]), path)
    versions = {
        "workflow": {"name": ANALYSIS.name, "version": ANALYSIS.version},
        "release": given.release,
        "fingerprint": given.fingerprint,
        "strandedness": given.strandedness,
        "tools": {
            "fastp": json.loads(given.fastp.read_text())["summary"]["fastp_version"],
            "star": given.star_version,
            "salmon": json.loads(given.salmon.read_text())["salmon_version"],
        },
    }
    given.out_versions.write_text(json.dumps(versions, indent=1) + "\n")


def transcript_rows(quant: Path, transcripts: dict[str, Transcript]) -> Iterator[dict[str, Any]]:
    """Rows of quant.sf; transcripts identical to another are left out by salmon."""
    for row in _table(quant):
        transcript = transcripts[row["Name"]]
        yield {
            "transcript_id": transcript.transcript_id,
            "gene_id": transcript.gene_id,
            "gene_name": transcript.gene_name,
            "tpm": float(row["TPM"]),
            "est_counts": float(row["NumReads"]),
            "effective_length": float(row["EffectiveLength"]),
            "length": int(row["Length"]),
        }


def gene_rows(quantified: list[dict[str, Any]], counts: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Rows of genes: sums over their transcripts, with STAR's count of the sample's strand.

    The effective length is the mean of the transcripts', weighted by TPM. Not by salmon's
    --geneMap: 1.10.1 loses genes by it (753 of 6,844 in yeast, the highest expressed among them).
    """
    by_gene: dict[str, list[dict[str, Any]]] = {}
    for row in quantified:
        by_gene.setdefault(row["gene_id"], []).append(row)
    for gene, rows in by_gene.items():
        tpm = math.fsum(row["tpm"] for row in rows)
        weights = [row["tpm"] for row in rows] if tpm else [1.0] * len(rows)
        lengths = (
            weight * row["effective_length"] for weight, row in zip(weights, rows, strict=True)
        )
        yield {
            "gene_id": gene,
            "gene_name": rows[0]["gene_name"],
            "tpm": tpm,
            "est_counts": math.fsum(row["est_counts"] for row in rows),
            "effective_length": math.fsum(lengths) / math.fsum(weights),
            "star_count": counts.get(gene),
        }


def junction_rows(junctions: Path, genes: "Genes") -> Iterator[dict[str, Any]]:
    """Rows of SJ.out.tab with the gene each junction belongs to."""
    with junctions.open() as handle:
        for line in handle:
            chrom, start, end, strand, motif, annotated, unique, multi, overhang = line.split("\t")
            place = (chrom, int(start), int(end), STRANDS[strand])
            yield {
                "chrom": chrom,
                "intron_start": place[1],
                "intron_end": place[2],
                "strand": place[3],
                "motif": MOTIFS[int(motif)],
                "annotated": annotated == "1",
                "unique_reads": int(unique),
                "multi_reads": int(multi),
                "max_overhang": int(overhang),
                "gene_id": genes.of(*place),
            }


@dataclass
class Genes:
    """Which gene a junction belongs to, from the tables STAR keeps in its index."""

    introns: dict[tuple[str, int, int, str], str] = field(default_factory=dict)
    sites: dict[tuple[str, int, str], str] = field(default_factory=dict)
    # By (chrom, strand): genes sorted by start, and the farthest end of those so far.
    spans: dict[tuple[str, str], list[tuple[int, int, str]]] = field(default_factory=dict)
    farthest: dict[tuple[str, str], list[int]] = field(default_factory=dict)

    @classmethod
    def read(cls, index: Path) -> "Genes":
        """Read sjdbList.fromGTF.out.tab, geneInfo.tab and transcriptInfo.tab of an index."""
        genes = cls()
        names = [line.split("\t")[0].strip() for line in _lines(index / "geneInfo.tab")]
        introns = index / "sjdbList.fromGTF.out.tab"
        for line in introns.read_text().splitlines() if introns.exists() else []:
            chrom, start, end, strand, numbers = line.split("\t")
            gene = names[int(numbers.split(",")[0]) - 1]  # counted from 1
            genes.introns[chrom, int(start), int(end), strand] = gene
            genes.sites.setdefault((chrom, int(start), strand), gene)
            genes.sites.setdefault((chrom, int(end), strand), gene)
        genes._read_spans(index, names)
        return genes

    def _read_spans(self, index: Path, names: list[str]) -> None:
        chromosomes = (index / "chrName.txt").read_text().split()
        starts = [int(start) for start in (index / "chrStart.txt").read_text().split()]
        spans: dict[tuple[str, str, str], tuple[int, int]] = {}
        for line in _lines(index / "transcriptInfo.tab"):
            fields = line.split("\t")
            start, end = int(fields[1]), int(fields[2])  # on all chromosomes in a row, from 0
            place = bisect.bisect_right(starts, start) - 1
            key = (chromosomes[place], STRANDS[fields[4]], names[int(fields[7])])
            here = (start - starts[place] + 1, end - starts[place] + 1)
            before = spans.get(key, here)
            spans[key] = (min(before[0], here[0]), max(before[1], here[1]))
        for (chrom, strand, gene), (first, last) in spans.items():
            self.spans.setdefault((chrom, strand), []).append((first, last, gene))
        for place_, listed in self.spans.items():
            listed.sort()
            far = 0
            self.farthest[place_] = [far := max(far, last) for _, last, _ in listed]

    def of(self, chrom: str, start: int, end: int, strand: str) -> str | None:
        """Gene of the annotated intron; else of a shared splice site; else the smallest around it.

        A junction of undefined strand (no canonical motif) may be of either.
        """
        found = []
        for one in (strand,) if strand != "." else ("+", "-"):
            gene = (
                self.introns.get((chrom, start, end, one))
                or self.sites.get((chrom, start, one))
                or self.sites.get((chrom, end, one))
            )
            if gene:
                return gene
            found += list(self._around(chrom, start, end, one))
        return min(found)[1] if found else None

    def _around(self, chrom: str, start: int, end: int, strand: str) -> Iterator[tuple[int, str]]:
        spans = self.spans.get((chrom, strand), [])
        farthest = self.farthest.get((chrom, strand), [])
        at = bisect.bisect_right(spans, start, key=lambda span: span[0]) - 1
        while at >= 0 and farthest[at] >= end:
            first, last, gene = spans[at]
            if last >= end:
                yield last - first, gene
            at -= 1


def _table(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="") as handle:
        yield from csv.DictReader(handle, delimiter="\t")


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:]  # the first is their number


if __name__ == "__main__":
    sys.exit(main())
