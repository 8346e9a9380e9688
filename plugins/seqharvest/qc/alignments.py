"""Where a subsample's alignments lie on the annotation: read from STAR's SAM as it streams past.

The gene model is the one inside STAR's index (`exonGeTrInfo.tab`, `geneInfo.tab`, `chrStart.txt`):
it is on the host anyway and is read in a second for human, where a GTF takes half a minute.

- **spliced**: uniquely mapped fragments with an intron (N in the CIGAR of a mate).
- **exonic, intronic, intergenic**: shares of the aligned bases of uniquely mapped reads that lie on
  an exon of any gene, else within a gene, else outside (Picard CollectRnaSeqMetrics' PCT_…_BASES,
  with UTRs counted as exons).
- **coverage profile**: for the longest transcript of each protein-coding gene of 1,000 nt or more,
  the reads on each hundredth from 5' to 3' (RSeQC geneBody_coverage), each gene scaled to the same
  height and weighted by its reads, at most `WEIGHT`, so that no single gene makes the profile.
- **coverage_5_to_3**: mean of the profile over its hundredths 10 to 29, divided by 70 to 89
  (Qualimap's 5'-3' bias, away from the ends, where annotation is least sure). 1 is even.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: Below so many fragments' worth of bases on measured transcripts, a ratio of fifths is noise.
MINIMUM_COVERAGE_READS = 500
MINIMUM_TRANSCRIPT = 1_000
WEIGHT = 50
BINS = 100
FIVE_PRIME = slice(10, 30)
THREE_PRIME = slice(70, 90)
#: Bins a profile is told in: for a plot, a hundred are more than a subsample can fill.
TOLD_BINS = 20
CODING = "protein_coding"

Integers = npt.NDArray[np.int64]
_CIGAR = re.compile(r"(\d+)([MIDNSHPX=])")
_PLUS, _MINUS = 1, 2  # STAR's codes of a strand


class Regions:
    """A union of intervals of the genome that tells how many bases of others it covers."""

    def __init__(self, starts: Integers, ends: Integers) -> None:
        order = np.argsort(starts, kind="stable")
        starts, ends = starts[order], np.maximum.accumulate(ends[order])
        first = np.ones(len(starts), dtype=bool)
        first[1:] = starts[1:] > ends[:-1]
        self.starts = starts[first]
        self.ends = ends[np.append(first[1:], True)] if len(starts) else ends
        self.before = np.concatenate(([0], np.cumsum(self.ends - self.starts)))

    def covered(self, starts: Integers, ends: Integers) -> int:
        """Bases of the blocks (half-open) that lie within the union."""
        return int((self._up_to(ends) - self._up_to(starts)).sum())

    def _up_to(self, places: Integers) -> Integers:
        """Bases of the union before each place."""
        if not len(self.starts):
            return np.zeros(len(places), dtype=np.int64)
        at = np.searchsorted(self.starts, places, side="right") - 1
        within = np.minimum(places, self.ends[at]) - self.starts[at]
        return np.where(at < 0, 0, self.before[at] + np.maximum(within, 0))


@dataclass(frozen=True)
class Transcripts:
    """The exons of one long transcript a gene, in genome order, for the coverage profile."""

    starts: Integers
    ends: Integers
    offset: Integers  # bases of the transcript left of the exon, in genome order
    owner: Integers  # number of the transcript, from 0
    length: Integers  # by transcript
    minus: npt.NDArray[np.bool_]  # by transcript


@dataclass(frozen=True)
class Model:
    """Genes of a release, on one line of all contigs; half-open intervals."""

    contigs: dict[str, int]  # name → where it starts
    exons: Regions
    genes: Regions
    transcripts: Transcripts


@dataclass
class Blocks:
    """Aligned blocks of uniquely mapped reads on the line of all contigs."""

    starts: Integers
    ends: Integers
    spliced: int  # fragments


def load_model(index: Path) -> Model:
    """Read the gene model of a STAR index."""
    names = (index / "chrName.txt").read_text().split()
    places = [int(place) for place in (index / "chrStart.txt").read_text().split()]
    rows = np.loadtxt(index / "exonGeTrInfo.tab", skiprows=1, dtype=np.int64, ndmin=2)
    starts, ends, strand, gene, transcript = rows.T  # ends are inclusive in the file
    ends = ends + 1
    low = np.full(gene.max() + 1, np.iinfo(np.int64).max)
    high = np.zeros(gene.max() + 1, dtype=np.int64)
    np.minimum.at(low, gene, starts)
    np.maximum.at(high, gene, ends)
    seen = high > 0
    return Model(
        contigs=dict(zip(names, places, strict=False)),
        exons=Regions(starts, ends),
        genes=Regions(low[seen], high[seen]),
        transcripts=_longest(starts, ends, strand, gene, transcript, _coding(index)),
    )


def _coding(index: Path) -> npt.NDArray[np.bool_]:
    """Which genes are protein-coding; all, where the annotation does not say of any."""
    lines = (index / "geneInfo.tab").read_text().splitlines()[1:]
    coding = np.array([line.split("\t")[-1] == CODING for line in lines])
    return coding if coding.any() else np.ones(len(lines), dtype=bool)


def _longest(
    starts: Integers,
    ends: Integers,
    strand: Integers,
    gene: Integers,
    transcript: Integers,
    coding: npt.NDArray[np.bool_],
) -> Transcripts:
    length = np.bincount(transcript, weights=ends - starts).astype(np.int64)
    gene_of = np.zeros(len(length), dtype=np.int64)
    gene_of[transcript] = gene
    by_length = np.lexsort((np.arange(len(length)), -length, gene_of))
    best = by_length[np.unique(gene_of[by_length], return_index=True)[1]]
    best = best[(length[best] >= MINIMUM_TRANSCRIPT) & coding[gene_of[best]]]
    number = np.full(len(length), -1)
    number[best] = np.arange(len(best))
    kept = np.flatnonzero(number[transcript] >= 0)
    kept = kept[np.lexsort((starts[kept], number[transcript[kept]]))]
    owner = number[transcript[kept]]
    sizes = ends[kept] - starts[kept]
    before = np.cumsum(sizes) - sizes
    first = np.unique(owner, return_index=True)[1]
    offset = before - before[first][owner] if len(kept) else before
    minus = np.zeros(len(best), dtype=bool)
    minus[owner] = strand[kept] == _MINUS
    order = np.argsort(starts[kept], kind="stable")
    return Transcripts(
        starts=starts[kept][order],
        ends=ends[kept][order],
        offset=offset[order],
        owner=owner[order],
        length=length[best],
        minus=minus,
    )


def read_sam(lines: Iterable[str], contigs: dict[str, int]) -> Blocks:
    """Read the aligned blocks of uniquely mapped reads (NH:i:1)."""
    starts: list[int] = []
    ends: list[int] = []
    spliced = 0
    last = ""
    for line in lines:
        if line.startswith("@") or "\tNH:i:1\t" not in line:
            continue
        name, _, contig, position, _, cigar, _ = line.split("\t", 6)
        if "N" in cigar and name != last:  # a fragment once, though both mates cross
            spliced += 1
            last = name
        place = contigs[contig] + int(position) - 1
        begin = place
        for size, kind in _CIGAR.findall(cigar):
            if kind == "N":
                starts.append(begin)
                ends.append(place)
                place += int(size)
                begin = place
            elif kind in "MD=X":  # a deletion of a few bases does not end a block
                place += int(size)
        starts.append(begin)
        ends.append(place)
    return Blocks(np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64), spliced)


def measure(blocks: Blocks, model: Model) -> dict[str, Any]:
    """Shares of bases, and the coverage from 5' to 3'; None where there is too little."""
    aligned = int((blocks.ends - blocks.starts).sum())
    exonic = model.exons.covered(blocks.starts, blocks.ends)
    genic = model.genes.covered(blocks.starts, blocks.ends)
    shares = {
        "exonic_share": exonic,
        "intronic_share": genic - exonic,
        "intergenic_share": aligned - genic,
    }
    profile = coverage_profile(blocks, model.transcripts)
    ratio = None
    told = None
    if profile is not None:
        three = profile[THREE_PRIME].mean()
        ratio = float(profile[FIVE_PRIME].mean() / three) if three else None
        told = profile.reshape(TOLD_BINS, -1).mean(axis=1)
    return {
        "spliced": blocks.spliced,
        "metrics": {
            **{name: part / aligned if aligned else None for name, part in shares.items()},
            "coverage_5_to_3": ratio,
        },
        "coverage_profile": [] if told is None else [round(float(x), 3) for x in told],
    }


def coverage_profile(blocks: Blocks, transcripts: Transcripts) -> npt.NDArray[np.float64] | None:
    """Mean coverage of each hundredth of the transcripts, 5' first, with a mean of 1."""
    if not len(transcripts.starts) or not len(blocks.starts):
        return None
    # By its middle a block has one exon, also where genes overlap.
    middle = (blocks.starts + blocks.ends) // 2
    exon = np.searchsorted(transcripts.starts, middle, side="right") - 1
    hit = (exon >= 0) & (middle < transcripts.ends[exon])
    exon = exon[hit]
    if len(exon) < MINIMUM_COVERAGE_READS:
        return None
    begin = np.maximum(blocks.starts[hit], transcripts.starts[exon]) - transcripts.starts[exon]
    end = np.minimum(blocks.ends[hit], transcripts.ends[exon]) - 1 - transcripts.starts[exon]
    owner = transcripts.owner[exon]
    length = transcripts.length[owner]
    left = (transcripts.offset[exon] + begin) * BINS // length
    right = (transcripts.offset[exon] + end) * BINS // length
    minus = transcripts.minus[owner]
    first = np.where(minus, BINS - 1 - right, left)
    last = np.where(minus, BINS - 1 - left, right)
    steps = np.zeros((len(transcripts.length), BINS + 1))
    np.add.at(steps, (owner, first), 1)
    np.add.at(steps, (owner, last + 1), -1)
    coverage = steps.cumsum(axis=1)[:, :BINS]
    reads = np.bincount(owner, minlength=len(coverage))
    seen = reads > 0
    coverage, reads = coverage[seen], reads[seen]
    scaled = coverage / coverage.mean(axis=1, keepdims=True)
    profile = (scaled * np.minimum(reads, WEIGHT)[:, None]).sum(axis=0)
    return np.asarray(profile / profile.mean())


def main(arguments: list[str] | None = None) -> int:
    """Read SAM from the standard input, write what was measured as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m seqharvest.qc.alignments", description=main.__doc__
    )
    parser.add_argument("--index", type=Path, required=True, help="folder of STAR's index")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    model = load_model(given.index)
    blocks = read_sam(sys.stdin, model.contigs)
    given.out.write_text(json.dumps(measure(blocks, model)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
