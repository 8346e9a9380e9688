"""A sample's quality metrics, gathered from what the tools wrote."""

from __future__ import annotations

import argparse
import json
import math
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seqharvest.annotation import RRNA_BIOTYPES, Transcript, read_tx2gene
from seqharvest.errors import InputError, SeqharvestError
from seqharvest.qc import sex

#: Below so many fragments on genes of known strand, a share of strands is noise.
MINIMUM_STRAND_FRAGMENTS = 200
#: Libraries of a dUTP protocol show 0.90 to 0.99 on one strand; unstranded ones 0.45 to 0.55.
STRANDED_SHARE = 0.8
#: ReadsPerGene.out.tab: column of the counts for each strandedness.
COUNT_COLUMN = {"unstranded": 1, "forward": 2, "reverse": 3}

#: What the command line takes and writes.
FILES = (
    *("fastp", "fastqc", "star", "counts", "alignments", "subsample", "tx2gene"),
    *("out", "counts-out"),
)

Counts = dict[str, tuple[int, int, int]]  # gene → unstranded, forward, reverse
Metrics = dict[str, float | None]


def from_fastp(report: dict[str, Any]) -> Metrics:
    """Qualities, length, composition, adapters, duplication before trimming; shares are 0–1."""
    before = report["summary"]["before_filtering"]
    reads = before["total_reads"]
    mates = [
        report[f"read{n}_before_filtering"] for n in (1, 2) if f"read{n}_before_filtering" in report
    ]
    passed = report["filtering_result"]["passed_filter_reads"]
    trimmed = report.get("adapter_cutting", {}).get("adapter_trimmed_reads", 0)
    return {
        "read_length": float(before["read1_mean_length"]),
        "q30_share": float(before["q30_rate"]),
        "gc_share": float(before["gc_content"]),
        "n_share": _mean(x for mate in mates for x in mate["content_curves"].get("N", [])),
        "adapter_share": _share(trimmed, reads),
        "duplication_share": float(report["duplication"]["rate"]),
        "passed_share": _share(passed, reads),
    }


def from_star(log: str, examined: int) -> Metrics:
    """Shares of the examined reads by where they map, from `Log.final.out`.

    The whole is what was examined, not what trimming left of it (STAR's own percentages): dropping
    bad reads must not make a library look better.
    """
    values: dict[str, str] = {}
    for line in log.splitlines():
        name, bar, value = line.partition("|")
        if bar:
            values[name.strip()] = value.strip()
    try:
        count = {
            name: int(values[label])
            for name, label in {
                "unique_share": "Uniquely mapped reads number",
                "multi_share": "Number of reads mapped to multiple loci",
                "too_many_loci_share": "Number of reads mapped to too many loci",
                "unmapped_mismatches_share": "Number of reads unmapped: too many mismatches",
                "unmapped_short_share": "Number of reads unmapped: too short",
                "unmapped_other_share": "Number of reads unmapped: other",
            }.items()
        }
    except (KeyError, ValueError) as error:
        raise InputError(
            f"STAR's Log.final.out is not whole: no {error}", "run QC again"
        ) from error
    return {name: _share(number, examined) for name, number in count.items()}


def read_counts(rows: Iterable[str]) -> tuple[Counts, Counts]:
    """Split `ReadsPerGene.out.tab` into genes and STAR's own `N_…` rows."""
    genes: Counts = {}
    special: Counts = {}
    for row in rows:
        name, *numbers = row.split("\t")
        unstranded, forward, reverse = (int(number) for number in numbers)
        (special if name.startswith("N_") else genes)[name] = (unstranded, forward, reverse)
    return genes, special


def forward_share(genes: Counts) -> float | None:
    """Share of stranded fragments whose first read lies on the gene's strand; None if too few.

    Measured against the annotation: salmon's own guess calls a 96 % reverse-stranded library
    unstranded when few reads map.
    """
    forward = sum(counts[1] for counts in genes.values())
    reverse = sum(counts[2] for counts in genes.values())
    enough = forward + reverse >= MINIMUM_STRAND_FRAGMENTS
    return forward / (forward + reverse) if enough else None


def strandedness(share: float | None) -> str:
    """Name the library type: `forward`, `reverse`, or `unstranded` (also where nobody can tell)."""
    if share is not None and share >= STRANDED_SHARE:
        return "forward"
    if share is not None and share <= 1 - STRANDED_SHARE:
        return "reverse"
    return "unstranded"


def from_counts(genes: Counts, special: Counts, strand: str, rrna: set[str]) -> Metrics:
    """Shares of the uniquely mapped fragments on genes and on rRNA genes, and genes detected.

    `rrna_share` is None where the release names no rRNA gene. It counts unique fragments only, so
    rRNA of repeated genes shows as multi-mapped instead.
    """
    column = COUNT_COLUMN[strand] - 1
    on_genes = sum(counts[column] for counts in genes.values())
    unique = on_genes + sum(
        special[n][column] for n in ("N_noFeature", "N_ambiguous") if n in special
    )
    on_rrna = sum(genes[gene][column] for gene in rrna if gene in genes)
    return {
        "assigned_share": _share(on_genes, unique),
        "rrna_share": _share(on_rrna, unique) if rrna else None,
        "genes_detected": float(sum(counts[column] > 0 for counts in genes.values())),
    }


def gather(
    taken: dict[str, Any],
    fastp: dict[str, Any],
    star: str,
    counts: tuple[Counts, Counts],
    aligned: dict[str, Any],
    transcripts: Iterable[Transcript],
) -> dict[str, Any]:
    """Put together what the tools found on one sample.

    `taken` is from `subsample`, `aligned` from `alignments`, `star` the text of `Log.final.out`.
    """
    genes, special = counts
    share = forward_share(genes)
    strand = strandedness(share)
    names: dict[str, str] = {}
    rrna: set[str] = set()
    for transcript in transcripts:
        names[transcript.gene_id] = transcript.gene_name
        if transcript.biotype in RRNA_BIOTYPES:
            rrna.add(transcript.gene_id)
    unique = _number(star, "Uniquely mapped reads number")
    metrics: Metrics = {
        "reads": float(taken["reads_total"]),
        "reads_examined": float(taken["reads"]),
        **from_fastp(fastp),
        **from_star(star, taken["reads"]),
        "spliced_share": _share(aligned["spliced"], unique),
        **from_counts(genes, special, strand, rrna),
        **aligned["metrics"],
        "forward_share": share,
    }
    if not taken["qualities_measured"]:  # a constant is no measurement, however good it looks
        metrics["q30_share"] = None
    return {
        "metrics": metrics,
        "strandedness": strand,
        "sex": sex.infer({gene: row[0] for gene, row in genes.items()}, names),
        "coverage_profile": aligned["coverage_profile"],
        "reads_exact": taken["exact"],
        "qualities_measured": taken["qualities_measured"],
        "sketch": taken["sketch"],
    }


def write_counts(genes: Counts, special: Counts, out: Path) -> None:
    """Write the counts that are not 0 as Parquet: gene_id, unstranded, forward, reverse.

    A thirtieth of STAR's own table for human, which names every gene in plain text. STAR's `N_…`
    rows come last.
    """
    import pyarrow as pa
    from pyarrow import parquet

    rows = [(name, *row) for part in (genes, special) for name, row in part.items() if any(row)]
    names = ("gene_id", "unstranded", "forward", "reverse")
    types = (pa.string(), pa.int32(), pa.int32(), pa.int32())
    columns = zip(*rows, strict=True) if rows else ((), (), (), ())
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    parquet.write_table(pa.table(arrays, names=names), out, compression="zstd")


def fastqc_version(archive: Path) -> str:
    """Version of the FastQC that wrote the archive; its data file begins with it."""
    with zipfile.ZipFile(archive) as files:
        name = next(name for name in files.namelist() if name.endswith("fastqc_data.txt"))
        first = files.read(name).split(b"\n", 1)[0].decode()
    return first.partition("\t")[2]


def _number(log: str, label: str) -> int:
    return next(int(line.partition("|")[2]) for line in log.splitlines() if label in line)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _mean(values: Iterable[float]) -> float | None:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if numbers else None


def main(arguments: list[str] | None = None) -> int:
    """Write a sample's metrics.json and its counts."""
    parser = argparse.ArgumentParser(
        prog="python -m seqharvest.qc.metrics", description=main.__doc__
    )
    for name in FILES:
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("sample", "layout", "release", "star-version"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args(arguments)
    try:
        counts = read_counts(given.counts.read_text().splitlines())
        fastp = json.loads(given.fastp.read_text())
        measured = gather(
            json.loads(given.subsample.read_text()),
            fastp,
            given.star.read_text(),
            counts,
            json.loads(given.alignments.read_text()),
            read_tx2gene(given.tx2gene).values(),
        )
    except SeqharvestError as error:
        print(f"seqharvest.qc.metrics: sample {given.sample}: {error}", file=sys.stderr)
        return error.exit_code
    write_counts(*counts, given.counts_out)
    versions = {
        "fastp": fastp["summary"]["fastp_version"],
        "fastqc": fastqc_version(given.fastqc),
        "star": given.star_version,
    }
    about = {"sample": given.sample, "layout": given.layout, "release": given.release}
    given.out.write_text(json.dumps({**about, **measured, "versions": versions}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
