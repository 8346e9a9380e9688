"""Fetches a run's archive by NCBI's own `prefetch`, which finds it wherever NCBI keeps it."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from seqharvest.archives.download import check_space
from seqharvest.archives.dump import dump
from seqharvest.archives.fastq import CHUNK
from seqharvest.archives.model import FastqFile, Run
from seqharvest.archives.reads import Attempt, Reads, Workbench, run_tool, tail
from seqharvest.archives.turns import turn
from seqharvest.errors import ArchiveError, SeqharvestError, VerificationError
from seqharvest.settings import settings

log = logging.getLogger(__name__)

POLL = 0.2  # seconds between looks at the process
NAMES = ("sra", "sralite")


def obtain(run: Run, bench: Workbench) -> Reads:
    """Return the run's reads; raises `ArchiveError` or `VerificationError` if they are not whole.

    `prefetch` checks what it brings against what its own resolver says of it.
    """
    folder = bench.folder
    check_space(folder, FastqFile(run.accession, size=run.sra_size))
    with turn("prefetch", bench.limits):
        bench.progress.begin(run.sra_size)
        bench.progress.watch(lambda: _size(folder))
        archive = _download(run, bench)
    got = _check(run, archive)
    mates, orphans, tools = dump(archive, run, bench)
    tools["prefetch"] = run_tool(["prefetch", "--version"], bench.folder).stdout.split()[-1]
    return Reads("prefetch", run.accession, (got.md5,), (got.size,), tuple(mates), orphans, tools)


def _download(run: Run, bench: Workbench) -> Path:
    """Run prefetch until it succeeds; started again, it goes on where it was."""
    error = ""
    for attempt in range(bench.limits.fruitless_attempts):
        if attempt:
            bench.attempts.append(Attempt("prefetch", run.accession, error))
            time.sleep(min(bench.limits.first_wait * 2**attempt, bench.limits.longest_wait))
        error = _once(run.accession, bench)
        whole = [bench.folder / run.accession / f"{run.accession}.{kind}" for kind in NAMES]
        found = [path for path in whole if path.is_file()]
        if not error and found:
            # The tools below take a run's name from its file.
            return found[0].replace(bench.folder / f"{run.accession}.sra")
        error = error or f"prefetch brought no archive of run {run.accession}"
        for path in found:  # 3.0.3 takes a file that it has just rejected for whole the next time
            path.unlink()
        log.warning("%s", error)
    raise ArchiveError(error, "try another source")


def _once(accession: str, bench: Workbench) -> str:
    """Return what went wrong, empty when nothing did."""
    config = bench.folder / "ncbi.mkfg"
    config.write_text(
        f'/LIBS/GUID = "{uuid.uuid4()}"\n'
        f'/repository/remote/main/SDL.2/resolver-cgi = "{settings().sdl_url}"\n'
    )
    options = ["--output-directory", str(bench.folder), "--max-size", "u", "--verify", "yes"]
    command = ["prefetch", accession, *options, "--transport", "http"]
    with tempfile.TemporaryFile(dir=bench.folder) as said:
        try:
            process = subprocess.Popen(
                command,
                cwd=bench.folder,
                env={**os.environ, "NCBI_SETTINGS": str(config)},
                stdout=said,
                stderr=said,
            )
        except FileNotFoundError as error:
            raise SeqharvestError(
                "prefetch is not installed", "run in the pipeline image, or install sra-toolkit"
            ) from error
        try:
            stalled = _watch(process, bench)
        finally:
            process.kill()
            process.wait()
        said.seek(0)
        words = tail(said.read().decode("utf-8", "replace"))
    if stalled:
        return f"prefetch {accession} stalled: {stalled}"
    return f"prefetch {accession} failed with {process.returncode}: {words}" * bool(
        process.returncode
    )


def _watch(process: subprocess.Popen[bytes], bench: Workbench) -> str:
    """Wait for the end; return why it was not waited for, when too little came in a window."""
    since, mark = time.monotonic(), 0
    # Its resolver, its HEADs and its own retries come before the first byte.
    window = bench.limits.window + bench.limits.silence
    while process.poll() is None:
        time.sleep(POLL)
        elapsed = time.monotonic() - since
        if elapsed < window:
            continue
        size = _size(bench.folder)
        rate = (size - mark) / elapsed
        if rate < bench.limits.minimum_rate and not _verifying(bench.folder):
            return f"{rate:.0f} B/s over {elapsed:.0f} s is below {bench.limits.minimum_rate:g}"
        since, mark = time.monotonic(), size
    return ""


def _verifying(folder: Path) -> bool:
    """Whether all has come and is only being checked: there is nothing left that is unfinished."""
    return any(folder.glob("*/*.sra*")) and not any(folder.glob("*/*.tmp*"))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _check(run: Run, archive: Path) -> FastqFile:
    """Return md5 and size; they need not be the published ones where NCBI gives SRA-Lite."""
    digest = hashlib.md5()
    with archive.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    got = FastqFile(run.accession, digest.hexdigest(), archive.stat().st_size)
    if run.sra_md5 and run.sra_size == got.size and run.sra_md5 != got.md5:
        raise VerificationError(
            f"prefetch's archive of run {run.accession} has md5 {got.md5}, published is"
            f" {run.sra_md5}",
            "try another source",
        )
    return got
