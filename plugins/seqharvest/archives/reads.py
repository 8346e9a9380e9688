"""A run's reads: what a source must hand over, and the checks that hold for each."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from seqharvest.archives.fastq import FastqReport, check_mates
from seqharvest.archives.limits import Limits
from seqharvest.archives.model import Run
from seqharvest.archives.pending import PendingObject, Shelf, StoredObject
from seqharvest.archives.progress import Progress
from seqharvest.errors import SeqharvestError, VerificationError


@dataclass
class Attempt:
    """One try of one source, as provenance records it; `error` is empty for the one that worked."""

    source: str
    url: str = ""
    error: str = ""


@dataclass
class Workbench:
    """What a source works with: an empty folder, a place in S3, threads, and what was tried."""

    folder: Path
    shelf: Shelf
    threads: int = 2
    limits: Limits = field(default_factory=Limits)
    attempts: list[Attempt] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)


@dataclass(frozen=True)
class Mate:
    """A verified, compressed FASTQ that S3 has, but does not show before `object.complete()`."""

    object: PendingObject | StoredObject
    md5: str
    size: int
    report: FastqReport


@dataclass(frozen=True)
class Reads:
    """The verified reads of a run: one mate file or two, and what was left behind."""

    source: str
    url: str
    md5s: tuple[str, ...]  # of what was downloaded
    sizes: tuple[int, ...]
    mates: tuple[Mate, ...]
    orphans: int  # reads of pairs whose mate is missing; not kept
    tools: dict[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> str:
        """The layout these reads have, whatever the archive calls it."""
        return "paired" if len(self.mates) == 2 else "single"

    @property
    def spots(self) -> int:
        """Number of spots: pairs or single reads, and orphans."""
        return self.mates[0].report.reads + self.orphans


def check_run(run: Run, mates: Sequence[FastqReport], orphans: int) -> None:
    """Raise `VerificationError` unless mates agree and the spots are as many as published."""
    if len(mates) == 2:
        check_mates(mates[0], mates[1], run.accession)
    spots = mates[0].reads + orphans
    if run.spots and spots != run.spots:
        interleaved = len(mates) == 1 and run.layout == "paired" and spots == 2 * run.spots
        raise VerificationError(
            f"run {run.accession} has {spots} spots, published are {run.spots}"
            + ("; its mates seem to be interleaved in one file" if interleaved else ""),
            "try another source",
        )


def run_tool(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end; raises `SeqharvestError` when it is not installed."""
    if shutil.which(command[0]) is None:
        raise SeqharvestError(
            f"{command[0]} is not installed", "run in the pipeline image, or install sra-toolkit"
        )
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False
    )


def tail(text: str, length: int = 300) -> str:
    """Return the end of a tool's output on one line."""
    return " ".join(text.split())[-length:] or "no message"
