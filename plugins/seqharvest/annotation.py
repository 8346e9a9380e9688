"""A release's annotation checked against its genome, before any tool sees it."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import IO, Any

from seqharvest.errors import InputError

#: A transcript's own biotype first; Ensembl, GENCODE and RefSeq name them differently.
BIOTYPE_KEYS = ("transcript_biotype", "transcript_type", "gene_biotype", "gene_type", "gbkey")
RRNA_BIOTYPES = frozenset({"rRNA", "Mt_rRNA", "rRNA_pseudogene"})
SHOWN = 5  # how many examples an error names


@dataclass(frozen=True)
class Transcript:
    """A row of tx2gene.tsv."""

    transcript_id: str
    gene_id: str
    gene_name: str
    biotype: str


@dataclass
class Checked:
    """What was kept of an annotation, what was dropped and why."""

    transcripts: dict[str, Transcript] = field(default_factory=dict)
    records: int = 0
    exons: int = 0
    dropped: list[dict[str, Any]] = field(default_factory=list)

    @property
    def genes(self) -> set[str]:
        """Ids of the genes that have a transcript."""
        return {transcript.gene_id for transcript in self.transcripts.values()}


@dataclass(frozen=True)
class _Record:
    number: int  # of the line, from 1
    line: str
    contig: str
    feature: str
    start: int
    end: int
    strand: str
    attributes: str

    def attribute(self, *names: str) -> str:
        """The first of the named attributes that is there and not empty."""
        found = (_attribute_pattern(name).search(self.attributes) for name in names)
        return next((match[1] for match in found if match and match[1]), "")


def open_text(path: Path) -> IO[str]:
    """Open a plain or gzipped text file, told apart by its first bytes, not by its name."""
    with path.open("rb") as handle:
        zipped = handle.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt") if zipped else path.open()


def write_genome(fasta: Path, out: Path) -> dict[str, int]:
    """Write the plain FASTA and return the length of each contig.

    Raises `InputError` for a file that is no FASTA, is cut off, or names a contig twice or empty.
    """
    lengths: dict[str, int] = {}
    contig = ""
    try:
        with open_text(fasta) as source, out.open("w") as sink:
            for number, line in enumerate(source, start=1):
                if line.startswith(">"):
                    contig = _new_contig(fasta, number, line, lengths)
                elif not contig and line.strip():
                    raise InputError(
                        f"FASTA {fasta} line {number} is not a '>' header",
                        "give a genome in FASTA format, plain or gzipped",
                    )
                elif contig:
                    lengths[contig] += len(line.strip())
                sink.write(line)
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise InputError(
            f"FASTA {fasta} is cut off or corrupt: {error}", "fetch it again"
        ) from None
    empty = [name for name, length in lengths.items() if length == 0]
    if not lengths or empty:
        what = f"has no sequence for {', '.join(empty[:SHOWN])}" if empty else "has no sequence"
        raise InputError(f"FASTA {fasta} {what}", "give the genome's FASTA")
    return lengths


def contig_lengths(genome: Path) -> dict[str, int]:
    """Length of each contig of a genome that `write_genome` wrote."""
    lengths: dict[str, int] = {}
    contig = ""
    with genome.open() as handle:
        for line in handle:
            if line.startswith(">"):
                contig = line[1:].split(maxsplit=1)[0]
                lengths[contig] = 0
            else:
                lengths[contig] += len(line.strip())
    return lengths


def _new_contig(fasta: Path, number: int, line: str, lengths: dict[str, int]) -> str:
    words = line[1:].split(maxsplit=1)
    if not words or words[0] in lengths:
        what = f"names {words[0]} a second time" if words else "has no name"
        raise InputError(f"FASTA {fasta} line {number} {what}", "name each contig once")
    lengths[words[0]] = 0
    return words[0]


def write_annotation(
    gtf: Path,
    out: Path,
    lengths: dict[str, int],
    *,
    unknown_contigs: str = "error",
    duplicate_transcripts: str = "error",
) -> Checked:
    """Write the records that fit the genome, in their order, and tell what they hold.

    `unknown_contigs` and `duplicate_transcripts` are `error` or `drop`; what is dropped is listed
    in the result. Raises `InputError` naming contigs, transcripts or the line that does not fit.
    """
    checked = Checked()
    unknown: Counter[str] = Counter()
    places: dict[str, tuple[str, str]] = {}
    elsewhere: Counter[str] = Counter()
    with out.open("w") as sink:
        for record in _records(gtf):
            if record.contig not in lengths:
                unknown[record.contig] += 1
                continue
            _check_place(gtf, record, lengths)
            transcript = record.attribute("transcript_id")
            if transcript:
                place = (record.contig, record.strand)
                if places.setdefault(transcript, place) != place:
                    elsewhere[transcript] += 1
                    continue
            if record.feature == "exon":
                _keep_exon(gtf, record, transcript, checked)
            checked.records += 1
            sink.write(record.line)
    _unknown_contigs(gtf, unknown, lengths, unknown_contigs, checked)
    _duplicates(gtf, elsewhere, duplicate_transcripts, checked)
    if not checked.exons:
        raise InputError(
            f"GTF {gtf} has no exon on a contig of the genome",
            "give the GTF of this genome, with exon records",
        )
    return checked


def write_tx2gene(checked: Checked, out: Path) -> None:
    """Write transcript_id, gene_id, gene_name, biotype, with a header, sorted by transcript."""
    with out.open("w") as sink:
        sink.write("transcript_id\tgene_id\tgene_name\tbiotype\n")
        for _, row in sorted(checked.transcripts.items()):
            sink.write(f"{row.transcript_id}\t{row.gene_id}\t{row.gene_name}\t{row.biotype}\n")


def read_tx2gene(path: Path) -> dict[str, Transcript]:
    """Read the table that `write_tx2gene` wrote."""
    with path.open() as handle:
        next(handle)
        rows = (Transcript(*line.rstrip("\n").split("\t")) for line in handle)
        return {row.transcript_id: row for row in rows}


def _records(gtf: Path) -> Iterator[_Record]:
    number = 0
    try:
        with open_text(gtf) as source:
            for number, line in enumerate(source, start=1):
                if not line.startswith("#") and line.strip():
                    yield _record(gtf, number, line if line.endswith("\n") else line + "\n")
    except (EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise InputError(
            f"GTF {gtf} is cut off or corrupt after line {number}: {error}", "fetch it again"
        ) from None


def _record(gtf: Path, number: int, line: str) -> _Record:
    fields = line.rstrip("\n").split("\t")
    try:
        contig, _, feature, start, end, _, strand, _, attributes = fields
        return _Record(number, line, contig, feature, int(start), int(end), strand, attributes)
    except ValueError:
        raise InputError(
            f"GTF {gtf} line {number} is not nine tab-separated fields with whole positions: "
            f"{line[:80]!r}",
            "give the annotation in GTF format, plain or gzipped",
        ) from None


def _check_place(gtf: Path, record: _Record, lengths: dict[str, int]) -> None:
    length = lengths[record.contig]
    if not 1 <= record.start <= record.end <= length:
        raise InputError(
            f"GTF {gtf} line {record.number}: {record.feature} "
            f"{record.contig}:{record.start}-{record.end} does not lie within {record.contig} "
            f"(1-{length} in the FASTA)",
            "use FASTA and GTF of the same assembly",
        )


def _keep_exon(gtf: Path, record: _Record, transcript: str, checked: Checked) -> None:
    gene = record.attribute("gene_id")
    if not transcript or not gene or record.strand not in ("+", "-"):
        raise InputError(
            f"GTF {gtf} line {record.number}: an exon needs gene_id, transcript_id and a strand",
            "give a GTF, not a GFF3 (gffread -T turns one into the other)",
        )
    checked.exons += 1
    if transcript not in checked.transcripts:
        name = record.attribute("gene_name", "gene") or gene
        checked.transcripts[transcript] = Transcript(
            transcript, gene, name, record.attribute(*BIOTYPE_KEYS)
        )


def _unknown_contigs(
    gtf: Path, unknown: Counter[str], lengths: dict[str, int], rule: str, checked: Checked
) -> None:
    if not unknown:
        return
    if rule != "drop":
        named = ", ".join(f"{contig} ({n})" for contig, n in unknown.most_common(SHOWN))
        more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
        raise InputError(
            f"GTF {gtf} has {unknown.total()} records on {len(unknown)} contigs that the FASTA "
            f"lacks: {named}{more}; the FASTA has {', '.join(list(lengths)[:SHOWN])}"
            f"{', …' if len(lengths) > SHOWN else ''}",
            "use FASTA and GTF of the same assembly and naming, "
            "or set unknown_contigs: drop to build without these records",
        )
    checked.dropped += [
        {"why": "contig not in FASTA", "contig": contig, "records": n}
        for contig, n in sorted(unknown.items())
    ]


def _duplicates(gtf: Path, elsewhere: Counter[str], rule: str, checked: Checked) -> None:
    if not elsewhere:
        return
    if rule != "drop":
        named = ", ".join(sorted(elsewhere)[:SHOWN])
        raise InputError(
            f"GTF {gtf} gives {len(elsewhere)} transcripts on two contigs or strands: {named}",
            "give each transcript its own id, "
            "or set duplicate_transcripts: drop to keep the first place only",
        )
    checked.dropped += [
        {"why": "transcript in two places", "transcript": name, "records": n}
        for name, n in sorted(elsewhere.items())
    ]


@cache
def _attribute_pattern(name: str) -> re.Pattern[str]:
    # One search per wanted name: parsing all fifteen attributes of a line takes five times longer.
    return re.compile(rf'(?:^|;)\s*{re.escape(name)}\s+"?([^";]*)"?')
