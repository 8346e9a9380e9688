"""Fetches a run as `.sra` from the open-data bucket."""

from __future__ import annotations

from seqharvest.archives.download import Transfer
from seqharvest.archives.dump import dump
from seqharvest.archives.model import FastqFile, Run
from seqharvest.archives.reads import Attempt, Reads, Workbench
from seqharvest.archives.turns import turn
from seqharvest.errors import ArchiveError


def obtain(run: Run, bench: Workbench) -> Reads:
    """Return the run's reads; raises `ArchiveError` or `VerificationError` if not whole."""
    if not run.sra_url:
        raise ArchiveError(f"run {run.accession} has no .sra address")
    archive = bench.folder / f"{run.accession}.sra"
    published = FastqFile(run.sra_url, run.sra_md5, run.sra_size)
    transfer = Transfer(published, archive, bench.limits)
    try:
        with turn("sra", bench.limits):
            bench.progress.begin(run.sra_size)
            bench.progress.watch(lambda: transfer.arrived)
            got = transfer.run()
    finally:
        bench.attempts += [Attempt("sra", run.sra_url, why) for why in transfer.interruptions]
    mates, orphans, tools = dump(archive, run, bench)
    return Reads("sra", run.sra_url, (got.md5,), (got.size,), tuple(mates), orphans, tools)
