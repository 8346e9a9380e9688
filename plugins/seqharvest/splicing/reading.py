"""Reads isoforms from their annotated start codon to the first stop in frame, thousands at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqharvest.splicing.exome import Exome
from seqharvest.splicing.models import Strand
from seqharvest.splicing.ragged import Ints, expand, offsets

NOWHERE = np.int64(1) << 40  # behind the end of every transcript


@dataclass(frozen=True)
class Isoforms:
    """Exons of isoforms, flat: those of isoform i are `first[i]` to `first[i + 1]`."""

    transcript: Ints  # that each was made of
    first: Ints
    start: Ints
    end: Ints


@dataclass(frozen=True)
class Readings:
    """What reading an isoform found; lengths and places in bases of the spliced isoform.

    `stop` is -1 where no stop was met, all is -1 where the start codon is not there.
    """

    start: Ints  # first base of the start codon
    stop: Ints  # first base of the stop codon
    stop_position: Ints  # the same on the strand
    last_junction: Ints  # bases before the last junction; 0 without one
    stop_exon_length: Ints
    last_exon_length: Ints


def unchanged(strand: Strand, transcripts: Ints) -> Isoforms:
    """Transcripts as annotated."""
    owner, within = expand(np.diff(strand.first_exon)[transcripts])
    at = strand.first_exon[transcripts][owner] + within
    first = offsets(np.diff(strand.first_exon)[transcripts])
    return Isoforms(transcripts, first, strand.exon_start[at], strand.exon_end[at])


def changed(
    strand: Strand,
    transcript: Ints,
    exons: tuple[Ints, Ints],
    flanks: tuple[Ints, Ints],
    block: tuple[Ints, Ints],
) -> Isoforms:
    """Transcripts with `block` and nothing else between `flanks`, which lie in exons `exons`.

    A block that begins at 0 is none. Pieces that touch become one exon.
    """
    (before, behind), (left, right), (start, end) = exons, flanks, block
    has = start > 0
    head = before - strand.first_exon[transcript] + 1
    tail = strand.first_exon[transcript + 1] - behind
    owner, within = expand(head + has + tail)
    from_head = within < head[owner]
    is_block = has[owner] & (within == head[owner])
    exon = np.where(
        from_head,
        strand.first_exon[transcript][owner] + within,
        behind[owner] + within - head[owner] - has[owner],
    )
    exon = np.where(is_block, before[owner], exon)  # any that exists: replaced below
    starts = np.where(is_block, start[owner], strand.exon_start[exon])
    ends = np.where(is_block, end[owner], strand.exon_end[exon])
    ends = np.where(within == head[owner] - 1, left[owner], ends)
    starts = np.where(within == head[owner] + has[owner], right[owner], starts)
    touches = np.zeros(len(owner), bool)
    touches[1:] = (owner[1:] == owner[:-1]) & (starts[1:] == ends[:-1] + 1)
    ends = ends[np.append(~touches[1:], True)[: len(ends)]]
    counts = np.bincount(owner[~touches], minlength=len(transcript))
    return Isoforms(transcript, offsets(counts), starts[~touches], ends)


def read(strand: Strand, exome: Exome, isoforms: Isoforms) -> Readings:
    """Translate every isoform from the start codon of its transcript."""
    first, count = isoforms.first[:-1], np.diff(isoforms.first)
    owner = np.repeat(np.arange(len(count)), count)
    length = isoforms.end - isoforms.start + 1
    joined = np.cumsum(length)  # all isoforms one behind the other
    begin = joined - length
    base = begin[first] if len(first) else first
    start = _start_codons(strand, isoforms)
    frame = np.where(start >= 0, base + start, NOWHERE)[owner]  # of the joined isoforms
    inner = _stops_within(exome, isoforms, begin, joined, frame)
    across = _stops_across(exome, isoforms, owner, begin, joined, frame, inner)
    place = np.minimum(inner, across)
    at = np.minimum.reduceat(place, first) if len(first) else place
    met = at < NOWHERE
    exon = np.searchsorted(joined, np.where(met, at, 0), "right")
    last = isoforms.first[1:] - 1
    position = isoforms.start[exon] + at - begin[exon] if len(exon) else at
    return Readings(
        start,
        np.where(met, at - base, -1),
        np.where(met, position, -1),
        begin[last] - base,
        np.where(met, length[exon], -1) if len(exon) else at,
        length[last],
    )


def _start_codons(strand: Strand, isoforms: Isoforms) -> Ints:
    """Where the start codon begins; -1 where the change takes one of its bases or splits it."""
    codon = start_codon_positions(strand)[:, isoforms.transcript]
    where = [_offset_of(isoforms, position) for position in codon]
    whole = (where[0] >= 0) & (where[1] == where[0] + 1) & (where[2] == where[0] + 2)
    return np.where(whole, where[0], -1)


def start_codon_positions(strand: Strand) -> Ints:
    """The three bases of each transcript's start codon on the strand; 0 where it has none."""
    all_exons = unchanged(strand, np.arange(len(strand.gene)))
    first = np.where(strand.coding, _offset_of(all_exons, strand.cds_start), -1)
    length = strand.exon_end - strand.exon_start + 1
    joined = np.cumsum(length)
    base = (joined - length)[strand.first_exon[:-1]] if len(length) else first
    total = np.add.reduceat(length, strand.first_exon[:-1]) if len(length) else first
    codon = []
    for step in range(3):
        has = (first >= 0) & (first + step < total)
        at = np.where(has, base + first + step, 0)
        exon = np.searchsorted(joined, at, "right")
        codon.append(np.where(has, strand.exon_start[exon] + at - (joined - length)[exon], 0))
    return np.stack(codon)


def _offset_of(isoforms: Isoforms, position: Ints) -> Ints:
    """Offset of one base in each isoform; -1 where it is not exonic."""
    count = np.diff(isoforms.first)
    owner = np.repeat(np.arange(len(count)), count)
    length = isoforms.end - isoforms.start + 1
    before = np.cumsum(length) - length
    before = before - before[isoforms.first[:-1]][owner] if len(owner) else before
    wanted = position[owner]
    exon = np.flatnonzero((wanted >= isoforms.start) & (wanted <= isoforms.end))
    found = np.full(len(count), -1, np.int64)
    found[owner[exon]] = before[exon] + wanted[exon] - isoforms.start[exon]
    return found


def _stops_within(exome: Exome, isoforms: Isoforms, begin: Ints, joined: Ints, frame: Ints) -> Ints:
    """First stop codon that lies wholly in each exon."""
    place = exome.at(isoforms.start)
    codon = np.maximum(begin, np.minimum(frame, joined))
    codon = codon + (frame - codon) % 3
    stop = exome.next_stop(place + codon - begin) - place + begin
    return np.where((frame < NOWHERE) & (stop + 3 <= joined), stop, NOWHERE)


def _stops_across(
    exome: Exome,
    isoforms: Isoforms,
    owner: Ints,
    begin: Ints,
    joined: Ints,
    frame: Ints,
    inner: Ints,
) -> Ints:
    """Stop codon that begins in each exon and ends in a later one."""
    found = np.full(len(owner), NOWHERE, np.int64)
    codon = joined - (joined - frame) % 3
    # Not those whose isoform ends first, nor where a short exon's codon began before it.
    ends = joined[isoforms.first[1:] - 1][owner] if len(owner) else joined
    cut = np.flatnonzero(
        (frame < NOWHERE)
        & (codon >= frame)
        & (codon >= begin)
        & (codon < joined)
        & (codon + 3 <= ends)
    )
    if not len(cut):
        return found
    places = []
    for step in range(3):
        at = codon[cut] + step
        exon = np.searchsorted(joined, at, "right")
        places.append(exome.at(isoforms.start[exon] + at - begin[exon]))
    stop = exome.is_stop(*places)
    found[cut[stop]] = codon[cut[stop]]
    return found
