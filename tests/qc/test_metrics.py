"""Metrics from what the tools write; numbers of SRR6357070 (yeast, reverse-stranded)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from seqharvest.errors import InputError
from seqharvest.qc import metrics

STAR_LOG = """\
                                 Started job on |	Nov 22 16:15:01
                          Number of input reads |	46987
                                    UNIQUE READS:
                   Uniquely mapped reads number |	39323
                        Uniquely mapped reads % |	83.69%
                       Number of splices: Total |	1023
                             MULTI-MAPPING READS:
        Number of reads mapped to multiple loci |	3685
             % of reads mapped to multiple loci |	7.84%
        Number of reads mapped to too many loci |	1828
                                  UNMAPPED READS:
  Number of reads unmapped: too many mismatches |	0
            Number of reads unmapped: too short |	2146
                Number of reads unmapped: other |	5
"""


def test_mapping_shares_are_of_the_reads_before_trimming() -> None:
    found = metrics.from_star(STAR_LOG, examined=50_000)
    # TRUTH.tsv has 77.15 % for the untrimmed reads: STAR's own 83.69 % would flatter the library.
    assert found["unique_share"] == pytest.approx(39_323 / 50_000)
    assert found["unmapped_short_share"] == pytest.approx(2146 / 50_000)


def test_a_cut_off_star_log_is_refused() -> None:
    with pytest.raises(InputError, match=r"Log\.final\.out is not whole"):
        metrics.from_star(STAR_LOG[:400], examined=50_000)


def test_strandedness_comes_from_the_counts_of_both_strands() -> None:
    genes, special = metrics.read_counts(
        [
            "N_unmapped\t100\t100\t100",
            "N_multimapping\t7\t7\t7",
            "N_noFeature\t2000\t36000\t1700",
            "N_ambiguous\t5\t1\t2",
            "YGR192C\t900\t40\t860",
            "RDN58-1\t100\t5\t95",
        ]
    )
    share = metrics.forward_share(genes)
    assert share == pytest.approx(45 / 1000)
    assert metrics.strandedness(share) == "reverse"
    found = metrics.from_counts(genes, special, "reverse", {"RDN58-1", "not_counted"})
    assert found["assigned_share"] == pytest.approx(955 / (955 + 1702))
    assert found["rrna_share"] == pytest.approx(95 / (955 + 1702))


def test_rrna_is_unknown_where_the_release_names_none() -> None:
    found = metrics.from_counts({"g": (9, 9, 0)}, {}, "forward", set())
    assert found["rrna_share"] is None


def test_few_fragments_tell_no_strand() -> None:
    assert metrics.forward_share({"g": (10, 0, 10)}) is None
    assert metrics.strandedness(None) == "unstranded"


@given(st.floats(0, 1))
def test_the_opposite_library_has_the_opposite_strandedness(share: float) -> None:
    opposite = {"forward": "reverse", "reverse": "forward", "unstranded": "unstranded"}
    # 1 - share is not exact at the very limits
    if abs(share - 0.8) > 1e-9 and abs(share - 0.2) > 1e-9:
        assert metrics.strandedness(1 - share) == opposite[metrics.strandedness(share)]


def test_counts_that_are_not_0_are_kept_with_stars_own_rows_last(tmp_path: Path) -> None:
    rows = ["N_unmapped\t100\t100\t100", "N_ambiguous\t0\t0\t0", "g1\t9\t1\t8", "g2\t0\t0\t0"]
    metrics.write_counts(*metrics.read_counts(rows), tmp_path / "counts.parquet")
    assert parquet.read_table(tmp_path / "counts.parquet").to_pylist() == [
        {"gene_id": "g1", "unstranded": 9, "forward": 1, "reverse": 8},
        {"gene_id": "N_unmapped", "unstranded": 100, "forward": 100, "reverse": 100},
    ]
