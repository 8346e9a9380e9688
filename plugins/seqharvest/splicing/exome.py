"""The bases that any isoform of a strand can have, with every stop codon found once.

A reading frame is then followed exon by exon, by looking up the next stop of the frame, instead
of base by base: ten look-ups a transcript instead of two thousand bases.
"""

from __future__ import annotations

import numpy as np

from seqharvest.splicing.genome import Bases, Genome
from seqharvest.splicing.models import Strand
from seqharvest.splicing.ragged import Flags, Ints, find, keys

_T, _A, _G = b"TAG"


class Exome:
    """Merged spans of one strand; positions in it are those of the spans, one behind the other."""

    def __init__(self, strand: Strand, genome: Genome, start: Ints, end: Ints) -> None:
        order = np.argsort(start, kind="stable")
        start, far = start[order], np.maximum.accumulate(end[order]) if len(end) else end
        new = np.concatenate([[True], start[1:] > far[:-1] + 1])[: len(start)]
        begin = np.flatnonzero(new)
        self._start = start[begin]
        self._end = np.append(far[begin[1:] - 1], far[-1:])
        self.bases, starts = genome.pieces(strand.contig, strand.sign, self._start, self._end)
        self._at = starts[:-1]
        self._stops = self._stop_keys(self.at(strand.recoded))

    def at(self, position: Ints) -> Ints:
        """Where bases of the strand are; -1 for those that no span holds."""
        if not len(self._start):
            return np.full(len(position), -1, np.int64)
        span = np.maximum(np.searchsorted(self._start, position, "right") - 1, 0)
        inside = (position >= self._start[span]) & (position <= self._end[span])
        return np.where(inside, self._at[span] + position - self._start[span], -1)

    def next_stop(self, at: Ints) -> Ints:
        """First base of the next stop in frame with each base, or far behind everything."""
        number = np.searchsorted(self._stops, keys(at % 3, at))
        found = np.append(self._stops, keys(np.array([3]), np.array([0])))[number]
        return np.where(found >> 32 == at % 3, found & 0xFFFFFFFF, np.int64(1) << 40)

    def is_stop(self, first: Ints, second: Ints, third: Ints) -> Flags:
        """Whether three bases are a stop codon: TAA, TAG or TGA."""
        one, two, three = (self.bases[at] for at in (first, second, third))
        return _stop(one, two, three)

    def _stop_keys(self, recoded: Ints) -> Ints:
        """Residue and place of each stop codon, sorted, without the selenocysteines."""
        bases = self.bases
        at = np.flatnonzero(_stop(bases[:-2], bases[1:-1], bases[2:]))
        if len(recoded):
            at = at[find(np.unique(recoded), at) < 0]
        return np.sort(keys(at % 3, at))


def _stop(one: Bases, two: Bases, three: Bases) -> Flags:
    return (one == _T) & (
        ((two == _A) & ((three == _A) | (three == _G))) | ((two == _G) & (three == _A))
    )
