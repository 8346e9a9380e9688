"""NCBI's runinfo: real CSVs with their oddities, and what no runinfo is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqharvest.archives import runinfo
from seqharvest.archives.assay import unfit
from seqharvest.archives.model import Run
from seqharvest.errors import ArchiveError

HEADER = "Run,Experiment,LibraryStrategy,LibraryLayout,Platform,spots,bases,TaxID,LibraryName"


@pytest.mark.parametrize(
    ("name", "runs", "layout", "fit"),
    [
        ("GSE52778_airway_paired", 16, "paired", 16),
        ("PRJNA278335_yeast_single", None, "single", None),
        ("MMETSP_CR_line_ends", None, "paired", None),
        ("PRJEB34660_nanopore_amplicon", None, "single", 0),
    ],
)
def test_real_runinfos_are_read(
    data: Path, name: str, runs: int | None, layout: str, fit: int | None
) -> None:
    body = (data / f"api/runinfo/{name}.csv").read_bytes()
    found = runinfo.parse_runinfo(body)
    lines = [line for line in body.decode().replace("\r", "\n").split("\n") if line.strip()]
    assert len(found) == len(lines) - 1 and (runs is None or len(found) == runs)
    assert {run.layout for run in found} == {layout}
    assert not any(run.controlled or run.fastq for run in found)
    taken = [run for run in found if not unfit(run)]
    assert len(taken) == (len(found) if fit is None else fit)


def test_nanopore_amplicons_and_empty_runs_are_told_apart(data: Path) -> None:
    body = (data / "api/runinfo/PRJEB34660_nanopore_amplicon.csv").read_bytes()
    found = runinfo.parse_runinfo(body)
    assert sum(run.spots == 0 for run in found) == 2
    assert all("library strategy is AMPLICON" in unfit(run) for run in found)


def test_quotes_commas_and_repeated_headers_are_understood() -> None:
    line = 'SRR1,SRX1,RNA-Seq,PAIRED,ILLUMINA,5,500,9606,"naïve ""T"", 5\u2009µM"'
    (run,) = runinfo.parse_runinfo(f"{HEADER}\r\n{line}\r\n\r\n{HEADER}\r\n".encode())
    assert run.metadata["library_name"] == 'naïve "T", 5\u2009µM'
    assert (run.spots, run.bases, run.taxid) == (5, 500, 9606)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "not a runinfo"),
        ("Run,spots\nSRR1,5", "not a runinfo"),
        (f"{HEADER}\nSRR1,SRX1,RNA-Seq", "cut at run SRR1"),
        (f"{HEADER}\n../x,SRX1,RNA-Seq,PAIRED,ILLUMINA,5,500,9606,a", "names no run"),
        (f"{HEADER}\nSRR1,SRX1,RNA-Seq,PAIRED,ILLUMINA,5e3,500,9606,a", "spots='5e3'"),
        (f'{HEADER}\nSRR1,SRX1,RNA-Seq,PAIRED,ILLUMINA,5,500,9606,"a', "cut or broken"),
        ("<EXPERIMENT_PACKAGE_SET><Error>internal</Error>", "answered with an error"),
        ('{"error":"API rate limit exceeded"}', "rate limit"),
    ],
)
def test_a_runinfo_that_cannot_be_trusted_is_an_error(body: str, why: str) -> None:
    with pytest.raises(ArchiveError, match=why):
        runinfo.parse_runinfo(body.encode())


@given(
    st.binary(max_size=80)
    | st.text(max_size=80).map(lambda text: f"{HEADER}\n{text}".encode())
    | st.lists(st.text(max_size=6), min_size=8, max_size=8).map(
        lambda cells: f"{HEADER}\nSRR1,{','.join(cells)}".encode()
    )
)
def test_any_body_is_runs_or_an_archive_error(body: bytes) -> None:
    try:
        runinfo.parse_runinfo(body)
    except ArchiveError:
        return


def test_what_both_archives_have_is_reconciled() -> None:
    ena = Run("SRR1", "SRX1", "paired", spots=0, bases=0, strategy="RNA-Seq", metadata={"a": "E"})
    ncbi = Run("SRR1", "SRX2", "paired", spots=9, strategy="RNA-SEQ", metadata={"a": "N", "b": "N"})
    (run,) = runinfo.reconcile([ena], [ncbi])
    assert (run.experiment, run.spots, run.strategy) == ("SRX1", 9, "RNA-Seq")
    told = {"a": "E", "b": "N", "archives_disagree": "experiment: ENA SRX1, NCBI SRX2"}
    assert run.metadata == told
