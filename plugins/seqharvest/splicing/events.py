"""Finds splicing events on a strand, from annotated exons and junctions of annotation and samples.

Every event is a stretch between two bases that all its isoforms share, `left` and `right`, and what
the two forms have between them: the inclusion form one block of exonic bases, the exclusion form
none (mutually exclusive exons: another block). Everything else follows from that: its junctions,
its id, how a transcript is changed into either form.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from seqharvest.splicing.junctions import Junctions, pairs_within
from seqharvest.splicing.models import Strand
from seqharvest.splicing.ragged import Flags, Ints, expand, find, firsts, keys, matches

#: Type and its code in an event's id; the codes are SUPPA's.
TYPES = (
    ("cassette_exon", "SE"),
    ("alternative_5_site", "A5"),
    ("alternative_3_site", "A3"),
    ("retained_intron", "RI"),
    ("mutually_exclusive_exons", "MX"),
)
SE, A5, A3, RI, MX = range(len(TYPES))


@dataclass(frozen=True)
class Limits:
    """What it takes for something that is not annotated to be taken for an event."""

    #: Unique reads in one sample: below that most unannotated junctions are alignment noise.
    min_reads: int = 3
    #: A new exon; 99 % of annotated internal human exons are shorter.
    longest_exon: int = 500
    #: By how much a new splice site may lengthen an exon.
    longest_extension: int = 300
    #: Unspliced reads over each boundary of a retained intron, in one sample.
    min_retention_reads: int = 3
    #: Share of the intron's bases with a read: less is another exon in it, or a primer.
    min_covered: float = 0.9


@dataclass(frozen=True)
class Events:
    """Events of a strand, 5' to 3'; `start2`, `end2` are 0 but for mutually exclusive exons."""

    kind: Ints
    gene: Ints
    left: Ints
    start: Ints
    end: Ints
    start2: Ints
    end2: Ints
    right: Ints
    known_inclusion: Flags  # the annotation has all of this form
    known_exclusion: Flags

    def __len__(self) -> int:
        return len(self.kind)

    def take(self, at: Ints) -> Events:
        """The events with these numbers."""
        return Events(*(getattr(self, column.name)[at] for column in fields(self)))

    def block(self, inclusion: bool) -> tuple[Ints, Ints]:
        """First and last base of a form's block; 0 and -1 where it has none."""
        if inclusion:
            return self.start, self.end
        return self.start2, np.where(self.start2 > 0, self.end2, -1)

    def form_introns(self, inclusion: bool) -> tuple[Ints, Ints, Ints]:
        """Event, donor and acceptor of every junction of a form, sorted by event."""
        start, end = self.block(inclusion)
        has = start > 0
        number = np.arange(len(self))
        before = has & (start > self.left + 1)
        behind = has & (end + 1 < self.right)
        event = np.concatenate([number[before], number[behind], number[~has]])
        donor = np.concatenate([self.left[before], end[behind], self.left[~has]])
        acceptor = np.concatenate([start[before], self.right[behind], self.right[~has]])
        order = np.argsort(event, kind="stable")
        return event[order], donor[order], acceptor[order]


@dataclass(frozen=True)
class _Graph:
    """Usable junctions and exons by gene, sorted by gene, donor, acceptor."""

    gene: Ints
    donor: Ints
    acceptor: Ints
    annotated: Flags
    exon_gene: Ints  # annotated exons, unique
    exon_start: Ints
    exon_end: Ints

    @property
    def donors(self) -> Ints:
        return keys(self.gene, self.donor)

    @property
    def acceptors(self) -> Ints:
        return keys(self.gene, self.acceptor)

    def has(self, gene: Ints, donor: Ints, acceptor: Ints) -> Ints:
        """Index of a junction of a gene; -1 where it has none."""
        sites = np.unique(self.donors)
        mine = keys(find(sites, self.donors), self.acceptor)  # sorted, as the graph is
        site = find(sites, keys(gene, donor))
        return np.where(site >= 0, find(mine, keys(np.maximum(site, 0), acceptor)), -1)


def find_events(
    strand: Strand, junctions: Junctions, kept: Ints, limits: Limits | None = None
) -> Events:
    """Find every event of a strand; `kept` are the introns that `junctions.retained` names."""
    limits = limits or Limits()
    graph = _graph(strand, junctions, limits)
    exons = _exons(graph, limits)
    contexts = _contexts(graph, *exons)
    found = [
        _cassettes(graph, contexts),
        _mutually_exclusive(graph, contexts),
        _alternative(graph, limits, acceptor=False),
        _alternative(graph, limits, acceptor=True),
        _retained(graph, kept),
    ]
    whole = Events(
        *(
            np.concatenate([getattr(part, column.name) for part in found])
            for column in fields(Events)
        )
    )
    order = np.lexsort(
        (whole.end2, whole.end, whole.start, whole.right, whole.left, whole.kind, whole.gene)
    )
    return whole.take(order)


def event_ids(strand: Strand, events: Events) -> list[str]:
    """Ids: gene, type, contig, left neighbour, block (blocks), right neighbour, strand."""
    left, right = strand.genomic(events.left, events.right)
    start, end = strand.genomic(events.start, events.end)
    start2, end2 = strand.genomic(events.start2, events.end2)
    columns = (events.kind, events.gene, left, start, end, events.start2, start2, end2, right)
    return [
        f"{strand.gene_ids[gene]}:{TYPES[kind][1]}:{strand.contig}:{a}:{b}-{c}"
        f"{f':{d}-{e}' if second else ''}:{z}:{strand.sign}"
        for kind, gene, a, b, c, second, d, e, z in zip(
            *(column.tolist() for column in columns), strict=True
        )
    ]


def _graph(strand: Strand, junctions: Junctions, limits: Limits) -> _Graph:
    usable = junctions.annotated | (junctions.best >= limits.min_reads)
    link = np.flatnonzero(usable[junctions.link_junction])
    at, gene = junctions.link_junction[link], junctions.link_gene[link]
    order = np.lexsort((junctions.acceptor[at], junctions.donor[at], gene))
    at, gene = at[order], gene[order]
    exon_gene = strand.gene[strand.exon_transcript]
    by = np.lexsort((strand.exon_end, strand.exon_start, exon_gene))
    exons = np.stack([exon_gene, strand.exon_start, strand.exon_end])[:, by]
    new = np.ones(exons.shape[1], bool)
    new[1:] = (exons[:, 1:] != exons[:, :-1]).any(axis=0)
    return _Graph(
        gene,
        junctions.donor[at],
        junctions.acceptor[at],
        junctions.annotated[at],
        *exons[:, new],
    )


def _exons(graph: _Graph, limits: Limits) -> tuple[Ints, Ints, Ints, Flags]:
    """Exons between an acceptor and a donor: the annotated, and those with a site that is not."""
    acceptors, donors = np.unique(graph.acceptors), np.unique(graph.donors)
    known = graph.annotated
    known_acceptors, known_donors = graph.acceptors[known], graph.donors[known]
    first = np.searchsorted(donors, acceptors)
    last = np.searchsorted(donors, acceptors + limits.longest_exon)
    owner, within = expand(last - first)
    start, end = acceptors[owner], donors[first[owner] + within]
    novel = ~np.isin(start, known_acceptors) | ~np.isin(end, known_donors)
    start, end = start[novel], end[novel]
    gene = np.concatenate([graph.exon_gene, start >> 32])
    starts = np.concatenate([graph.exon_start, start & 0xFFFFFFFF])
    ends = np.concatenate([graph.exon_end, end & 0xFFFFFFFF])
    annotated = np.zeros(len(gene), bool)
    annotated[: len(graph.exon_gene)] = True
    return gene, starts, ends, annotated


@dataclass(frozen=True)
class _Contexts:
    """An exon with a junction into it and one out of it."""

    gene: Ints
    left: Ints
    start: Ints
    end: Ints
    right: Ints
    known: Flags


def _contexts(graph: _Graph, gene: Ints, start: Ints, end: Ints, known: Flags) -> _Contexts:
    by_acceptor = np.argsort(graph.acceptors, kind="stable")
    exon, into = matches(graph.acceptors[by_acceptor], keys(gene, start))
    into = by_acceptor[into]
    pair, out = matches(graph.donors, keys(gene, end)[exon])
    exon, into = exon[pair], into[pair]
    return _Contexts(
        gene[exon],
        graph.donor[into],
        start[exon],
        end[exon],
        graph.acceptor[out],
        known[exon] & graph.annotated[into] & graph.annotated[out],
    )


def _cassettes(graph: _Graph, found: _Contexts) -> Events:
    skip = graph.has(found.gene, found.left, found.right)
    at = np.flatnonzero(skip >= 0)
    return _events(
        SE,
        found.gene[at],
        found.left[at],
        found.start[at],
        found.end[at],
        found.right[at],
        found.known[at],
        graph.annotated[skip[at]],
    )


def _mutually_exclusive(graph: _Graph, found: _Contexts) -> Events:
    """Two exons between the same neighbours, never joined to each other."""
    order = np.lexsort((found.end, found.start, found.right, found.left, found.gene))
    flanks = np.stack([found.gene, found.left, found.right])[:, order]
    new = np.ones(len(order), bool)
    new[1:] = (flanks[:, 1:] != flanks[:, :-1]).any(axis=0)
    one, two = (order[side] for side in pairs_within(np.cumsum(new)))
    apart = found.end[one] + 1 < found.start[two]
    one, two = one[apart], two[apart]
    joined = graph.has(found.gene[one], found.end[one], found.start[two]) >= 0
    one, two = one[~joined], two[~joined]
    return _events(
        MX,
        found.gene[one],
        found.left[one],
        found.start[one],
        found.end[one],
        found.right[one],
        found.known[one],
        found.known[two],
        (found.start[two], found.end[two]),
    )


def _alternative(graph: _Graph, limits: Limits, *, acceptor: bool) -> Events:
    """Two junctions with one end in common, the other ends in one exon.

    For acceptors everything is mirrored: the same rule reads 3' to 5' (a base p becomes -p).
    """
    gene = graph.gene
    shared, site = (graph.donor, graph.acceptor) if acceptor else (graph.acceptor, graph.donor)
    exon_far, exon_near = (
        (graph.exon_start, graph.exon_end) if acceptor else (graph.exon_end, graph.exon_start)
    )
    mirror = -1 if acceptor else 1
    order = np.lexsort((mirror * site, shared, gene))
    one, two = pairs_within(_runs(gene[order], shared[order]))
    one, two = order[one], order[two]  # `two` is the longer exon's
    some = graph.annotated[one] | graph.annotated[two]
    one, two = one[some], two[some]
    reach = _reach(gene, site, exon_near, exon_far, graph.exon_gene, mirror, limits)
    inside = mirror * (site[one] - reach[two]) >= 0
    one, two = one[inside], two[inside]
    # An exon that begins between the two sites is a cassette or another exon, not a longer one.
    begins = np.unique(keys(gene, shared))
    low, high = np.minimum(site[one], site[two]), np.maximum(site[one], site[two])
    low, high = (low, high - 1) if acceptor else (low + 1, high)
    between = np.searchsorted(begins, keys(gene[one], high), "right") > np.searchsorted(
        begins, keys(gene[one], low), "left"
    )
    one, two = one[~between], two[~between]
    known = graph.annotated[two], graph.annotated[one]
    if acceptor:
        return _events(A3, gene[one], shared[one], site[two], site[one] - 1, site[one], *known)
    return _events(A5, gene[one], site[one], site[one] + 1, site[two], shared[one], *known)


def _reach(
    gene: Ints,
    site: Ints,
    exon_near: Ints,
    exon_far: Ints,
    exon_gene: Ints,
    mirror: int,
    limits: Limits,
) -> Ints:
    """How far back the exon that ends at each site goes: as annotated, else as far as allowed."""
    by = np.lexsort((mirror * exon_near, exon_far, exon_gene))
    ends = keys(exon_gene, exon_far)[by]
    begin = firsts(ends)
    at = find(ends[begin], keys(gene, site))
    known = exon_near[by[begin]][np.maximum(at, 0)] if len(by) else site
    return np.where(at >= 0, known, site - mirror * limits.longest_extension)


def _retained(graph: _Graph, kept: Ints) -> Events:
    """Introns that lie within an annotated exon of their gene, or that samples retain."""
    place = keys(graph.exon_gene, graph.exon_start)  # sorted
    farthest = np.maximum.accumulate(keys(graph.exon_gene, graph.exon_end))
    at = np.searchsorted(place, keys(graph.gene, graph.donor), "right") - 1
    within = (
        farthest[np.maximum(at, 0)] >= keys(graph.gene, graph.acceptor)
        if len(farthest)
        else np.zeros(len(at), bool)
    ) & (at >= 0)
    # A farther end of the gene before has a smaller key, so it never passes for this gene's.
    seen = find(kept, keys(graph.donor, graph.acceptor)) >= 0
    some = np.flatnonzero(within | seen)
    left, right = graph.donor[some], graph.acceptor[some]
    return _events(
        RI,
        graph.gene[some],
        left,
        left + 1,
        right - 1,
        right,
        within[some],
        graph.annotated[some],
    )


def _events(
    kind: int,
    gene: Ints,
    left: Ints,
    start: Ints,
    end: Ints,
    right: Ints,
    known_inclusion: Flags,
    known_exclusion: Flags,
    second: tuple[Ints, Ints] | None = None,
) -> Events:
    start2, end2 = second or (np.zeros_like(start), np.zeros_like(start))
    return Events(
        np.full(len(gene), kind, np.int64),
        gene,
        left,
        start,
        end,
        start2,
        end2,
        right,
        known_inclusion,
        known_exclusion,
    )


def _runs(*columns: Ints) -> Ints:
    """Number of the run of equal rows that each row belongs to."""
    rows = np.stack(columns)
    new = np.ones(rows.shape[1], np.int64)
    new[1:] = (rows[:, 1:] != rows[:, :-1]).any(axis=0)
    return np.cumsum(new)
