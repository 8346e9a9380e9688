"""An annotation that does not fit its genome is refused by name, or dropped and reported."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seqharvest import annotation
from seqharvest.errors import InputError

GENOME = ">I first\nACGTACGTAC\nACGT\n>II\nACGTACGT\n"


def exon(contig: str, start: int, end: int, transcript: str, strand: str = "+") -> str:
    attributes = f'gene_id "{transcript}g"; transcript_id "{transcript}"; gene_biotype "rRNA";'
    return f"{contig}\ttest\texon\t{start}\t{end}\t.\t{strand}\t.\t{attributes}\n"


def check(folder: Path, gtf: str, **rules: str) -> annotation.Checked:
    fasta, source = folder / "in.fa", folder / "in.gtf"
    fasta.write_text(GENOME)
    source.write_text(gtf)
    lengths = annotation.write_genome(fasta, folder / "genome.fa")
    return annotation.write_annotation(source, folder / "genes.gtf", lengths, **rules)


def test_lengths_and_transcripts_are_read_and_written_back(tmp_path: Path) -> None:
    checked = check(tmp_path, "#!header\n" + exon("I", 1, 14, "a") + exon("II", 2, 8, "b", "-"))
    assert annotation.contig_lengths(tmp_path / "genome.fa") == {"I": 14, "II": 8}
    annotation.write_tx2gene(checked, tmp_path / "tx2gene.tsv")
    rows = annotation.read_tx2gene(tmp_path / "tx2gene.tsv")
    assert rows["b"] == annotation.Transcript("b", "bg", "bg", "rRNA")


def test_contigs_that_the_fasta_lacks_are_named_with_their_counts(tmp_path: Path) -> None:
    gtf = exon("I", 1, 9, "a") + exon("chrX", 1, 9, "b") * 2 + exon("chrY", 1, 9, "c")
    with pytest.raises(InputError) as caught:
        check(tmp_path, gtf)
    assert "3 records on 2 contigs that the FASTA lacks: chrX (2), chrY (1)" in str(caught.value)
    assert "the FASTA has I, II" in str(caught.value)


def test_dropped_records_are_reported(tmp_path: Path) -> None:
    gtf = exon("I", 1, 9, "a") + exon("chrX", 1, 9, "a") + exon("II", 1, 4, "a")
    checked = check(tmp_path, gtf, unknown_contigs="drop", duplicate_transcripts="drop")
    assert checked.dropped == [
        {"why": "contig not in FASTA", "contig": "chrX", "records": 1},
        {"why": "transcript in two places", "transcript": "a", "records": 1},
    ]
    assert (tmp_path / "genes.gtf").read_text() == exon("I", 1, 9, "a")


@pytest.mark.parametrize(
    ("gtf", "said"),
    [
        (exon("I", 1, 9, "a") + exon("II", 1, 4, "a"), "transcripts on two contigs or strands: a"),
        (exon("I", 9, 15, "a"), "line 1: exon I:9-15 does not lie within I (1-14 in the FASTA)"),
        (exon("I", 9, 3, "a"), "I:9-3 does not lie within"),
        ("I\ttest\texon\tone\t9\n", "line 1 is not nine tab-separated fields"),
        (exon("I", 1, 9, "a", "."), "an exon needs gene_id, transcript_id and a strand"),
        ("# nothing\n", "has no exon on a contig of the genome"),
    ],
)
def test_a_record_that_does_not_fit_is_named(tmp_path: Path, gtf: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        check(tmp_path, gtf)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("fasta", "said"),
    [
        (b"", "has no sequence"),
        (b"ACGT\n", "line 1 is not a '>' header"),
        (b">I\nA\n>I\nA\n", "line 3 names I a second time"),
        (b">I\n>II\nA\n", "has no sequence for I"),
        (gzip.compress(GENOME.encode())[:-12], "cut off or corrupt"),
    ],
)
def test_a_fasta_that_is_none_is_refused(tmp_path: Path, fasta: bytes, said: str) -> None:
    path = tmp_path / "in.fa"
    path.write_bytes(fasta)
    with pytest.raises(InputError) as caught:
        annotation.write_genome(path, tmp_path / "genome.fa")
    assert said in str(caught.value)
