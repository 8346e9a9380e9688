"""Whether an isoform makes protein or is destroyed: the rules, in the order they are asked.

The 50-nt rule: a stop codon whose last base lies more than 50 nt before the last exon-exon junction
marks a transcript for nonsense-mediated decay (Nagy & Maquat 1998). What is known to escape it is
told in columns, not silently applied: stops within 150 nt of the start codon, and in exons longer
than 407 nt (Lindeboom, Supek & Lehner 2016).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from seqharvest.splicing.exome import Exome
from seqharvest.splicing.models import RANKS, Strand
from seqharvest.splicing.ragged import Flags, Ints
from seqharvest.splicing.reading import Isoforms, Readings, read, start_codon_positions, unchanged

NMD_DISTANCE = 50  # nt between the stop codon's last base and the last junction
START_PROXIMAL = 150  # nt from the start codon's first base to the stop codon's
LONG_EXON = 407  # nt

CLASSES = ("productive", "nonproductive", "undetermined", "noncoding")
PRODUCTIVE, NONPRODUCTIVE, UNDETERMINED, NON_CODING = range(len(CLASSES))

#: Every rule, the class that it gives, and what it says.
RULES: tuple[tuple[str, int, str], ...] = (
    ("stop_in_last_exon", PRODUCTIVE, "no junction follows the stop codon"),
    ("stop_near_last_junction", PRODUCTIVE, "the last junction is at most 50 nt behind the stop"),
    ("single_exon", PRODUCTIVE, "the isoform has no junction"),
    ("stop_before_last_junction", NONPRODUCTIVE, "the last junction is over 50 nt behind the stop"),
    ("start_lost", UNDETERMINED, "the change removes or splits the annotated start codon"),
    ("start_unknown", UNDETERMINED, "the annotated CDS is cut off at its start"),
    ("end_unknown", UNDETERMINED, "the annotated transcript is cut off before its last junction"),
    ("no_stop", UNDETERMINED, "the frame stays open to the end of the isoform"),
    ("cds_disagrees", UNDETERMINED, "the transcript as annotated has a stop within its own CDS"),
    ("no_compatible_transcript", UNDETERMINED, "no coding transcript of the gene spans it"),
    ("no_gene", UNDETERMINED, "it lies in no gene"),
    ("strand_unknown", UNDETERMINED, "no splice motif and no annotated splice site"),
    ("noncoding_gene", NON_CODING, "no transcript of the gene has a CDS"),
    ("noncoding_transcript", NON_CODING, "only transcripts without a CDS have it"),
)
RULE = {name: number for number, (name, _, _) in enumerate(RULES)}
CLASS_OF_RULE = np.array([of for _, of, _ in RULES])


@dataclass(frozen=True)
class Verdicts:
    """A rule for each isoform, with what it was judged by; -1 where there is nothing to tell."""

    rule: Ints
    stop_to_junction: Ints  # nt from the stop's last base to the last junction; below 0 behind it
    start_to_stop: Ints  # nt of the open reading frame without its stop
    stop_exon_length: Ints
    last_exon_length: Ints
    same_stop: Flags  # the stop is the one of the transcript as annotated

    @property
    def group(self) -> Ints:
        """The class of each."""
        return CLASS_OF_RULE[self.rule]

    @property
    def start_proximal(self) -> Flags:
        """Stops so near the start codon that decay may be escaped."""
        return (self.start_to_stop >= 0) & (self.start_to_stop < START_PROXIMAL)

    def take(self, at: Ints) -> Verdicts:
        """The verdicts with these numbers."""
        return Verdicts(*(getattr(self, column.name)[at] for column in fields(self)))


class Judge:
    """Judges isoforms of one strand against their transcripts as annotated."""

    def __init__(self, strand: Strand, exome: Exome) -> None:
        self._strand, self._exome = strand, exome
        self.coding = np.flatnonzero(strand.coding)
        own = read(strand, exome, unchanged(strand, self.coding))
        self._stop = np.full(len(strand.gene), -1, np.int64)
        self._stop[self.coding] = own.stop_position
        self._start_unknown = strand.start_unknown.copy()
        self._start_unknown[self.coding] |= self._begins_without_start(own)
        self._disagrees = np.zeros(len(strand.gene), bool)
        # CDS with its stop codon (RefSeq) or without (Ensembl): the last codon may be a stop.
        self._disagrees[self.coding] = self._stops_early(own)
        self.own = self._verdicts(self.coding, own)

    @property
    def order(self) -> Ints:
        """Which transcripts to ask first: by rank, those that cannot be read behind all others."""
        unreadable = self._start_unknown | self._disagrees
        return self._strand.rank + len(RANKS) * unreadable

    def judge(self, isoforms: Isoforms) -> Verdicts:
        """Translate isoforms and ask the rules."""
        return self._verdicts(isoforms.transcript, read(self._strand, self._exome, isoforms))

    def _verdicts(self, transcript: Ints, found: Readings) -> Verdicts:
        met = found.stop >= 0
        distance = found.last_junction - (found.stop + 3)
        end_unknown = self._strand.end_unknown[transcript]
        asked = (
            (self._start_unknown[transcript], "start_unknown"),
            (self._disagrees[transcript], "cds_disagrees"),
            (found.start < 0, "start_lost"),
            (met & (distance > NMD_DISTANCE), "stop_before_last_junction"),
            # What follows in truth may have more junctions.
            (end_unknown, "end_unknown"),
            (~met, "no_stop"),
            (found.last_junction == 0, "single_exon"),
            (distance > 0, "stop_near_last_junction"),
        )
        rule = np.select(
            [holds for holds, _ in asked],
            [RULE[name] for _, name in asked],
            RULE["stop_in_last_exon"],
        )
        return Verdicts(
            rule,
            np.where(met & (found.last_junction > 0), distance, np.iinfo(np.int64).min),
            np.where(met, found.stop - found.start, -1),
            found.stop_exon_length,
            found.last_exon_length,
            met & (found.stop_position == self._stop[transcript]),
        )

    def _begins_without_start(self, own: Readings) -> Flags:
        """A CDS from the transcript's first base on, without ATG: cut off, though not said so."""
        codon = start_codon_positions(self._strand)[:, self.coding]
        places = self._exome.at(codon.ravel()).reshape(codon.shape)
        bases = self._exome.bases[places] if len(self._exome.bases) else places
        letters = zip(bases, b"ATG", strict=True)
        atg = np.all([base == letter for base, letter in letters], axis=0)
        return (own.start == 0) & ~atg

    def _stops_early(self, own: Readings) -> Flags:
        strand = self._strand
        coding_end = strand.cds_end[self.coding]
        # Three bases before the end of the CDS may lie in another exon, so count spliced bases.
        spliced = _spliced_length(strand, self.coding)
        return (own.stop >= 0) & (own.stop - own.start < spliced - 3) & (coding_end > 0)


def _spliced_length(strand: Strand, transcripts: Ints) -> Ints:
    """Bases of the CDS of each transcript."""
    owner = strand.exon_transcript
    low = np.maximum(strand.exon_start, strand.cds_start[owner])
    high = np.minimum(strand.exon_end, strand.cds_end[owner])
    size = np.maximum(high - low + 1, 0)
    lengths: Ints = np.bincount(owner, size, minlength=len(strand.gene)).astype(np.int64)
    return lengths[transcripts]
