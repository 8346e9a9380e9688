"""Junctions of annotation and samples together, on one strand, with the genes they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seqharvest.splicing.models import Strand, span_of_genes
from seqharvest.splicing.ragged import Flags, Ints, expand, find, firsts, keys, matches

PLACE = ["chrom", "intron_start", "intron_end", "strand"]


@dataclass(frozen=True)
class Junctions:
    """Unique junctions of a strand, sorted; a donor is the last base before the intron, an
    acceptor the first behind it. `link_*` are the (junction, gene) pairs, sorted."""

    donor: Ints
    acceptor: Ints
    annotated: Flags
    best: Ints  # most unique reads in one sample; 0 where no sample has it
    link_junction: Ints
    link_gene: Ints

    def find(self, donor: Ints, acceptor: Ints) -> Ints:
        """Index of each junction; -1 where there is none."""
        return find(keys(self.donor, self.acceptor), keys(donor, acceptor))


def pool(tables: Iterable[pa.Table]) -> pa.Table:
    """Unite samples' `junctions` tables: each place once, with samples, reads and best sample.

    Takes table after table, so that memory grows with the places and not with the samples.
    """
    whole: pa.Table | None = None
    for table in tables:
        one = _united(
            table.select([*PLACE, "unique_reads"])
            .append_column("best", table["unique_reads"])
            .append_column("samples", pc.cast(pc.greater(table["unique_reads"], 0), pa.int64()))
        )
        whole = one if whole is None else _united(pa.concat_tables([whole, one]))
    if whole is None:
        text = {name: pa.array([], pa.string()) for name in ("chrom", "strand")}
        numbers = ("intron_start", "intron_end", "unique_reads", "best", "samples")
        whole = pa.table({**text, **{name: pa.array([], pa.int64()) for name in numbers}})
    return whole.select([*PLACE, "unique_reads", "best", "samples"])


def junctions_of(strand: Strand, pooled: pa.Table) -> Junctions:
    """Junctions of a strand: the annotated ones and those of `pool` on its contig.

    A junction of undefined strand is taken where it shares a splice site with the annotation.
    """
    transcript, donor, acceptor = strand.introns()
    gene = strand.gene[transcript]
    seen = pooled.filter(pc.equal(pooled["chrom"], strand.contig))
    signs = seen["strand"].to_numpy(zero_copy_only=False)
    start, end = strand.genomic(
        seen["intron_start"].to_numpy().astype(np.int64),
        seen["intron_end"].to_numpy().astype(np.int64),
    )
    before, behind = start - 1, end + 1
    near = np.isin(before, donor) | np.isin(behind, acceptor)
    mine = (signs == strand.sign) | ((signs == ".") & near)
    all_keys = np.concatenate([keys(donor, acceptor), keys(before[mine], behind[mine])])
    places, at = np.unique(all_keys, return_inverse=True)
    annotated = np.zeros(len(places), bool)
    annotated[at[: len(donor)]] = True
    best = np.zeros(len(places), np.int64)
    np.maximum.at(best, at[len(donor) :], seen["best"].to_numpy()[mine])
    donors, acceptors = places >> 32, places & 0xFFFFFFFF
    links = _links(strand, donors, acceptors, annotated, at[: len(donor)], gene)
    return Junctions(donors, acceptors, annotated, best, *links)


def _united(table: pa.Table) -> pa.Table:
    """Sum and maximise over equal places."""
    grouped = table.group_by(PLACE).aggregate(
        [("unique_reads", "sum"), ("best", "max"), ("samples", "sum")]
    )
    return grouped.rename_columns(
        [name.removesuffix("_sum").removesuffix("_max") for name in grouped.column_names]
    )


def _links(
    strand: Strand, donor: Ints, acceptor: Ints, annotated: Flags, intron: Ints, gene: Ints
) -> tuple[Ints, Ints]:
    """Genes of each junction: those that have it annotated, else those whose splice site it
    shares, else the smallest that it lies in."""
    known = np.unique(keys(intron, gene))
    owner, owned = [known >> 32], [known & 0xFFFFFFFF]
    novel = np.flatnonzero(~annotated)
    for here, there in ((donor, donor[intron]), (acceptor, acceptor[intron])):
        sites = np.unique(keys(there, gene))
        at, site = matches(sites >> 32, here[novel])
        owner.append(novel[at])
        owned.append(sites[site] & 0xFFFFFFFF)
    left = np.setdiff1d(novel, np.concatenate(owner))
    around = _smallest_around(strand, donor[left], acceptor[left])
    owner.append(left[around >= 0])
    owned.append(around[around >= 0])
    links = np.unique(keys(np.concatenate(owner), np.concatenate(owned)))
    return links >> 32, links & 0xFFFFFFFF


def _smallest_around(strand: Strand, donor: Ints, acceptor: Ints) -> Ints:
    """Gene with the shortest span that holds each junction; -1 where none does."""
    first, last = span_of_genes(strand)
    order = np.argsort(first, kind="stable")
    first, last = first[order], last[order]
    farthest = np.maximum.accumulate(last) if len(last) else last
    found = np.full(len(donor), -1, np.int64)
    size = np.full(len(donor), np.iinfo(np.int64).max)
    at = np.searchsorted(first, donor, "right") - 1
    active = np.arange(len(donor))
    while len(active := active[at[active] >= 0]):
        active = active[farthest[at[active]] >= acceptor[active]]
        here = at[active]
        length = last[here] - first[here]
        better = (last[here] >= acceptor[active]) & (length < size[active])
        found[active[better]] = order[here[better]]
        size[active[better]] = length[better]
        at[active] -= 1
    return found


def retained(strand: Strand, retention: pa.Table | None, reads: int, covered: float) -> Ints:
    """Keys (donor, acceptor) of introns that some sample retains.

    `retention` has sample, chrom, intron_start, intron_end, strand, start_reads and end_reads
    (unspliced reads over the intron's left and right boundary) and covered (share of its bases).
    """
    if retention is None:
        return np.zeros(0, np.int64)
    seen = retention.filter(
        (pc.field("chrom") == strand.contig)
        & (pc.field("strand") == strand.sign)
        & (pc.field("start_reads") >= reads)
        & (pc.field("end_reads") >= reads)
        & (pc.field("covered") >= covered)
    )
    start, end = strand.genomic(seen["intron_start"].to_numpy(), seen["intron_end"].to_numpy())
    return np.unique(keys(start - 1, end + 1))


def pairs_within(group: Ints) -> tuple[Ints, Ints]:
    """All pairs i < j of neighbours in equal, sorted groups."""
    begins = firsts(group)
    sizes = np.diff(np.append(begins, len(group)))
    last = np.repeat(begins + sizes, sizes)
    owner, within = expand(last - np.arange(len(group)) - 1)
    return owner, owner + 1 + within
