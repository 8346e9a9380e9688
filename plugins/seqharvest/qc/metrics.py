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

from seqharvest.annotation import RRNA_BIOTYPES, read_tx2gene
from seqharvest.errors import InputError, SeqharvestError

#: Below so many fragments on genes of known strand, a share of strands is noise.
MINIMUM_STRAND_FRAGMENTS = 200
#: Libraries of a dUTP protocol show 0.90 to 0.99 on one strand; unstranded ones 0.45 to 0.55.
STRANDED_SHARE = 0.8
#: ReadsPerGene.out.tab: column of the counts for each strandedness.
COUNT_COLUMN = {"unstranded": 1, "forward": 2, "reverse": 3}

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
    fastp: Path, star: Path, counts: Path, spliced: Path, subsample: Path, tx2gene: Path
) -> dict[str, Any]:
    """Read the tools' files of one sample into `metrics` and `strandedness`."""
    taken = json.loads(subsample.read_text())
    log = star.read_text()
    genes, special = read_counts(counts.read_text().splitlines())
    share = forward_share(genes)
    strand = strandedness(share)
    rrna = {t.gene_id for t in read_tx2gene(tx2gene).values() if t.biotype in RRNA_BIOTYPES}
    mapped = from_star(log, taken["reads"])
    unique = _number(log, "Uniquely mapped reads number")
    metrics: Metrics = {
        "reads": float(taken["reads_total"]),
        "reads_examined": float(taken["reads"]),
        **from_fastp(json.loads(fastp.read_text())),
        **mapped,
        "spliced_share": _share(int(spliced.read_text()), unique),
        **from_counts(genes, special, strand, rrna),
        "forward_share": share,
    }
    return {
        "metrics": metrics,
        "strandedness": strand,
        "reads_exact": taken["exact"],
        "qualities_measured": taken["qualities_measured"],
    }


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
    """Write a sample's metrics.json."""
    parser = argparse.ArgumentParser(
        prog="python -m seqharvest.qc.metrics", description=main.__doc__
    )
    for name in ("fastp", "fastqc", "star", "counts", "spliced", "subsample", "tx2gene", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("sample", "layout", "release", "star-version"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args(arguments)
    try:
        measured = gather(
            given.fastp, given.star, given.counts, given.spliced, given.subsample, given.tx2gene
        )
    except SeqharvestError as error:
        print(f"seqharvest.qc.metrics: sample {given.sample}: {error}", file=sys.stderr)
        return error.exit_code
    fastp_version = json.loads(given.fastp.read_text())["summary"]["fastp_version"]
    versions = {
        "fastp": fastp_version,
        "fastqc": fastqc_version(given.fastqc),
        "star": given.star_version,
    }
    about = {"sample": given.sample, "layout": given.layout, "release": given.release}
    given.out.write_text(json.dumps({**about, **measured, "versions": versions}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
