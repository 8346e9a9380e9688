"""Classify every junction of an annotation of human size, on one core.

The annotation is made: genes with real reading frames, ten transcripts each (the whole one, with
exons skipped, sites moved, introns kept, poison exons in), and junctions that it lacks. The peer
reads each transcript as people do, base by base in Python; it is run on a part, and must agree.

    python -m bench.splicing [--genes 20000] [--transcripts 10] [--peer 500] [--folder F]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.stubs import REPO
from bench.table import Table, ratio

CONTIGS = 24
GAP = 5_000  # bases between genes
INTRON = (300, 3_700)
SENSE = [
    codon
    for a in "ACGT"
    for b in "ACGT"
    for c in "ACGT"
    if (codon := a + b + c) not in ("TAA", "TAG", "TGA")
]
#: Whole codons, then a stop.
FRAME = re.compile(r"(?:(?!TAA|TAG|TGA)[ACGT]{3})*")

Exons = list[tuple[int, int]]


@dataclass
class Transcript:
    """Exons in gene coordinates (0-based, half-open), and where its frame begins and ends."""

    exons: Exons
    start: int
    stop: int  # first base of the stop codon, spliced; -1 without a frame

    @property
    def nonproductive(self) -> bool:
        """By the 50-nt rule."""
        last = sum(end - start for start, end in self.exons[:-1])
        return last - (self.stop + 3) > 50


def main() -> None:
    """Make the annotation, classify it in a process of its own, and compare."""
    parser = argparse.ArgumentParser(prog="bench.splicing", description=__doc__)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--transcripts", type=int, default=10)
    parser.add_argument("--peer", type=int, default=500, help="genes that the peer classifies")
    parser.add_argument("--folder", type=Path, help="keep what was made here")
    parser.add_argument("--classify", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.classify:
        print(json.dumps(classify(given.folder)))
        return
    with tempfile.TemporaryDirectory(prefix="bench-splicing-") as made:
        folder = given.folder or Path(made)
        if not (folder / "junctions.parquet").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder, given.genes, given.transcripts)
        command = [sys.executable, "-m", "bench.splicing", "--classify", "--folder", str(folder)]
        ours = json.loads(subprocess.check_output(command, cwd=REPO))
        show(ours, peer(folder, given.peer), given.genes * given.transcripts)


def show(ours: dict[str, Any], theirs: dict[str, float], transcripts: int) -> None:
    """Print the table."""
    table = Table(
        f"Every junction of {transcripts:,} transcripts, on one core", "", "ours", "peer", "ratio"
    )
    judged = ours["transcripts"] + ours["candidates"]
    rate, peer_rate = judged / ours["seconds"], theirs["transcripts"] / theirs["seconds"]
    table.add("isoforms judged", judged, theirs["transcripts"], "")
    table.add("seconds, all", ours["seconds"], theirs["seconds"], "")
    table.add("of these on the processor", ours["processor"], "", "")
    table.add("isoforms a second", rate, peer_rate, ratio(rate, peer_rate))
    table.add("peak memory, MiB", ours["mib"], "", "")
    for name, shown in (
        ("read_gtf", "seconds for reading the GTF"),
        ("events", "events found"),
        ("junctions", "junctions classified"),
        ("novel", "of these not annotated"),
    ):
        table.add(shown, ours[name], "", "")
    wrong = theirs["wrong"]
    table.show(
        "Ours is everything: GTF, genome, events, forms on every fitting transcript, junctions; "
        "the peer is told the exons and reads annotated transcripts only. They differ in "
        f"{wrong:.0f} of {theirs['junctions']:,.0f} junctions.",
        f"By class: {ours['classes']}.",
    )


def classify(folder: Path) -> dict[str, object]:
    """Do the work, and say how long it took and how much memory."""
    from seqharvest.splicing.analysis import by_contig
    from seqharvest.splicing.genome import Genome
    from seqharvest.splicing.gtf import read_gtf
    from seqharvest.splicing.junctions import pool

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    began, processor = time.monotonic(), time.process_time()
    annotation = read_gtf(folder / "genes.gtf")
    read = time.monotonic() - began
    pooled = pool([pq.read_table(folder / "junctions.parquet")])
    events = isoforms = junctions = 0
    classes: dict[str, int] = {}
    writer = None
    for found in by_contig(annotation, Genome(folder / "genome.fa"), pooled):
        events += found.events.num_rows
        isoforms += found.isoforms.num_rows
        junctions += found.junctions.num_rows
        for row in pc.value_counts(found.junctions["class"]).to_pylist():
            classes[row["values"]] = classes.get(row["values"], 0) + row["counts"]
        writer = writer or pq.ParquetWriter(folder / "classes.parquet", found.junctions.schema)
        writer.write_table(found.junctions)
    if writer:
        writer.close()
    return {
        "seconds": time.monotonic() - began,
        "processor": time.process_time() - processor,
        "read_gtf": read,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "transcripts": len(annotation.transcript_ids),
        "events": events,
        "candidates": isoforms,
        "junctions": junctions,
        "novel": pq.read_metadata(folder / "novel.parquet").num_rows,
        "classes": ", ".join(f"{name} {count:,}" for name, count in sorted(classes.items())),
    }


def peer(folder: Path, genes: int) -> dict[str, float]:
    """Classify annotated junctions transcript by transcript, and compare with ours.

    A junction is productive if a transcript with it is; the made genes have no other ranks.
    """
    texts, lines = _slice(folder, genes)
    began = time.monotonic()
    classes: dict[tuple[int, int], bool] = {}
    count = 0
    for exons, start, minus in lines:
        text = "".join(texts[a - 1 : b] for a, b in exons)
        at = sum(max(0, min(b + 1, start) - a) for a, b in exons)
        if minus:
            text = text[::-1].translate(str.maketrans("ACGT", "TGCA"))
            at = len(text) - 1 - at
        lengths = [b - a + 1 for a, b in exons]
        last = sum(lengths[1:]) if minus else sum(lengths[:-1])
        stop = next(
            (i for i in range(at, len(text) - 2, 3) if text[i : i + 3] in ("TAA", "TAG", "TGA")), -1
        )
        good = stop >= 0 and last - (stop + 3) <= 50
        for (_, before), (behind, _) in pairwise(exons):
            place = (before + 1, behind - 1)
            classes[place] = classes.get(place, False) or good
        count += 1
    took = time.monotonic() - began
    ours = pq.read_table(
        folder / "classes.parquet",
        filters=[("chrom", "=", "chr1"), ("fit", "=", "annotated")],
        columns=["intron_start", "intron_end", "class"],
    ).to_pylist()
    known = {(row["intron_start"], row["intron_end"]): row["class"] for row in ours}
    both = classes.keys() & known.keys()
    wrong = sum(classes[place] != (known[place] == "productive") for place in both)
    return {"seconds": took, "transcripts": count, "junctions": len(both), "wrong": wrong}


def _slice(folder: Path, genes: int) -> tuple[str, list[tuple[Exons, int, bool]]]:
    """Sequence of chr1 and its first genes' transcripts: exons, start codon, strand."""
    with (folder / "genome.fa").open() as handle:
        handle.readline()
        rows = []
        for row in handle:
            if row.startswith(">"):
                break
            rows.append(row.strip())
    found: dict[str, tuple[Exons, list[int], bool]] = {}
    seen: set[str] = set()
    with (folder / "genes.gtf").open() as handle:
        for line in handle:
            contig, _, feature, start, end, _, sign, _, notes = line.split("\t")
            gene, transcript = notes.split('"')[1:4:2]
            seen.add(gene)
            if contig != "chr1" or len(seen) > genes:
                break
            exons, cds, _ = found.setdefault(transcript, ([], [], sign == "-"))
            if feature == "exon":
                exons.append((int(start), int(end)))
            elif feature == "CDS":
                cds += [int(start), int(end)]
    return "".join(rows), [
        (sorted(exons), max(cds) if minus else min(cds), minus)
        for exons, cds, minus in found.values()
        if cds
    ]


def make(folder: Path, genes: int, transcripts: int) -> None:
    """Write genome.fa, genes.gtf, junctions.parquet (all) and novel.parquet."""
    random = Random(1)
    rng = np.random.default_rng(1)
    introns: set[tuple[str, int, int, str]] = set()
    novel: set[tuple[str, int, int, str]] = set()
    number = 0
    with (folder / "genome.fa").open("wb") as fasta, (folder / "genes.gtf").open("w") as gtf:
        for contig in range(1, CONTIGS + 1):
            name, at, pieces = f"chr{contig}", 0, []
            while number < genes * contig // CONTIGS:
                number += 1
                text, models, new = _gene(random, rng, transcripts)
                minus = random.random() < 0.5
                pieces += [_random(rng, GAP), _turned(text) if minus else text]
                offset, at = at + GAP, at + GAP + len(text)
                place = _Place(name, offset, len(text), minus)
                for i, model in enumerate(models):
                    _write(gtf, place, f"G{number:06d}", f"T{number:06d}{i:02d}", model)
                    introns |= {place.intron(*pair) for pair in _introns(model.exons)}
                novel |= {place.intron(*pair) for pair in new}
            fasta.write(f">{name}\n".encode())
            fasta.write("".join(pieces).encode() + b"\n")
    for path, places in (("novel", novel - introns), ("junctions", novel | introns)):
        chrom, start, end, strand = zip(*sorted(places), strict=True)
        pq.write_table(
            pa.table(
                {
                    "chrom": chrom,
                    "intron_start": start,
                    "intron_end": end,
                    "strand": strand,
                    "unique_reads": [10] * len(chrom),
                }
            ),
            folder / f"{path}.parquet",
        )


@dataclass
class _Place:
    contig: str
    offset: int
    size: int
    minus: bool

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A half-open span of the gene on the contig, from 1, inclusive."""
        if self.minus:
            return self.offset + self.size - end + 1, self.offset + self.size - start
        return self.offset + start + 1, self.offset + end

    def intron(self, start: int, end: int) -> tuple[str, int, int, str]:
        """The place of a junction."""
        return self.contig, *self.span(start, end), "-" if self.minus else "+"


def _gene(
    random: Random, rng: np.random.Generator, count: int
) -> tuple[str, list[Transcript], list[tuple[int, int]]]:
    """Sequence, transcripts, and junctions that no transcript has."""
    exons_count = random.randint(6, 14)
    sizes = [random.randint(80, 220) for _ in range(exons_count)]
    utr = random.randint(20, sizes[0] - 30)
    tail = sizes[-1] // 2
    coding = (sum(sizes) - utr - tail) // 3 * 3
    codons = "".join(random.choices(SENSE, k=coding // 3 - 2))
    messenger = _random(rng, utr) + "ATG" + codons + "TAA"
    messenger += _random(rng, sum(sizes) - len(messenger) + random.randint(0, 1500))
    sizes[-1] += len(messenger) - sum(sizes)
    pieces, exons, poison, at, done = [], [], [], 0, 0
    for i, size in enumerate(sizes):
        exons.append((at, at + size))
        pieces.append(messenger[done : done + size])
        done, at = done + size, at + size
        if i < len(sizes) - 1:
            intron = random.randint(*INTRON)
            pieces.append(_random(rng, intron))
            begin = at + random.randint(100, intron - 180)
            poison.append((begin, begin + random.randint(30, 79)))
            at += intron
    text = "".join(pieces)
    models = [_transcript(text, exons, utr)]
    new: list[tuple[int, int]] = []
    for made in range(count - 1 + 4):
        other = _variant(random, exons, poison)
        if made < count - 1:
            models.append(_transcript(text, other, utr))
        else:
            new += _introns(other)
    return text, models, new


def _variant(random: Random, exons: Exons, poison: Exons) -> Exons:
    """One to two changes behind the first exon."""
    other = list(exons)
    for _ in range(random.randint(1, 2)):
        i = random.randrange(1, len(other) - 1)
        kind = random.choice(("skip", "poison", "donor", "acceptor", "keep"))
        start, end = other[i]
        if kind == "skip" and len(other) > 4:
            del other[i]
        elif kind == "poison":
            span = next((s for s in poison if other[i - 1][1] < s[0] and s[1] < start), None)
            other[i:i] = [span] if span else []
        elif kind == "donor":
            other[i] = (start, end + random.choice((-18, -7, 12, 25)))
        elif kind == "acceptor":
            other[i] = (start + random.choice((-21, -10, 9, 16)), end)
        elif kind == "keep":
            other[i - 1 : i + 1] = [(other[i - 1][0], end)]
    return other


def _transcript(text: str, exons: Exons, start: int) -> Transcript:
    spliced = "".join(text[a:b] for a, b in exons)
    match = FRAME.match(spliced, start)
    stop = match.end() if match else -1
    return Transcript(exons, start, stop if stop + 3 <= len(spliced) else -1)


def _introns(exons: Exons) -> list[tuple[int, int]]:
    return [(a[1], b[0]) for a, b in pairwise(exons)]


def _write(gtf: TextIO, place: _Place, gene: str, name: str, model: Transcript) -> None:
    canonical = name.endswith("00")
    decay = model.stop >= 0 and model.nonproductive
    biotype = "nonsense_mediated_decay" if decay else "protein_coding"
    notes = (
        f'gene_id "{gene}"; transcript_id "{name}"; gene_version "1"; gene_name "{gene}"; '
        f'gene_source "made"; gene_biotype "protein_coding"; transcript_biotype "{biotype}";'
    )
    sign = "-" if place.minus else "+"
    tags = ' tag "MANE_Select";' if canonical else ""
    whole = (model.exons[0][0], model.exons[-1][1])
    rows = [("transcript", *place.span(*whole), ".", notes + tags)]
    at = 0
    for start, end in model.exons:
        rows.append(("exon", *place.span(start, end), ".", notes))
        low, high = max(start, start + model.start - at), min(end, start + model.stop - at)
        if model.stop >= 0 and low < high:
            phase = -(max(at, model.start) - model.start) % 3
            rows.append(("CDS", *place.span(low, high), str(phase), notes))
        at += end - start
    gtf.write(
        "".join(
            f"{place.contig}\tmade\t{feature}\t{start}\t{end}\t.\t{sign}\t{phase}\t{text}\n"
            for feature, start, end, phase, text in rows
        )
    )


def _random(rng: np.random.Generator, size: int) -> str:
    codes = rng.integers(0, 4, size, dtype=np.uint8)
    return np.frombuffer(b"ACGT", np.uint8)[codes].tobytes().decode()


def _turned(text: str) -> str:
    return text[::-1].translate(str.maketrans("ACGT", "TGCA"))


if __name__ == "__main__":
    main()
