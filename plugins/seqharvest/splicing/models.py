"""Gene models as arrays: of a whole annotation, and of one strand of one contig, 5' to 3'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seqharvest.splicing.ragged import Flags, Ints, firsts, keys, offsets

#: Which transcript speaks for its gene: the first tag it has; later ones are only asked when none
#: of the earlier is compatible with the event.
RANKS = (
    "MANE_Select",
    "MANE_Plus_Clinical",
    "canonical",
    "principal",  # APPRIS
    "basic",
    "coding",
    "decay",  # annotated as nonsense_mediated_decay or non_stop_decay: has a CDS all the same
    "incomplete",  # the annotation does not know its start or its end
    "noncoding",
)
NONCODING = RANKS.index("noncoding")
DECAY = RANKS.index("decay")


@dataclass(frozen=True)
class Annotation:
    """Every transcript of a GTF, sorted by contig, gene id and transcript id.

    Positions count from 1 and are inclusive; `cds_*` are 0 where there is no reading frame.
    """

    contigs: tuple[str, ...]
    gene_ids: Sequence[str]
    gene_names: Sequence[str]
    transcript_ids: Sequence[str]
    biotypes: Sequence[str]
    contig: Ints  # of each transcript
    minus: Flags
    gene: Ints
    rank: Ints  # in RANKS
    start_unknown: Flags  # the CDS is cut off at its 5' end
    end_unknown: Flags  # the transcript is cut off at its 3' end
    cds_start: Ints  # leftmost and rightmost coding base
    cds_end: Ints
    exon_transcript: Ints  # of each exon
    exon_start: Ints
    exon_end: Ints
    recoded: Ints  # selenocysteine codons: contig, minus, leftmost base; shape (n, 3)


@dataclass(frozen=True)
class Strand:
    """One strand of one contig with positions 5' to 3', so that nothing else asks for the strand.

    On the minus strand position p of the contig is length + 1 - p.
    """

    contig: str
    sign: str
    length: int
    gene_ids: list[str]
    gene_names: list[str]
    transcript_ids: list[str]
    biotypes: list[str]
    gene: Ints  # of each transcript; genes are sorted by id, transcripts by gene and id
    rank: Ints
    start_unknown: Flags
    end_unknown: Flags
    cds_start: Ints  # first and last coding base; 0 without
    cds_end: Ints
    first_exon: Ints  # where a transcript's exons begin, and behind the last their end
    exon_start: Ints
    exon_end: Ints
    recoded: Ints  # first bases of selenocysteine codons

    @property
    def exon_transcript(self) -> Ints:
        """Transcript of each exon."""
        return np.repeat(np.arange(len(self.gene)), np.diff(self.first_exon))

    @property
    def coding(self) -> Flags:
        """Which transcripts have a reading frame."""
        return self.cds_start > 0

    def introns(self) -> tuple[Ints, Ints, Ints]:
        """Transcript, last base before and first base behind each intron."""
        owner = self.exon_transcript
        inner = np.flatnonzero(owner[1:] == owner[:-1])
        return owner[inner], self.exon_end[inner], self.exon_start[inner + 1]

    def genomic(self, start: Ints, end: Ints) -> tuple[Ints, Ints]:
        """Turn spans of this strand into the contig's own, left before right, or back."""
        if self.sign == "+":
            return start, end
        return self.length + 1 - end, self.length + 1 - start


def strand_of(annotation: Annotation, contig: str, sign: str, length: int) -> Strand:
    """Cut one strand of one contig out of an annotation."""
    minus = sign == "-"
    wanted = annotation.minus == minus
    if contig in annotation.contigs:
        wanted = wanted & (annotation.contig == annotation.contigs.index(contig))
    else:
        wanted = np.zeros(len(wanted), bool)
    transcripts = np.flatnonzero(wanted)
    genes, gene = np.unique(annotation.gene[transcripts], return_inverse=True)
    local = np.full(len(wanted), -1, np.int64)
    local[transcripts] = np.arange(len(transcripts))
    mine = wanted[annotation.exon_transcript]
    starts, ends = annotation.exon_start[mine], annotation.exon_end[mine]
    cds = annotation.cds_start[transcripts], annotation.cds_end[transcripts]
    recoded = annotation.recoded[
        (annotation.recoded[:, 1] == minus)
        & (annotation.recoded[:, 0] == _index(annotation.contigs, contig))
    ][:, 2]
    if minus:
        starts, ends = length + 1 - ends, length + 1 - starts
        cds = (_turned(cds[1], length), _turned(cds[0], length))
        recoded = length + 1 - (recoded + 2)
    owner, starts, ends = _merged(local[annotation.exon_transcript[mine]], starts, ends)
    return Strand(
        contig,
        sign,
        length,
        [annotation.gene_ids[i] for i in genes.tolist()],
        [annotation.gene_names[i] for i in genes.tolist()],
        [annotation.transcript_ids[i] for i in transcripts.tolist()],
        [annotation.biotypes[i] for i in transcripts.tolist()],
        gene.astype(np.int64),
        annotation.rank[transcripts],
        annotation.start_unknown[transcripts],
        annotation.end_unknown[transcripts],
        cds[0],
        cds[1],
        offsets(np.bincount(owner, minlength=len(transcripts))),
        starts,
        ends,
        recoded,
    )


def _merged(owner: Ints, start: Ints, end: Ints) -> tuple[Ints, Ints, Ints]:
    """Sort exons within their transcript; one that touches the one before is part of it."""
    order = np.argsort(keys(owner, start), kind="stable")
    owner, start, end = owner[order], start[order], end[order]
    new = np.concatenate([[True], (owner[1:] != owner[:-1]) | (start[1:] > end[:-1] + 1)])
    begin = np.flatnonzero(new[: len(owner)])
    if len(begin) == len(owner):
        return owner, start, end
    return owner[begin], start[begin], np.maximum.reduceat(end, begin)


def _turned(position: Ints, length: int) -> Ints:
    return np.where(position > 0, length + 1 - position, 0)


def _index(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -1


def span_of_genes(strand: Strand) -> tuple[Ints, Ints]:
    """First and last base of each gene on its strand."""
    if not len(strand.gene):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    begins = firsts(strand.gene)
    first = strand.exon_start[strand.first_exon[:-1]]
    last = strand.exon_end[strand.first_exon[1:] - 1]
    return np.minimum.reduceat(first, begins), np.maximum.reduceat(last, begins)
