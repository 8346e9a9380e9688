"""Makes real .sra archives of FASTQ with NCBI's own loader, once each."""

from __future__ import annotations

import gzip
import hashlib
import logging
import shutil
import subprocess
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from local.archive.series import Run
from seqharvest.errors import ArchiveError

log = logging.getLogger(__name__)
LOADER = "1"  # raise when archives are made in another way
BUILD_SECONDS = 600  # for one archive; 50,000 pairs take about 2 s


@dataclass(frozen=True)
class SraFile:
    """An archive on disk."""

    path: Path
    md5: str
    size: int


class SraStore:
    """Archives by the content of their FASTQ; one builder thread, so that a laptop stays usable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for unfinished in folder.glob(".building-*"):  # of a process that was killed
            shutil.rmtree(unfinished, ignore_errors=True)
        self.builder = ThreadPoolExecutor(1, thread_name_prefix="sra")
        self.asked: dict[str, Future[SraFile]] = {}
        self.lock = threading.Lock()

    def ask(self, run: Run, md5s: list[str]) -> Future[SraFile]:
        """Have a run's archive built in the background; asking twice builds it once."""
        content = "|".join([LOADER, run.accession, *md5s])
        key = hashlib.sha256(content.encode()).hexdigest()[:24]
        with self.lock:
            known = self.asked.get(key)
            if known is None or (known.done() and known.exception() is not None):
                known = self.asked[key] = self.builder.submit(self._build, run, key)
            return known

    def close(self) -> None:
        """Let the archive that is being made finish, and drop those that wait."""
        self.builder.shutdown(wait=True, cancel_futures=True)

    def _build(self, run: Run, key: str) -> SraFile:
        done = self.folder / key / f"{run.accession}.sra"
        if not done.exists():
            unfinished = self.folder / f".building-{key}"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            try:
                archive = load(run, unfinished)
                final = unfinished / "final"
                final.mkdir()
                archive.replace(final / done.name)
                final.replace(done.parent)
            except (ArchiveError, OSError) as error:
                log.error("run=%s archive not made: %s", run.accession, error)
                raise
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
            log.info("run=%s archive made: %s", run.accession, done)
        content = done.read_bytes()
        return SraFile(done, hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content))


def load(run: Run, scratch: Path) -> Path:
    """Turn a run's FASTQ into one .sra file in the scratch folder; raises `ArchiveError`."""
    plain = []
    for mate, fastq in enumerate(run.files, start=1):
        plain.append(scratch / f"r{mate}.fq")
        with gzip.open(fastq, "rb") as source, plain[-1].open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
    names = ["-1", plain[0].name, "-2", plain[1].name] if run.paired else [plain[0].name]
    loader = ["latf-load", "-p", "ILLUMINA", "--quality", "PHRED_33", "-o", run.accession, *names]
    archive = scratch / f"{run.accession}.sra"
    for command in (loader, ["kar", "--create", archive.name, "-d", run.accession, "-f"]):
        _run_tool(command, scratch, run)
    if not archive.is_file() or not archive.stat().st_size:
        raise ArchiveError(f"{run.where}: kar left no archive of {run.accession}", "see its log")
    return archive


def _run_tool(command: list[str], scratch: Path, run: Run) -> None:
    tool = command[0]
    try:
        done = subprocess.run(
            command, cwd=scratch, capture_output=True, text=True, timeout=BUILD_SECONDS
        )
    except FileNotFoundError as error:
        raise ArchiveError(f"{tool} is not installed", "apt-get install sra-toolkit") from error
    except subprocess.TimeoutExpired as error:
        raise ArchiveError(
            f"{tool} took more than {BUILD_SECONDS} s for {run.accession}", "offer it as fastq"
        ) from error
    if done.returncode:
        tail = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise ArchiveError(
            f"{run.where}: {tool} cannot load {run.accession}: {tail}",
            "mend the FASTQ, or offer the run as fastq only",
        )
