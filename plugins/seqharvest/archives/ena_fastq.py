"""Fetches a run as the FASTQ that ENA publishes, verified and stored as it stands."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from seqharvest.archives.download import Transfer
from seqharvest.archives.fastq import CHUNK, FastqReport, inspect
from seqharvest.archives.model import FastqFile, Run
from seqharvest.archives.pending import PendingObject
from seqharvest.archives.reads import Attempt, Mate, Reads, Workbench, check_run
from seqharvest.archives.turns import turn
from seqharvest.errors import ArchiveError, VerificationError

MATE = re.compile(r"_([12])\.f(?:ast)?q\.gz$")
WHOLE = re.compile(r"\.f(?:ast)?q\.gz$")


@dataclass(frozen=True)
class _Part:
    """A file of the run, and what is stored of it: nothing of orphans beside pairs."""

    file: FastqFile
    report: FastqReport
    mate: Mate | None


def obtain(run: Run, bench: Workbench) -> Reads:
    """Return the run's reads; raises `ArchiveError` or `VerificationError` when they are not whole.

    Of three files the one without a mate number holds orphans: it is counted, not kept.
    """
    files = by_mate(run)
    # Mates are unpacked and checked side by side: each takes one core, and one connection.
    at_once = min(len(files), max(1, bench.threads))
    with turn("ena", bench.limits), ThreadPoolExecutor(at_once) as pool:
        bench.progress.begin(sum(file.size for file in files.values()))
        futures = {part: pool.submit(_mate, run, part, files[part], bench) for part in files}
        parts = {part: future.result() for part, future in futures.items()}
    kept = [part.mate for part in parts.values() if part.mate]
    orphans = parts["orphans"].report.reads if len(kept) == 2 and "orphans" in parts else 0
    check_run(run, [mate.report for mate in kept], orphans)
    return Reads(
        source="ena",
        url=";".join(file.url for file in files.values()),
        md5s=tuple(part.file.md5 for part in parts.values()),
        sizes=tuple(part.file.size for part in parts.values()),
        mates=tuple(kept),
        orphans=orphans,
    )


def by_mate(run: Run) -> dict[str, FastqFile]:
    """Return the run's files under '1', '2' and 'orphans', whatever their order.

    Raises `ArchiveError` when there are none, or when they are not the files of one run.
    """
    if not run.fastq:
        raise ArchiveError(f"ENA publishes no FASTQ of run {run.accession}")
    found: dict[str, FastqFile] = {}
    for file in run.fastq:
        name = PurePosixPath(file.url).name
        match = MATE.search(name)
        part = match[1] if match else "orphans" if WHOLE.search(name) else ""
        if not part or part in found:
            names = ", ".join(PurePosixPath(file.url).name for file in run.fastq)
            raise ArchiveError(f"ENA's files of run {run.accession} are not its reads: {names}")
        found[part] = file
    if "orphans" in found and len(found) == 2:
        lone = "2" if "1" not in found else "1"
        raise ArchiveError(
            f"ENA publishes only mate {lone} and a third file of run {run.accession}"
        )
    return dict(sorted(found.items()))


def _mate(run: Run, part: str, file: FastqFile, bench: Workbench) -> _Part:
    path = Path(bench.folder) / f"{run.accession}_{part}.fastq.gz"
    kept = part != "orphans" or len(run.fastq) == 1
    number = 2 if part == "2" and len(run.fastq) > 1 else 1  # a mate alone is the first
    stored = bench.shelf.take(number, file, path) if kept else None
    got = replace(file, size=path.stat().st_size) if stored else _bring(file, path, bench)
    report = inspect(path)
    mate = None
    if kept:
        target = stored or _send(path, got, number, bench)
        mate = Mate(target, got.md5, got.size, report)
    path.unlink()
    return _Part(got, report, mate)


def _bring(file: FastqFile, path: Path, bench: Workbench) -> FastqFile:
    transfer = Transfer(file, path, bench.limits)
    bench.progress.watch(lambda: transfer.arrived)
    try:
        return transfer.run()
    finally:
        bench.attempts += [Attempt("ena", file.url, why) for why in transfer.interruptions]


def _send(path: Path, got: FastqFile, number: int, bench: Workbench) -> PendingObject:
    target = bench.shelf.open(number, got.size, got.md5)
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            target.write(piece)
    content = target.finish()
    if content.md5 != got.md5:  # what the network brought is not what the disk gave back
        raise VerificationError(f"{path.name} changed on scratch", "replace the host's disk")
    return target
