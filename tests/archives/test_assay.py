"""Labels lie: what tells bulk short-read RNA-Seq from its neighbours."""

from __future__ import annotations

import pytest

from seqharvest.archives.assay import unfit
from seqharvest.archives.model import Run

BULK = {
    "spots": 1000,
    "bases": 200_000,
    "sra_size": 5,
    "organism": "Homo sapiens",
    "strategy": "RNA-Seq",
    "source": "TRANSCRIPTOMIC",
    "selection": "cDNA",
    "platform": "ILLUMINA",
}


def run(title: str = "", protocol: str = "", **changes: object) -> Run:
    values = {**BULK, "title": title, **changes}
    metadata = {"library_construction_protocol": protocol} if protocol else {}
    return Run("SRR1", "SRX1", "paired", metadata=metadata, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (run("liver scRNA-seq rep1"), "single-cell"),
        (run("nuclei", "Chromium Single Cell 3' v3 (10x Genomics)"), "single-cell"),
        (run(source="TRANSCRIPTOMIC SINGLE CELL"), "single-cell"),
        (run("serum miRNA-seq"), "small RNA"),
        (run(selection="size fractionation"), "small RNA"),
        (run(bases=44_000), "small RNA"),
        (run("16S of gut"), "amplicon"),
        (run("H3K27ac ChIP-seq"), "another assay"),
        (run("ribosome profiling, heat"), "another assay"),
        (run(source="GENOMIC"), "DNA labelled RNA-Seq"),
        (run(platform="PACBIO_SMRT"), "not a short-read one"),
        (run(bases=9_000_000), "long reads"),
        (run(controlled="dbGaP phs1"), "controlled access"),
    ],
)
def test_what_is_not_bulk_rna_seq_is_named(found: Run, kind: str) -> None:
    assert kind in unfit(found)


@pytest.mark.parametrize(
    ("title", "protocol"),
    [
        ("sorted T cells", "A single-cell suspension was stained; poly-A RNA was sequenced."),
        ("miRNA inhibitor, 24 h", "TruSeq"),
        ("RNA-seq of the ChIP-seq samples", ""),
        ("stored at 4C", "TruSeq stranded mRNA"),
        ("liver", "bulk: TruSeq; single cells: 10x Genomics Chromium Next GEM"),
    ],
)
def test_bulk_rna_seq_that_merely_sounds_like_others_is_taken(title: str, protocol: str) -> None:
    assert unfit(run(title, protocol)) == ""


def test_a_strain_is_of_its_species_and_nothing_else_is() -> None:
    yeast = run(organism="Saccharomyces cerevisiae S288C")
    assert unfit(yeast, ["saccharomyces cerevisiae"]) == ""
    assert "not wanted" in unfit(yeast, ["Saccharomyces", "Homo sapiens"][1:])
    assert unfit(yeast) == ""
