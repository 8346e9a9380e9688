"""Alignments against a gene model small enough to count by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.qc import alignments


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Two genes on the second contig: A (+) 1,000-1,999 and 3,000-3,999, B (-) 6,000-7,999."""
    (tmp_path / "chrName.txt").write_text("one\ntwo\n")
    (tmp_path / "chrStart.txt").write_text("0\n262144\n524288\n")
    (tmp_path / "geneInfo.tab").write_text("2\nA\tA\tprotein_coding\nB\tB\tprotein_coding\n")
    exons = [(1000, 1999, 1, 0, 0), (3000, 3999, 1, 0, 0), (6000, 7999, 2, 1, 1)]
    rows = [(262144 + a, 262144 + b, *more) for a, b, *more in exons]
    text = "".join("\t".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "exonGeTrInfo.tab").write_text(f"{len(rows)}\n{text}")
    return tmp_path


def sam(name: str, position: int, cigar: str, hits: int = 1) -> str:
    """A record of contig two; `position` counts from 0."""
    return f"{name}\t0\ttwo\t{position + 1}\t255\t{cigar}\t*\t0\t0\tA\tI\tNH:i:{hits}\tHI:i:1\n"


def test_bases_are_told_apart_by_exon_intron_and_outside(index: Path) -> None:
    model = alignments.load_model(index)
    lines = [
        "@HD\tVN:1.4\n",
        sam("a", 1950, "50M1000N50M"),  # spliced: 100 exonic
        sam("a", 1960, "40M1000N60M"),  # its mate: 100 exonic, the same fragment
        sam("b", 1990, "100M"),  # 10 exonic, 90 intronic
        sam("c", 5950, "10S50M2D48M"),  # 50 outside, 50 exonic
        sam("d", 1000, "100M", hits=2),  # not unique
    ]
    found = alignments.measure(alignments.read_sam(lines, model.contigs), model)
    assert found["spliced"] == 1
    assert found["metrics"]["exonic_share"] == pytest.approx(260 / 400)
    assert found["metrics"]["intronic_share"] == pytest.approx(90 / 400)
    assert found["metrics"]["intergenic_share"] == pytest.approx(50 / 400)
    assert found["metrics"]["coverage_5_to_3"] is None  # too few to tell


def test_coverage_runs_from_5_to_3_on_either_strand(index: Path) -> None:
    model = alignments.load_model(index)
    even = [sam(f"e{i}", p, "50M") for p in range(6000, 7951, 2) for i in (0,)]
    found = alignments.measure(alignments.read_sam(even, model.contigs), model)
    assert found["metrics"]["coverage_5_to_3"] == pytest.approx(1, abs=0.02)
    # Gene B is on the minus strand: its 3' end is on the left.
    left = [sam(f"l{i}", 6000 + i, "50M") for i in range(800)]
    found = alignments.measure(alignments.read_sam(left, model.contigs), model)
    assert found["metrics"]["coverage_5_to_3"] == pytest.approx(0, abs=0.01)
    assert found["coverage_profile"][0] == 0 and found["coverage_profile"][-2] > 1
    # Gene A is on the plus strand, over an intron: its 5' exon is on the left.
    left = [sam(f"l{i}", 1000 + i, "50M") for i in range(900)]
    found = alignments.measure(alignments.read_sam(left, model.contigs), model)
    assert found["coverage_profile"][0] > 0 and found["coverage_profile"][-1] == 0


@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 30)), min_size=1, max_size=20),
    st.lists(st.tuples(st.integers(0, 220), st.integers(1, 40)), min_size=1, max_size=20),
)
def test_covered_bases_are_those_counted_one_by_one(
    union: list[tuple[int, int]], blocks: list[tuple[int, int]]
) -> None:
    starts = np.array([a for a, _ in union])
    ends = np.array([a + n for a, n in union])
    inside = {base for a, n in union for base in range(a, a + n)}
    expected = sum(base in inside for a, n in blocks for base in range(a, a + n))
    regions = alignments.Regions(starts, ends)
    assert expected == regions.covered(
        np.array([a for a, _ in blocks]), np.array([a + n for a, n in blocks])
    )
