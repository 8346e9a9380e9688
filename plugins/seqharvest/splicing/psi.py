"""How much of each event's inclusion form a sample has, from reads over junctions.

Per type, with I and E the reads for the inclusion and the exclusion form, PSI = I / (I + E):

- cassette exon: I = mean of the two junctions into and out of the exon, E = the junction that
  skips it (SplAdder: Kahles et al. 2016, Bioinformatics 32:1840).
- alternative 5' or 3' site: I = the junction of the longer exon, E = the shorter's (SplAdder).
- retained intron: I = mean of the unspliced reads over the intron's two boundaries, E = the
  junction (percent intron retention: Braunschweig et al. 2014, Genome Research 24:1774).
- mutually exclusive exons: I = mean of the two junctions of the exon that is first in the direction
  of transcription, E = mean of the other's (SplAdder, whose table reports 1 - PSI).

So each form's reads are the mean over its junctions. The interval is of Beta(I + 1/2, E + 1/2); see
`beta`. The mean of two junctions has less noise than one, so it errs towards a wide interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqharvest.splicing.beta import interval
from seqharvest.splicing.events import RI, TYPES, Events
from seqharvest.splicing.ragged import Ints, find
from seqharvest.splicing.tables import EVENT_PSI

_RI = TYPES[RI][0]


def event_psi(events: pa.Table, junctions: pa.Table, retention: pa.Table | None = None) -> pa.Table:
    """PSI of every event in every sample of a `junctions` table; no row where nothing was read.

    Retained introns are told only where there is a `retention` table (see `junctions.retained`).
    """
    counted = _Counted(events)
    tables = list(counted.rows(junctions, retention))
    return pa.concat_tables(tables) if tables else EVENT_PSI.arrow.empty_table()


class _Counted:
    """The junctions of a table of events, to be looked up in sample after sample."""

    def __init__(self, events: pa.Table) -> None:
        self._events = events
        numbers = {
            name: pc.fill_null(events[name], 0).to_numpy()
            for name in ("start", "end", "start_2", "end_2", "flank_start", "flank_end")
        }
        nothing = np.zeros(events.num_rows, np.int64)
        flat = Events(
            nothing,
            nothing,
            numbers["flank_start"],
            numbers["start"],
            numbers["end"],
            numbers["start_2"],
            numbers["end_2"],
            numbers["flank_end"],
            nothing > 0,
            nothing > 0,
        )
        self._places = _Places(events["chrom"], events["strand"])
        self._forms = [self._form(flat, inclusion) for inclusion in (True, False)]
        self._is_retained = pc.equal(events["event_type"], _RI).to_numpy()
        self._intron = self._places.add(np.arange(events.num_rows), flat.left + 1, flat.right - 1)
        self._places.close()

    def rows(self, junctions: pa.Table, retention: pa.Table | None) -> Iterator[pa.Table]:
        """A table for each sample that has a junction."""
        names = pc.unique(junctions["sample"]).to_pylist()
        for name in sorted(names):
            mine = junctions.filter(pc.equal(junctions["sample"], name))
            kept = None
            if retention is not None:
                kept = retention.filter(pc.equal(retention["sample"], name))
            yield self._sample(name, mine, kept)

    def _form(self, events: Events, inclusion: bool) -> tuple[Ints, Ints]:
        """Numbers of each event's left and right junction in a form; -1 where there is none."""
        event, donor, acceptor = events.form_introns(inclusion)
        place = self._places.add(event, donor + 1, acceptor - 1)
        left = np.full(len(events), -1, np.int64)
        right = np.full(len(events), -1, np.int64)
        # form_introns has the left junction of an event before its right one.
        second = np.zeros(len(event), bool)
        second[1:] = event[1:] == event[:-1]
        left[event[~second]] = place[~second]
        right[event[second]] = place[second]
        return left, right

    def _sample(self, name: str, junctions: pa.Table, retention: pa.Table | None) -> pa.Table:
        reads = self._places.counts(junctions, "unique_reads")
        sides = [[self._of(reads, place) for place in form] for form in self._forms]
        if retention is not None:
            for side, column in enumerate(("start_reads", "end_reads")):
                unspliced = self._of(self._places.counts(retention, column), self._intron)
                sides[0][side] = np.where(self._is_retained, unspliced, sides[0][side])
        means = [
            np.where(right < 0, left, (left + np.maximum(right, 0)) / 2) for left, right in sides
        ]
        told = (means[0] + means[1]) > 0
        if retention is None:
            told &= ~self._is_retained
        at = np.flatnonzero(told)
        inclusion, exclusion = means[0][at], means[1][at]
        low, high = interval(inclusion, exclusion)
        psi = inclusion / (inclusion + exclusion)
        columns = {
            "sample": pa.array([name] * len(at), pa.string()),
            **{
                column: self._events[column].take(at)
                for column in ("event_id", "gene_id", "event_type")
            },
            "inclusion_reads_left": sides[0][0][at],
            "inclusion_reads_right": _nullable(sides[0][1][at]),
            "exclusion_reads_left": sides[1][0][at],
            "exclusion_reads_right": _nullable(sides[1][1][at]),
            "inclusion": inclusion,
            "exclusion": exclusion,
            "psi": psi,
            # The prior draws towards the middle: a share near an edge may lie outside, by a hair.
            "psi_low": np.minimum(low, psi),
            "psi_high": np.maximum(high, psi),
        }
        return EVENT_PSI.from_columns(columns)

    @staticmethod
    def _of(reads: Ints, place: Ints) -> Ints:
        return np.where(place >= 0, np.append(reads, 0)[place], -1)


class _Places:
    """Numbers for introns, so that a sample's reads are an array."""

    def __init__(self, chrom: pa.ChunkedArray, strand: pa.ChunkedArray) -> None:
        encoded = pc.unique(chrom)
        self._contigs = encoded
        self._minus = pc.equal(strand, "-").to_numpy()
        self._contig = pc.index_in(chrom, encoded).to_numpy()
        self._added: list[np.ndarray] = []
        self._known = np.zeros((0, 3), np.int64)
        self._count = 0

    def add(self, event: Ints, start: Ints, end: Ints) -> Ints:
        """Take introns of events; return their numbers."""
        group = self._contig[event] * 2 + self._minus[event]
        self._added.append(np.stack([group, start, end]))
        numbers = np.arange(self._count, self._count + len(event))
        self._count += len(event)
        return numbers

    def close(self) -> None:
        """Sort what was added; `counts` can be asked from now on."""
        every = np.concatenate(self._added, axis=1)
        self._starts = np.unique(every[0] << 32 | every[1])
        self._ends, self._number = np.unique(
            find(self._starts, every[0] << 32 | every[1]) << 32 | every[2], return_inverse=True
        )

    def counts(self, table: pa.Table, column: str) -> Ints:
        """Reads of a table at each number; a row of undefined strand counts for both."""
        reads = np.zeros(len(self._ends), np.int64)
        contig = pc.fill_null(pc.index_in(table["chrom"], self._contigs), -1).to_numpy()
        sign = table["strand"].to_numpy()
        start, end = (table[name].to_numpy() for name in ("intron_start", "intron_end"))
        values = table[column].to_numpy()
        for minus, sure in ((0, "+"), (1, "-")):
            own = np.flatnonzero((contig >= 0) & ((sign == sure) | (sign == ".")))
            group = contig[own].astype(np.int64) * 2 + minus
            begin = find(self._starts, group << 32 | start[own])
            at = np.where(begin >= 0, find(self._ends, np.maximum(begin, 0) << 32 | end[own]), -1)
            np.add.at(reads, at[at >= 0], values[own[at >= 0]])
        return reads[self._number]


def _nullable(values: Ints) -> pa.Array:
    return pa.array(values, mask=values < 0)
