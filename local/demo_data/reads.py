"""Draws a run's fragments from the known isoform fractions and writes them as FASTQ."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from local.demo_data.genes import Gene, Isoform, splice

READ = 100  # bases
FRAGMENT_MEAN, FRAGMENT_SD = 250, 40
FRAGMENT_RANGE = (READ + 10, 400)  # no read-through into the adapter in a good library
GOOD_ERROR, BAD_ERROR = 0.003, 0.03
#: Of a bad library: genes, another organism, adapter read-through, dark clusters (all G). STAR
#: needs 50 times as long for a foreign pair as for a good one (in a small genome all its seeds fall
#: into one window), so those are few.
BAD_SHARES = (0.15, 0.10, 0.25, 0.50)
BAD_YIELD = 0.5  # of the reads of a good run
SHORT_INSERT = 35  # of adapter read-through; fastp sees an overlap from 30 on
RRNA_SHARE = 0.02
ADAPTERS = (
    "AGATCGGAAGAGCACACGTCTGAACTCCAGTCAC",
    "AGATCGGAAGAGCGTCGTGTAGGGAAAGAGTGTA",
)

Codes = npt.NDArray[np.uint8]  # 0-3 for A, C, G, T
Numbers = npt.NDArray[np.int64]
_LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)
#: Phred of (good, fair, poor) bases as Illumina's binned qualities write them.
_QUALITIES = np.frombuffer(b"F:,", dtype=np.uint8)


@dataclass(frozen=True)
class Target:
    """An isoform that reads come from, with its expected share of all molecules."""

    gene: Gene
    isoform: Isoform
    tpm: float
    fraction: float  # of its gene's molecules


@dataclass(frozen=True)
class Fragments:
    """Where fragments lie: index of the target, start and length in its transcript (sorted)."""

    target: Numbers
    start: Numbers
    length: Numbers


def expression(seed: int, genes: list[Gene], condition: int, sample: int) -> list[Target]:
    """Expected TPM of every isoform in one sample (condition 0 or 1): fractions are exact,
    gene levels vary by about 15 % between samples."""
    base = np.random.default_rng([seed, 1]).lognormal(0.0, 0.45, len(genes))
    noise = np.random.default_rng([seed, 2, sample]).lognormal(0.0, 0.15, len(genes))
    level = base * noise
    lengths = np.array([gene.isoforms[0].length - FRAGMENT_MEAN for gene in genes])
    is_rrna = np.array([gene.biotype == "rRNA" for gene in genes])
    messengers = float((level * lengths)[~is_rrna].sum())
    level[is_rrna] = messengers * RRNA_SHARE / (1 - RRNA_SHARE) / lengths[is_rrna]
    level *= 1e6 / level.sum()
    return [
        Target(gene, isoform, float(level[i]) * isoform.fractions[condition], fraction)
        for i, gene in enumerate(genes)
        for isoform in gene.isoforms
        if (fraction := isoform.fractions[condition]) > 0
    ]


def draw_fragments(rng: np.random.Generator, targets: list[Target], count: int) -> Fragments:
    """Draw fragments in proportion to TPM × effective length, evenly along each transcript."""
    lengths = np.array([target.isoform.length for target in targets])
    weights = np.array([t.tpm for t in targets]) * (lengths - FRAGMENT_MEAN + 1)
    per_target = rng.multinomial(count, weights / weights.sum())
    index = np.repeat(np.arange(len(targets)), per_target)
    size = np.rint(rng.normal(FRAGMENT_MEAN, FRAGMENT_SD, count)).astype(np.int64)
    size = np.minimum(np.clip(size, *FRAGMENT_RANGE), lengths[index])
    start = (rng.random(count) * (lengths[index] - size + 1)).astype(np.int64)
    return Fragments(index, start, size)


def mates(targets: list[Target], fragments: Fragments) -> tuple[Codes, Codes]:
    """Error-free mates of a reverse-stranded (dUTP) library: mate 1 is antisense."""
    texts = [splice(t.gene.sequence, t.isoform.exons) for t in targets]
    offsets = np.cumsum([0, *(len(text) for text in texts)])[:-1]
    pool = _codes("".join(texts))
    first = (offsets[fragments.target] + fragments.start)[:, None]
    along = np.arange(READ)
    antisense = 3 - pool[first + fragments.length[:, None] - 1 - along]
    return antisense.astype(np.uint8), pool[first + along]


def foreign_mates(
    rng: np.random.Generator, foreign: int, short: int, dark: int
) -> tuple[Codes, Codes]:
    """Mates that are not from the genome: another organism, adapter read-through, dark clusters."""
    pool = rng.integers(0, 4, 60_000, dtype=np.uint8)
    start = rng.integers(0, len(pool) - FRAGMENT_MEAN, foreign + short)[:, None]
    along = np.arange(READ)
    long_start, short_start = start[:foreign], start[foreign:]
    insert = pool[short_start + along[:SHORT_INSERT]]
    inserts = (insert, 3 - insert[:, ::-1])
    # Behind an adapter there is nothing left to read: two-colour chemistry calls that G.
    tails = [_codes(adapter.ljust(READ - SHORT_INSERT, "G")) for adapter in ADAPTERS]
    longs = (pool[long_start + along], 3 - pool[long_start + FRAGMENT_MEAN - 1 - along])
    nothing = np.tile(_codes("G" * READ), (dark, 1))
    one, two = (
        np.concatenate([mate, np.hstack([part, np.tile(tail, (short, 1))]), nothing])
        for mate, part, tail in zip(longs, inserts, tails, strict=True)
    )
    return one.astype(np.uint8), two.astype(np.uint8)


def write_fastq(
    rng: np.random.Generator, run: str, mate: int, codes: Codes, path: Path, *, bad: bool
) -> None:
    """Add sequencing errors and qualities, then write a gzip file that only the seed decides."""
    count = len(codes)
    wrong = rng.random((count, READ)) < _error_rate(bad)
    shift = rng.integers(1, 4, (count, READ), dtype=np.uint8)
    letters = _LETTERS[np.where(wrong, (codes + shift) % 4, codes)]
    record = np.concatenate(
        [
            np.broadcast_to(_bytes(f"@{run}."), (count, len(run) + 2)),
            _digits(count),
            np.broadcast_to(_bytes(f"/{mate}\n"), (count, 3)),
            letters,
            np.broadcast_to(_bytes("\n+\n"), (count, 3)),
            _qualities(rng, wrong, bad),
            np.broadcast_to(_bytes("\n"), (count, 1)),
        ],
        axis=1,
    )
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 1, raw, mtime=0) as out:
        out.write(record.tobytes())


def _error_rate(bad: bool) -> npt.NDArray[np.float64]:
    """Per cycle; a bad run gets worse towards the end."""
    if bad:
        return np.linspace(0.5, 1.5, READ) * BAD_ERROR
    return np.full(READ, GOOD_ERROR)


def _qualities(rng: np.random.Generator, wrong: npt.NDArray[np.bool_], bad: bool) -> Codes:
    draw = rng.random(wrong.shape)
    if bad:
        poor = np.linspace(0.15, 0.65, READ)
        return _QUALITIES[(draw < 0.85).astype(np.int8) + (draw < poor)]
    fair, poor_share = 0.06, 0.01
    bins = (draw < fair).astype(np.int8) + (draw < poor_share)
    bins[wrong & (bins == 0)] = 1  # an error is seldom called with full confidence
    return _QUALITIES[bins]


def _digits(count: int) -> Codes:
    numbers = np.arange(1, count + 1)[:, None] // 10 ** np.arange(6, -1, -1) % 10
    return (numbers + ord("0")).astype(np.uint8)


def _codes(sequence: str) -> Codes:
    table = np.zeros(256, dtype=np.uint8)
    table[_LETTERS] = np.arange(4)
    return table[_bytes(sequence)]


def _bytes(text: str) -> Codes:
    return np.frombuffer(text.encode(), dtype=np.uint8)
