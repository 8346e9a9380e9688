"""Checks a genome and its annotation, and writes the release's plain files."""

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path

from record import record

from seqharvest import annotation
from seqharvest.errors import InputError, SeqharvestError


def main() -> int:
    """Write genome, annotation, transcripts and tx2gene; exit 2 when the input is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("fasta", "gtf", "genome", "genes", "transcripts", "tx2gene", "made"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("unknown-contigs", "duplicate-transcripts"):
        parser.add_argument(f"--{name}", choices=("error", "drop"), default="error")
    given = parser.parse_args()
    try:
        build(given)
    except SeqharvestError as error:
        print(f"reference: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def build(given: argparse.Namespace) -> None:
    """Do the work of `main`; raises `InputError` for what is wrong with the input."""
    lengths = annotation.write_genome(given.fasta, given.genome)
    checked = annotation.write_annotation(
        given.gtf,
        given.genes,
        lengths,
        unknown_contigs=given.unknown_contigs,
        duplicate_transcripts=given.duplicate_transcripts,
    )
    annotation.write_tx2gene(checked, given.tx2gene)
    write_transcripts(given.genome, given.genes, given.transcripts)
    written = transcript_names(given.transcripts)
    if written != set(checked.transcripts):
        odd = sorted(written ^ set(checked.transcripts))[:5]
        raise InputError(
            f"gffread and the GTF disagree about {len(written ^ set(checked.transcripts))} "
            f"transcripts: {', '.join(odd)}",
            "look at their records in the GTF; see the log of rule annotation",
        )
    record(
        given.made,
        objects=[given.genome, given.genes, given.transcripts, given.tx2gene],
        tools={"gffread": tool_version()},
        counts={
            "contigs": len(lengths),
            "bases": sum(lengths.values()),
            "records": checked.records,
            "genes": len(checked.genes),
            "transcripts": len(checked.transcripts),
            "exons": checked.exons,
            "rrna_genes": len(
                {
                    t.gene_id
                    for t in checked.transcripts.values()
                    if t.biotype in annotation.RRNA_BIOTYPES
                }
            ),
        },
        biotypes=dict(Counter(t.biotype or "unknown" for t in checked.transcripts.values())),
        dropped=checked.dropped,
    )


def write_transcripts(genome: Path, genes: Path, out: Path) -> None:
    """Cut the transcripts out of the genome with gffread."""
    with genes.open() as annotation_of_genome:  # by name, gffread takes "release=…" for an option
        subprocess.run(
            ["gffread", "-w", out, "-g", genome, "-"], stdin=annotation_of_genome, check=True
        )
    genome.with_name(genome.name + ".fai").unlink(missing_ok=True)  # gffread leaves it behind


def transcript_names(fasta: Path) -> set[str]:
    """Names of the sequences of a FASTA."""
    with fasta.open() as handle:
        return {line[1:].split()[0] for line in handle if line.startswith(">")}


def tool_version() -> str:
    """Version of the gffread in use."""
    ended = subprocess.run(["gffread", "--version"], capture_output=True, text=True, check=True)
    return (ended.stdout or ended.stderr).strip()


if __name__ == "__main__":
    sys.exit(main())
