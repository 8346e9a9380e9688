"""From annotation, genome and junctions to tables of events, their isoforms and junction classes.

A contig at a time, a strand at a time: memory follows the longest contig and not the genome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqharvest.errors import InputError
from seqharvest.splicing.events import TYPES, Events, Limits, event_ids, find_events
from seqharvest.splicing.exome import Exome
from seqharvest.splicing.forms import EXACT, FITS, Pairs, fitting, judged
from seqharvest.splicing.genome import Genome
from seqharvest.splicing.junctions import Junctions, junctions_of, retained
from seqharvest.splicing.models import DECAY, NONCODING, RANKS, Annotation, Strand, strand_of
from seqharvest.splicing.productivity import (
    CLASSES,
    LONG_EXON,
    NONPRODUCTIVE,
    PRODUCTIVE,
    RULE,
    RULES,
    Judge,
    Verdicts,
)
from seqharvest.splicing.ragged import Flags, Ints, firsts, matches
from seqharvest.splicing.tables import (
    EVENT_ISOFORMS,
    JUNCTION_CLASSES,
    SPLICING_EVENTS,
    TRANSCRIPT_CLASSES,
)

_RULE_NAMES = np.array([name for name, _, _ in RULES], object)
_CLASS_NAMES = np.array(CLASSES, object)
_RANK_NAMES = np.array(RANKS, object)
_FIT_NAMES = np.array([*FITS, "annotated"], object)
_ANNOTATED = len(FITS)
_FORMS = (True, False)  # inclusion, exclusion


@dataclass(frozen=True)
class Found:
    """What is known of one contig (or, united, of all)."""

    events: pa.Table
    isoforms: pa.Table
    junctions: pa.Table
    transcripts: pa.Table


def analyse(
    annotation: Annotation,
    genome: Genome,
    pooled: pa.Table,
    retention: pa.Table | None = None,
    limits: Limits | None = None,
) -> Found:
    """Find and judge everything, in tables as `tables` describes them.

    `pooled` is of `junctions.pool`; `retention` is described in `junctions.retained`.
    """
    parts = list(by_contig(annotation, genome, pooled, retention, limits))
    return Found(
        *(
            pa.concat_tables([getattr(part, name) for part in parts])
            for name in ("events", "isoforms", "junctions", "transcripts")
        )
    )


def by_contig(
    annotation: Annotation,
    genome: Genome,
    pooled: pa.Table,
    retention: pa.Table | None = None,
    limits: Limits | None = None,
) -> Iterator[Found]:
    """The same contig by contig, each gone from memory before the next comes."""
    seen = pc.unique(pooled["chrom"]).to_pylist()
    for contig in [*annotation.contigs, *sorted(set(seen) - set(annotation.contigs))]:
        here = pooled.filter(pc.equal(pooled["chrom"], contig))
        _check_places(annotation, contig, here, genome.length(contig))
        strands = [
            _Analysis(strand_of(annotation, contig, sign, genome.length(contig)), here)
            for sign in "+-"
        ]
        for one in strands:
            one.run(genome, retention, limits or Limits())
        yield Found(
            pa.concat_tables([one.events for one in strands]),
            pa.concat_tables([one.isoforms for one in strands]),
            pa.concat_tables([*(one.junctions for one in strands), _of_no_strand(here, strands)]),
            pa.concat_tables([one.transcripts for one in strands]),
        )


class _Analysis:
    """One strand of one contig."""

    events: pa.Table
    isoforms: pa.Table
    junctions: pa.Table
    transcripts: pa.Table

    def __init__(self, strand: Strand, pooled: pa.Table) -> None:
        self.strand = strand
        self.found = junctions_of(strand, pooled)

    def run(self, genome: Genome, retention: pa.Table | None, limits: Limits) -> None:
        """Find the events and judge what there is."""
        strand, found = self.strand, self.found
        kept = retained(strand, retention, limits.min_retention_reads, limits.min_covered)
        events = find_events(strand, found, kept, limits)
        self._ids = np.array(event_ids(strand, events), object)
        coding = strand.coding[strand.exon_transcript]
        blocks = [events.block(inclusion) for inclusion in _FORMS]
        second = blocks[1][0] > 0
        exome = Exome(
            strand,
            genome,
            np.concatenate([strand.exon_start[coding], blocks[0][0], blocks[1][0][second]]),
            np.concatenate([strand.exon_end[coding], blocks[0][1], blocks[1][1][second]]),
        )
        judge = Judge(strand, exome)
        flanks = events.left, events.right
        pairs = fitting(strand, judge.order, events.gene, flanks, tuple(blocks))
        verdicts = [judged(strand, judge, pairs, flanks, block) for block in blocks]
        self._genes_code = np.zeros(len(strand.gene_ids), bool)
        self._genes_code[strand.gene[strand.coding]] = True
        self.transcripts = self._transcript_table(judge)
        self.events = self._event_table(events, pairs, verdicts)
        self.isoforms = self._isoform_table(events, pairs, verdicts)
        self.junctions = self._junction_table(
            _candidates(strand, found, judge, events, pairs, verdicts)
        )

    def _transcript_table(self, judge: Judge) -> pa.Table:
        coding = judge.coding
        has = np.ones(len(coding), bool)
        biotypes = np.array([*self.strand.biotypes, ""], object)
        return TRANSCRIPT_CLASSES.from_columns(
            {
                **self._gene_columns(self.strand.gene[coding]),
                **self._transcript_columns(coding, has),
                "biotype": self._text(biotypes[coding]),
                "class": self._text(_CLASS_NAMES[judge.own.group]),
                "rule": self._text(_RULE_NAMES[judge.own.rule]),
                **_judged_columns(judge.own, has),
            }
        )

    def _event_table(self, events: Events, pairs: Pairs, verdicts: list[Verdicts]) -> pa.Table:
        strand = self.strand
        begin = firsts(pairs.owner)
        first = np.full(len(events), -1, np.int64)
        first[pairs.owner[begin]] = begin
        has, at = first >= 0, np.maximum(first, 0)
        nothing = np.where(
            self._genes_code[events.gene], RULE["no_compatible_transcript"], RULE["noncoding_gene"]
        )
        rules = [
            np.where(has, np.append(one.rule, 0)[at], nothing) if len(one.rule) else nothing
            for one in verdicts
        ]
        classes = [_class_of(rule) for rule in rules]
        together = verdicts[0].group * len(CLASSES) + verdicts[1].group
        same = together == np.repeat(together[begin], np.diff(np.append(begin, len(together))))
        start, end = strand.genomic(events.start, events.end)
        start2, end2 = strand.genomic(events.start2, events.end2)
        left, right = strand.genomic(events.left, events.right)
        transcript = np.append(pairs.transcript, 0)[np.where(has, at, -1)]
        return SPLICING_EVENTS.from_columns(
            {
                "event_id": self._text(self._ids),
                "event_type": self._text(
                    np.array([name for name, _ in TYPES], object)[events.kind]
                ),
                **self._gene_columns(events.gene),
                "chrom": self._text([strand.contig] * len(events)),
                "strand": self._text([strand.sign] * len(events)),
                "start": start,
                "end": end,
                "start_2": pa.array(start2, mask=events.start2 == 0),
                "end_2": pa.array(end2, mask=events.start2 == 0),
                "flank_start": left,
                "flank_end": right,
                "length": end - start + 1,
                "annotated_inclusion": events.known_inclusion,
                "annotated_exclusion": events.known_exclusion,
                "inclusion_class": self._text(_CLASS_NAMES[classes[0]]),
                "inclusion_rule": self._text(_RULE_NAMES[rules[0]]),
                "exclusion_class": self._text(_CLASS_NAMES[classes[1]]),
                "exclusion_rule": self._text(_RULE_NAMES[rules[1]]),
                "nonproductive_form": self._text(_nonproductive(*classes)),
                **self._transcript_columns(transcript, has),
                "fit": self._text(_named(_FIT_NAMES, np.append(pairs.fit, 0)[at], has)),
                "transcripts": np.bincount(pairs.owner, minlength=len(events)),
                "agreeing": np.bincount(pairs.owner, same, minlength=len(events)).astype(np.int64),
            }
        )

    def _isoform_table(self, events: Events, pairs: Pairs, verdicts: list[Verdicts]) -> pa.Table:
        first = np.zeros(len(pairs.owner), bool)
        first[firsts(pairs.owner)] = True
        always = np.ones(len(first), bool)
        tables = [
            EVENT_ISOFORMS.from_columns(
                {
                    "event_id": self._text(self._ids[pairs.owner]),
                    **self._gene_columns(events.gene[pairs.owner]),
                    "form": self._text(["inclusion" if inclusion else "exclusion"] * len(first)),
                    **self._transcript_columns(pairs.transcript, always),
                    "fit": self._text(_FIT_NAMES[pairs.fit]),
                    "class": self._text(_CLASS_NAMES[one.group]),
                    "rule": self._text(_RULE_NAMES[one.rule]),
                    **_judged_columns(one, always),
                    "first": first,
                }
            )
            for inclusion, one in zip(_FORMS, verdicts, strict=True)
        ]
        return pa.concat_tables(tables)

    def _junction_table(self, offered: _Candidates) -> pa.Table:
        strand, found = self.strand, self.found
        count = len(found.donor)
        best = offered.best(count)
        has, at = best >= 0, np.maximum(best, 0)
        gene, transcript, rule = self._without(offered, has, at)
        start, end = strand.genomic(found.donor + 1, found.acceptor - 1)
        verdicts = offered.verdicts.take(at) if len(offered.junction) else None
        event = np.where(has, np.append(offered.event, -1)[np.where(has, at, -1)], -1)
        fit = np.append(offered.fit, 0)[np.where(has, at, -1)]
        fit = np.where(has, fit, _ANNOTATED)
        return JUNCTION_CLASSES.from_columns(
            {
                "chrom": self._text([strand.contig] * count),
                "intron_start": start,
                "intron_end": end,
                "strand": self._text([strand.sign] * count),
                **self._gene_columns(gene),
                "annotated": found.annotated,
                "class": self._text(_CLASS_NAMES[_class_of(rule)]),
                "rule": self._text(_RULE_NAMES[rule]),
                **self._transcript_columns(np.maximum(transcript, 0), transcript >= 0),
                "fit": self._text(_named(_FIT_NAMES, fit, transcript >= 0)),
                "event_id": self._text(_named(self._ids, event, event >= 0)),
                **_judged_columns(verdicts, has),
                **offered.annotated_counts(count),
            }
        )

    def _without(self, offered: _Candidates, has: Flags, at: Ints) -> tuple[Ints, Ints, Ints]:
        """Gene, transcript and rule of each junction, also where nothing was judged."""
        strand, found = self.strand, self.found
        count = len(found.donor)
        gene = np.full(count, -1, np.int64)
        gene[found.link_junction[::-1]] = found.link_gene[::-1]  # the first of several
        codes = np.zeros(count, bool)
        np.logical_or.at(codes, found.link_junction, self._genes_code[found.link_gene])
        transcript = np.full(count, -1, np.int64)
        carrier, donor, acceptor = strand.introns()
        mute = np.flatnonzero(strand.rank[carrier] == NONCODING)[::-1]
        transcript[found.find(donor[mute], acceptor[mute])] = carrier[mute]
        rule = np.select(
            [gene < 0, ~codes, transcript >= 0],
            [RULE["no_gene"], RULE["noncoding_gene"], RULE["noncoding_transcript"]],
            RULE["no_compatible_transcript"],
        )
        if len(offered.junction):
            transcript = np.where(has, offered.transcript[at], transcript)
            rule = np.where(has, offered.verdicts.rule[at], rule)
            gene = np.where(has, strand.gene[np.maximum(transcript, 0)], gene)
        return gene, transcript, rule

    def _gene_columns(self, gene: Ints) -> dict[str, Any]:
        ids, names = self.strand.gene_ids, self.strand.gene_names
        return {
            "gene_id": self._text(_named(np.array([*ids, ""], object), gene, gene >= 0)),
            "gene_name": self._text(_named(np.array([*names, ""], object), gene, gene >= 0)),
        }

    def _transcript_columns(self, transcript: Ints, has: Flags) -> dict[str, Any]:
        ids = np.array([*self.strand.transcript_ids, ""], object)
        rank = np.append(self.strand.rank, 0)
        return {
            "transcript_id": self._text(_named(ids, transcript, has)),
            "transcript_rank": self._text(_named(_RANK_NAMES, rank[transcript], has)),
        }

    @staticmethod
    def _text(values: Any) -> pa.Array:
        return pa.array(values, pa.string())


@dataclass(frozen=True)
class _Candidates:
    """What a junction's class may be taken from: a transcript with it, and its verdict."""

    junction: Ints
    transcript: Ints
    priority: Ints
    order: Ints  # of the transcript in its gene
    event: Ints  # -1 where no event was asked
    fit: Ints
    verdicts: Verdicts

    def best(self, count: int) -> Ints:
        """The candidate that speaks for each junction; -1 where there is none.

        Of equals the productive one: a junction that protein can be made with is not poison.
        """
        best = np.full(count, -1, np.int64)
        if len(self.junction):
            by = np.lexsort(
                (
                    self.event,
                    self.transcript,
                    self.verdicts.group,
                    self.order,
                    self.priority,
                    self.junction,
                )
            )
            begin = by[firsts(self.junction[by])]
            best[self.junction[begin]] = begin
        return best

    def annotated_counts(self, count: int) -> dict[str, Ints]:
        """How many annotated coding transcripts with each junction are of either kind."""
        counts = {}
        for name, group in (("productive", PRODUCTIVE), ("nonproductive", NONPRODUCTIVE)):
            mine = (self.fit == _ANNOTATED) & (self.verdicts.group == group)
            counts[f"{name}_transcripts"] = np.bincount(self.junction[mine], minlength=count)
        return counts


def _candidates(
    strand: Strand,
    found: Junctions,
    judge: Judge,
    events: Events,
    pairs: Pairs,
    verdicts: list[Verdicts],
) -> _Candidates:
    """All that junctions can be judged by, in this order of trust: a transcript annotated with it
    and known to code; an event's form that fits exactly; a transcript annotated with it that
    decays; a form or the lone junction where it fits less well; one that cannot be read."""
    carrier = _carriers(strand, found, judge)
    parts = [carrier]
    for inclusion, one in zip(_FORMS, verdicts, strict=True):
        event, donor, acceptor = events.form_introns(inclusion)
        intron, pair = matches(pairs.owner, event)
        junction = found.find(donor, acceptor)[intron]
        parts.append(
            _modelled(judge, junction, pairs.take(pair), one.take(pair), pairs.owner[pair])
        )
    parts.append(_lone(strand, found, judge, carrier.junction))
    whole = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("junction", "transcript", "priority", "order", "event", "fit")
    }
    judged_by = Verdicts(
        *(
            np.concatenate([getattr(part.verdicts, name) for part in parts])
            for name in Verdicts.__dataclass_fields__
        )
    )
    return _Candidates(**whole, verdicts=judged_by)


def _carriers(strand: Strand, found: Junctions, judge: Judge) -> _Candidates:
    number = np.full(len(strand.gene), -1, np.int64)
    number[judge.coding] = np.arange(len(judge.coding))
    transcript, donor, acceptor = strand.introns()
    coding = np.flatnonzero(number[transcript] >= 0)
    transcript = transcript[coding]
    order = judge.order[transcript]
    return _Candidates(
        found.find(donor[coding], acceptor[coding]),
        transcript,
        np.select([order < DECAY, order == DECAY], [0, 2], 4),
        order,
        np.full(len(coding), -1, np.int64),
        np.full(len(coding), _ANNOTATED, np.int64),
        judge.own.take(number[transcript]),
    )


def _modelled(
    judge: Judge, junction: Ints, pairs: Pairs, verdicts: Verdicts, event: Ints
) -> _Candidates:
    order = judge.order[pairs.transcript]
    trusted = (pairs.fit == EXACT) & (order <= DECAY)
    priority = np.select([trusted, order <= DECAY], [1, 3], 4)
    known = np.flatnonzero(junction >= 0)
    return _Candidates(
        junction[known],
        pairs.transcript[known],
        priority[known],
        order[known],
        event[known],
        pairs.fit[known],
        verdicts.take(known),
    )


def _lone(strand: Strand, found: Junctions, judge: Judge, carried: Ints) -> _Candidates:
    """Junctions that no coding transcript has, put into those whose exons they begin and end in."""
    link = np.flatnonzero(~np.isin(found.link_junction, carried))
    junction = found.link_junction[link]
    flanks = found.donor[junction], found.acceptor[junction]
    nothing = np.zeros_like(junction), np.full_like(junction, -1)
    pairs = fitting(strand, judge.order, found.link_gene[link], flanks, (nothing,))
    verdicts = judged(strand, judge, pairs, flanks, nothing)
    none = np.full(len(pairs.owner), -1, np.int64)
    return _modelled(judge, junction[pairs.owner], pairs, verdicts, none)


def _check_places(annotation: Annotation, contig: str, pooled: pa.Table, length: int) -> None:
    """Raise `InputError` where annotation or junctions go beyond the genome."""
    number = annotation.contigs.index(contig) if contig in annotation.contigs else -1
    exons = annotation.contig[annotation.exon_transcript] == number
    for what, ends in (
        ("annotation", annotation.exon_end[exons]),
        ("junctions", pooled["intron_end"].to_numpy() + 1),
    ):
        if len(ends) and (farthest := int(ends.max())) > length:
            raise InputError(
                f"the {what} go to {contig}:{farthest}, the FASTA has {length} bases of it",
                "use FASTA, GTF and junctions of the same release",
            )


def _of_no_strand(pooled: pa.Table, strands: list[_Analysis]) -> pa.Table:
    """Rows for junctions of undefined strand that no strand has taken."""
    dots = pooled.filter(pc.equal(pooled["strand"], "."))
    start, end = (dots[name].to_numpy().astype(np.int64) for name in ("intron_start", "intron_end"))
    left = np.ones(len(start), bool)
    for one in strands:
        first, last = one.strand.genomic(start, end)
        left &= one.found.find(first - 1, last + 1) < 0
    count = int(left.sum())
    nothing = np.zeros(count, np.int64)
    rule = "strand_unknown"
    blank = {
        column.name: pa.nulls(count, column_type.type)
        for column, column_type in zip(
            JUNCTION_CLASSES.columns, JUNCTION_CLASSES.arrow, strict=True
        )
        if column.nullable
    }
    return JUNCTION_CLASSES.from_columns(
        {
            **blank,
            "chrom": dots["chrom"].filter(pa.array(left)),
            "intron_start": start[left],
            "intron_end": end[left],
            "strand": pa.array(["."] * count, pa.string()),
            "annotated": nothing > 0,
            "class": pa.array([CLASSES[RULES[RULE[rule]][1]]] * count, pa.string()),
            "rule": pa.array([rule] * count, pa.string()),
            "productive_transcripts": nothing,
            "nonproductive_transcripts": nothing,
        }
    )


def _judged_columns(verdicts: Verdicts | None, has: Flags) -> dict[str, Any]:
    """What a verdict was judged by, as columns; null where there is nothing to tell."""
    if verdicts is None:
        columns = (c for c in EVENT_ISOFORMS.arrow if c.name in _JUDGED_NAMES)
        return {column.name: pa.nulls(len(has), column.type) for column in columns}
    met = has & (verdicts.start_to_stop >= 0)
    distance = verdicts.stop_to_junction
    return {
        "stop_to_junction": pa.array(distance, mask=~met | (distance < -(1 << 40))),
        "start_to_stop": pa.array(verdicts.start_to_stop, mask=~met),
        "start_proximal": pa.array(verdicts.start_proximal, mask=~met),
        "stop_exon_length": pa.array(verdicts.stop_exon_length, mask=~met),
        "long_stop_exon": pa.array(verdicts.stop_exon_length > LONG_EXON, mask=~met),
        "last_exon_length": pa.array(verdicts.last_exon_length, mask=~has),
        "long_last_exon": pa.array(verdicts.last_exon_length > LONG_EXON, mask=~has),
        "same_stop": pa.array(verdicts.same_stop, mask=~met),
    }


_JUDGED_NAMES = frozenset(
    {
        *("stop_to_junction", "start_to_stop", "start_proximal", "stop_exon_length"),
        *("long_stop_exon", "last_exon_length", "long_last_exon", "same_stop"),
    }
)


def _class_of(rule: Ints) -> Ints:
    return np.array([of for _, of, _ in RULES])[rule]


def _nonproductive(inclusion: Ints, exclusion: Ints) -> list[str | None]:
    """Which form is destroyed; None where a form's class is not known."""
    names = np.array(["none", "exclusion", "inclusion", "both"], object)
    told = (inclusion <= NONPRODUCTIVE) & (exclusion <= NONPRODUCTIVE)
    number = 2 * (inclusion == NONPRODUCTIVE) + (exclusion == NONPRODUCTIVE)
    return _named(names, number, told)


def _named(names: Any, number: Ints, has: Flags) -> list[str | None]:
    found = np.full(len(number), None, object)
    found[has] = names[number[has]]
    listed: list[str | None] = found.tolist()
    return listed
