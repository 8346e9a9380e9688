"""Puts the forms of events, and lone junctions, onto the coding transcripts they fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from seqharvest.splicing.models import Strand
from seqharvest.splicing.productivity import Judge, Verdicts
from seqharvest.splicing.ragged import Flags, Ints, firsts, keys, matches
from seqharvest.splicing.reading import Isoforms, changed

#: How well a transcript fits: it has one of the two forms; it has the two splice sites around them;
#: its exons hold the two neighbouring bases. Only the best that any transcript of the gene offers.
FITS = ("exact", "sites", "overlap")
EXACT, SITES, OVERLAP = range(len(FITS))

#: Isoforms judged at a time: with ten exons each, about 300 MB of numbers.
CHUNK = 100_000

Block = tuple[Ints, Ints]


@dataclass(frozen=True)
class Pairs:
    """A stretch (by number) on a transcript: the exons with its neighbours, how well it fits."""

    owner: Ints
    transcript: Ints
    before: Ints
    behind: Ints
    fit: Ints

    def take(self, at: Ints) -> Pairs:
        """The pairs with these numbers."""
        return Pairs(*(getattr(self, column.name)[at] for column in fields(self)))


def fitting(
    strand: Strand,
    rank: Ints,
    gene: Ints,
    flanks: Block,
    forms: tuple[Block, ...],
) -> Pairs:
    """Coding transcripts of each stretch's gene that fit it best, the gene's spokesman first."""
    left, right = flanks
    coding = np.flatnonzero(strand.coding)
    owner, at = matches(strand.gene[coding], gene)
    transcript = coding[at]
    place = keys(strand.exon_transcript, strand.exon_start)
    before = np.searchsorted(place, keys(transcript, left[owner]), "right") - 1
    behind = np.searchsorted(place, keys(transcript, right[owner]), "right") - 1
    first = strand.first_exon[transcript]
    holds = (before >= first) & (behind >= first)
    holds &= strand.exon_end[before] >= left[owner]
    holds &= strand.exon_end[behind] >= right[owner]
    pairs = Pairs(owner, transcript, before, behind, np.zeros_like(owner)).take(
        np.flatnonzero(holds)
    )
    pairs = _with_fit(strand, pairs, left, right, forms)
    order = np.lexsort((pairs.transcript, rank[pairs.transcript], pairs.fit, pairs.owner))
    pairs = pairs.take(order)
    begin = firsts(pairs.owner)
    best = np.repeat(pairs.fit[begin], np.diff(np.append(begin, len(pairs.owner))))
    return pairs.take(np.flatnonzero(pairs.fit == best))


def judged(
    strand: Strand,
    judge: Judge,
    pairs: Pairs,
    flanks: Block,
    block: Block,
    chunk: int = CHUNK,
) -> Verdicts:
    """Give each pair's transcript the block between the flanks, and judge it."""

    def make(at: Ints) -> Isoforms:
        own = pairs.owner[at]
        return changed(
            strand,
            pairs.transcript[at],
            (pairs.before[at], pairs.behind[at]),
            (flanks[0][own], flanks[1][own]),
            (block[0][own], block[1][own]),
        )

    return _in_chunks(len(pairs.owner), chunk, lambda at: judge.judge(make(at)))


def _in_chunks(count: int, chunk: int, work: Callable[[Ints], Verdicts]) -> Verdicts:
    parts = [
        work(np.arange(begin, min(begin + chunk, count)))
        for begin in range(0, max(count, 1), chunk)
    ]
    return Verdicts(
        *(
            np.concatenate([getattr(part, column.name) for part in parts])
            for column in fields(Verdicts)
        )
    )


def _with_fit(
    strand: Strand, pairs: Pairs, left: Ints, right: Ints, forms: tuple[Block, ...]
) -> Pairs:
    """Compare what each transcript has between the neighbours with the forms."""
    left, right = left[pairs.owner], right[pairs.owner]
    ends, starts = strand.exon_end[pairs.before], strand.exon_start[pairs.behind]
    same = pairs.before == pairs.behind
    # Pieces between: the rest of the left one's exon, whole exons, the rest of the right one's.
    head = ends > left
    between = np.maximum(pairs.behind - pairs.before - 1, 0)
    tail = ~same & (starts < right)
    pieces = head + between + tail
    middle = np.minimum(pairs.before + 1, len(strand.exon_start) - 1)
    start = np.where(head, left + 1, np.where(between > 0, strand.exon_start[middle], starts))
    end = np.where(
        head,
        np.minimum(ends, right - 1),
        np.where(between > 0, strand.exon_end[middle], right - 1),
    )
    exact: Flags = np.zeros(len(left), bool)
    for form in forms:
        block = form[0][pairs.owner], form[1][pairs.owner]
        none = block[0] == 0
        exact |= none & (pieces == 0)
        exact |= ~none & (pieces == 1) & (start == block[0]) & (end == block[1])
    sites = (ends == left) & (starts == right)
    fit = np.where(exact, EXACT, np.where(sites, SITES, OVERLAP))
    return Pairs(pairs.owner, pairs.transcript, pairs.before, pairs.behind, fit)
