"""Small made genomes for the classifier, and a plain reader that it is compared with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pyarrow as pa

from seqharvest.splicing.analysis import Found, analyse
from seqharvest.splicing.genome import Genome
from seqharvest.splicing.gtf import read_gtf
from seqharvest.splicing.junctions import pool

STOPS = ("TAA", "TAG", "TGA")
Exons = list[tuple[int, int]]  # from 1, inclusive, left to right


@dataclass(frozen=True)
class Model:
    """A transcript; `start` is the base its start codon begins with, in its own direction."""

    gene: str
    name: str
    exons: Exons
    strand: str = "+"
    start: int = 0
    tags: tuple[str, ...] = ()
    biotype: str = "protein_coding"
    end: int = 0  # last coding base, in its own direction; 0: as far as the frame goes


@dataclass
class World:
    """A contig, its transcripts, and the junctions that samples have."""

    sequence: str
    models: list[Model]
    junctions: list[tuple[int, int, str]] = field(default_factory=list)  # intron, strand
    contig: str = "c"

    def mirrored(self) -> World:
        """The other strand of everything."""
        size = len(self.sequence) + 1

        def turn(exons: Exons) -> Exons:
            return [(size - b, size - a) for a, b in reversed(exons)]

        return World(
            complement(self.sequence),
            [
                replace(
                    m,
                    exons=turn(m.exons),
                    strand="-" if m.strand == "+" else "+",
                    start=size - m.start if m.start else 0,
                    end=size - m.end if m.end else 0,
                )
                for m in self.models
            ],
            [(size - b, size - a, "-" if s == "+" else "+") for a, b, s in self.junctions],
        )

    def write(self, folder: Path, order: Random | None = None) -> None:
        """Write genome.fa and genes.gtf; with `order` the records are shuffled."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [self.sequence[i : i + 70] for i in range(0, len(self.sequence), 70)]
        (folder / "genome.fa").write_text("\n".join([f">{self.contig} made", *rows]) + "\n")
        lines = [line for model in self.models for line in self.records(model)]
        if order:
            order.shuffle(lines)
        (folder / "genes.gtf").write_text("#!made\n" + "".join(lines))

    def records(self, model: Model) -> Iterable[str]:
        """Lines of the GTF, CDS without its stop codon."""
        notes = f'gene_id "{model.gene}"; transcript_id "{model.name}"; gene_name "N{model.gene}";'
        notes += f' transcript_biotype "{model.biotype}";'
        notes += "".join(f' tag "{tag}";' for tag in model.tags)

        def line(feature: str, start: int, end: int, frame: str = ".") -> str:
            fields = (self.contig, "made", feature, start, end, ".", model.strand, frame, notes)
            return "\t".join(map(str, fields)) + "\n"

        for exon in model.exons:
            yield line("exon", *exon)
        yield from (line("CDS", *span, frame) for *span, frame in self._cds(model))

    def _cds(self, model: Model) -> list[tuple[int, int, str]]:
        if not model.start:
            return []
        places = spliced(model.exons, model.strand)
        at = places.index(model.start)
        if model.end:
            coding = set(places[at : places.index(model.end) + 1])
        else:
            stop = first_stop(self.text(places), at)
            coding = set(places[at : stop if stop >= 0 else len(places)])
        parts, done = [], 0
        for a, b in model.exons if model.strand == "+" else reversed(model.exons):
            mine = [p for p in range(a, b + 1) if p in coding]
            if mine:
                parts.append((min(mine), max(mine), str(-done % 3)))
                done += len(mine)
        return parts

    def text(self, places: list[int]) -> str:
        """Bases at places in the order of transcription."""
        letters = [self.sequence[p - 1] for p in places]
        turned = len(places) > 1 and places[0] > places[-1]
        return complement("".join(reversed(letters))) if turned else "".join(letters)

    def analyse(
        self, folder: Path, order: Random | None = None, retention: pa.Table | None = None
    ) -> Found:
        """Classify it."""
        self.write(folder, order)
        pooled = pool([junction_table({"s": {j: 10 for j in self.junctions}}, self.contig)])
        genome = Genome(folder / "genome.fa")
        return analyse(read_gtf(folder / "genes.gtf"), genome, pooled, retention)


def junction_table(
    samples: dict[str, dict[tuple[int, int, str], int]], contig: str = "c"
) -> pa.Table:
    """The lake's `junctions`, as far as splicing reads it."""
    rows = [(name, *place, n) for name, counts in samples.items() for place, n in counts.items()]
    return pa.table(
        {
            "sample": pa.array([row[0] for row in rows], pa.string()),
            "chrom": pa.array([contig] * len(rows), pa.string()),
            "intron_start": pa.array([row[1] for row in rows], pa.int64()),
            "intron_end": pa.array([row[2] for row in rows], pa.int64()),
            "strand": pa.array([row[3] for row in rows], pa.string()),
            "unique_reads": pa.array([row[4] for row in rows], pa.int64()),
        }
    )


def complement(text: str) -> str:
    """Read the other strand."""
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


def spliced(exons: Exons, strand: str) -> list[int]:
    """Places of a transcript's bases in the order of transcription."""
    places = [p for a, b in exons for p in range(a, b + 1)]
    return places if strand == "+" else places[::-1]


def first_stop(text: str, start: int) -> int:
    """First stop codon in frame; -1 where there is none."""
    return next((i for i in range(start, len(text) - 2, 3) if text[i : i + 3] in STOPS), -1)


def plain_verdict(world: World, model: Model, exons: Exons) -> str:
    """The class of a changed transcript, base by base: what the fast reader must say too."""
    original = spliced(model.exons, model.strand)
    at = original.index(model.start)
    codon = original[at : at + 3]
    places = spliced(exons, model.strand)
    begin = places.index(codon[0]) if codon[0] in places else -1
    if begin < 0 or places[begin : begin + 3] != codon:
        return "start_lost"
    stop = first_stop(world.text(places), begin)
    if stop < 0:
        return "no_stop"
    gaps = [i + 1 for i, (p, q) in enumerate(pairwise(places)) if abs(p - q) != 1]
    if not gaps:
        return "single_exon"
    distance = max(gaps) - (stop + 3)
    if distance > 50:
        return "stop_before_last_junction"
    return "stop_near_last_junction" if distance > 0 else "stop_in_last_exon"


def change(model: Model, event: dict[str, object], form: str) -> Exons:
    """Put an event's form into a transcript, base by base."""
    left, right = int(str(event["flank_start"])), int(str(event["flank_end"]))
    bases = {p for a, b in model.exons for p in range(a, b + 1) if p <= left or p >= right}
    block = ("start", "end") if form == "inclusion" else ("start_2", "end_2")
    if event[block[0]] is not None:
        bases |= set(range(int(str(event[block[0]])), int(str(event[block[1]])) + 1))
    exons: Exons = []
    for place in sorted(bases):
        if exons and exons[-1][1] == place - 1:
            exons[-1] = (exons[-1][0], place)
        else:
            exons.append((place, place))
    return exons


def random_world(seed: int) -> World:
    """A gene or two with exons down to one base, variants, and junctions that are not annotated."""
    random = Random(seed)
    scarce = random.choice((1, 3, 8))  # T of 24: from long reading frames to short ones
    letters = "T" * scarce + "ACG" * ((24 - scarce) // 3)
    sequence = [random.choice(letters) for _ in range(random.randint(900, 2600))]
    exons: Exons = []
    at = random.randint(1, 40)
    while at < len(sequence) - 150:
        size = random.choice((1, 2, 3, 20, 50, 90, 150))
        exons.append((at, at + size - 1))
        at += size + random.randint(4, 120)
    exons = exons[: random.randint(3, 12)]
    places = spliced(exons, "+")
    start = random.randrange(0, max(1, min(len(places) // 2, 120)))
    for step, base in enumerate("ATG"):
        if start + step < len(places):
            sequence[places[start + step] - 1] = base
    models = [Model("g1", "t0", exons, "+", places[start], ("MANE_Select",))]
    junctions: list[tuple[int, int, str]] = []
    for number in range(random.randint(1, 6)):
        other = _variant(random, exons)
        kind = random.random()
        if kind < 0.5:
            junctions += [(a[1] + 1, b[0] - 1, "+") for a, b in pairwise(other)]
        else:
            coding = kind < 0.85 and places[start] in spliced(other, "+")
            first = places[start] if coding else 0
            models.append(Model("g1", f"t{number + 1}", other, "+", first))
    world = World("".join(sequence), models, sorted(set(junctions)))
    return world.mirrored() if random.random() < 0.5 else world


def _variant(random: Random, exons: Exons) -> Exons:
    other = list(exons)
    for _ in range(random.randint(1, 3)):
        if len(other) == 1:
            break
        i = random.randrange(0, len(other) - 1)
        (a, b), (c, d) = other[i], other[i + 1]
        kind = random.choice(("skip", "donor", "acceptor", "keep", "new"))
        if kind == "skip" and i > 0 and len(other) > 3:
            del other[i]
        elif kind == "donor" and a <= (moved := b + random.randint(-30, 30)) < c - 1:
            other[i] = (a, moved)
        elif kind == "acceptor" and b + 1 < (moved := c + random.randint(-30, 30)) <= d:
            other[i + 1] = (moved, d)
        elif kind == "keep":
            other[i : i + 2] = [(a, d)]
        elif kind == "new" and c - b > 12:
            begin = random.randint(b + 3, c - 6)
            other.insert(i + 1, (begin, random.randint(begin, c - 3)))
    return other
