"""Makes the whole demo series in a folder: reference, reads, sheet and truth."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from local.demo_data.design import CONDITIONS, DemoRun, design, write_series
from local.demo_data.genes import Gene
from local.demo_data.reads import (
    BAD_SHARES,
    BAD_YIELD,
    Codes,
    Fragments,
    Target,
    draw_fragments,
    expression,
    foreign_mates,
    mates,
    write_fastq,
)
from local.demo_data.reference import build_reference, write_reference
from local.demo_data.truth import Truth


def generate(
    out: Path,
    *,
    seed: int = 1,
    accession: str = "GSE900001",
    pairs: int = 12_000,
    samples: tuple[str, ...] = (),
) -> None:
    """Make the series, so that OUT exists only when it is whole; an old OUT is replaced.

    Raises `InputError` for a sample or accession that the demo does not have.
    """
    runs = design(accession, samples)
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "fastq").mkdir(parents=True)
    reference = build_reference(seed)
    write_reference(reference, unfinished / "reference")
    write_series(accession, runs, unfinished)
    truth = Truth(reference.genes)
    for run in runs:
        targets, fragments, reads = write_run(
            seed, run, reference.genes, pairs, unfinished / "fastq"
        )
        truth.add(run, targets, fragments, reads)
    truth.write(unfinished / "truth")
    shutil.rmtree(out, ignore_errors=True)
    unfinished.replace(out)


def write_run(
    seed: int, run: DemoRun, genes: list[Gene], pairs: int, folder: Path
) -> tuple[list[Target], Fragments, int]:
    """Write one run's FASTQ; return what it was drawn from and how many reads (or pairs) it has."""
    sample = run.sample
    rng = np.random.default_rng([seed, 3, int(run.run[3:])])
    targets = expression(seed, genes, CONDITIONS.index(sample.condition), run.number)
    genuine, *others = [int(pairs * BAD_YIELD * share) for share in BAD_SHARES]
    fragments = draw_fragments(rng, targets, genuine if sample.bad else pairs)
    both = mates(targets, fragments)
    if sample.bad:
        one, two = foreign_mates(rng, *others)
        both = (np.concatenate([both[0], one]), np.concatenate([both[1], two]))
    order = rng.permutation(len(both[0]))
    for mate, (name, codes) in enumerate(zip(run.files, both, strict=False), start=1):
        shuffled: Codes = codes[order]
        write_fastq(rng, run.run, mate, shuffled, folder / name, bad=sample.bad)
    return targets, fragments, len(order)
