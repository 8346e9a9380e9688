"""Fetches a run as `.sra` from the open-data bucket, and turns it into verified FASTQ."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from seqharvest.archives.download import Transfer
from seqharvest.archives.fastq import FastqReport, compress
from seqharvest.archives.model import FastqFile, Run
from seqharvest.archives.reads import (
    Attempt,
    Mate,
    Reads,
    Workbench,
    check_run,
    md5_of,
    run_tool,
    tail,
)
from seqharvest.errors import ArchiveError, VerificationError

log = logging.getLogger(__name__)

SPOTS_READ = re.compile(r"spots read\s*:\s*([\d,]+)")
VERSION = re.compile(r"\d+(?:\.\d+)+")


def obtain(run: Run, bench: Workbench) -> Reads:
    """Return the run's reads; raises `ArchiveError` or `VerificationError` when they are not whole.

    No single check is enough: a flipped bit passes fasterq-dump, an empty file vdb-validate.
    """
    archive = bench.folder / f"{run.accession}.sra"
    got = _download(run, archive, bench)
    _validate(archive, bench)
    spots = _dump(archive, bench)
    archive.unlink()  # FASTQ takes 7 times its place: it must not lie beside it
    mates, orphans = _collect(run, bench)
    check_run(run, [mate.report for mate in mates], orphans)
    found = mates[0].report.reads + orphans
    if found != spots:
        raise VerificationError(
            f"run {run.accession}: fasterq-dump read {spots} spots and wrote {found}"
        )
    return Reads(
        source="sra",
        url=run.sra_url,
        md5s=(got.md5,),
        sizes=(got.size,),
        mates=tuple(mates),
        orphans=orphans,
        tools=_versions(bench.folder),
    )


def _download(run: Run, archive: Path, bench: Workbench) -> FastqFile:
    if not run.sra_url:
        raise ArchiveError(f"run {run.accession} has no .sra address")
    transfer = Transfer(FastqFile(run.sra_url, run.sra_md5, run.sra_size), archive, bench.limits)
    try:
        return transfer.run()
    finally:
        bench.attempts += [Attempt("sra", run.sra_url, why) for why in transfer.interruptions]


def _validate(archive: Path, bench: Workbench) -> None:
    done = run_tool(["vdb-validate", str(archive)], bench.folder)
    if done.returncode != 0:
        raise VerificationError(
            f"vdb-validate rejects {archive.name} with {done.returncode}: {tail(done.stderr)}",
            "try another source",
        )


def _dump(archive: Path, bench: Workbench) -> int:
    """Write FASTQ beside the archive and return the number of spots that fasterq-dump read."""
    command = [
        "fasterq-dump",
        str(archive),
        "--split-3",
        "--outdir",
        str(bench.folder / "fastq"),
        "--temp",
        str(bench.folder / "temp"),
        "--threads",
        str(bench.threads),
        # The name again on the third line would make files a fifth larger.
        "--qual-defline",
        "+",
    ]
    done = run_tool(command, bench.folder)
    said = done.stderr + done.stdout
    if done.returncode != 0:
        raise VerificationError(
            f"fasterq-dump fails on {archive.name} with {done.returncode}: {tail(said)}",
            "try another source",
        )
    counts = [int(text.replace(",", "")) for text in SPOTS_READ.findall(said)]
    if not counts:
        raise VerificationError(f"fasterq-dump did not say how many spots it read: {tail(said)}")
    return sum(counts)


def _collect(run: Run, bench: Workbench) -> tuple[list[Mate], int]:
    """Compress and check what was dumped: pairs, or single reads, and the count of orphans."""
    folder = bench.folder / "fastq"
    names = (f"{run.accession}_1.fastq", f"{run.accession}_2.fastq", f"{run.accession}.fastq")
    first, second, other = (folder / name for name in names)
    if first.exists() and second.exists():
        mates = [_compress(first, bench), _compress(second, bench)]
        orphans = _compress(other, bench) if other.exists() else None
        if orphans:
            orphans.path.unlink()
        return mates, orphans.report.reads if orphans else 0
    alone = next((path for path in (other, first, second) if path.exists()), None)
    if alone is None:
        raise VerificationError(f"run {run.accession}: fasterq-dump wrote no FASTQ")
    return [_compress(alone, bench)], 0


def _compress(plain: Path, bench: Workbench) -> Mate:
    target = plain.with_suffix(".fastq.gz")
    report: FastqReport = compress(plain, target, bench.threads)
    plain.unlink()
    return Mate(target, md5_of(target), target.stat().st_size, report)


def _versions(folder: Path) -> dict[str, str]:
    versions = {}
    for tool in ("fasterq-dump", "vdb-validate", "pigz"):
        said = run_tool([tool, "--version"], folder)
        match = VERSION.search(said.stdout + said.stderr)
        versions[tool] = match.group() if match else "unknown"
    return versions
