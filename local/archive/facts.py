"""Measures FASTQ files once (md5, size, reads, bases) and remembers that over restarts."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import threading
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Facts:
    """What is known of a FASTQ file; `broken` says why it cannot be read to its end."""

    md5: str
    size: int
    reads: int
    bases: int
    broken: str = ""


class FactBook:
    """Facts by path, size and time of change, kept in one JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        try:
            self.known: dict[str, dict[str, object]] = json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            self.known = {}  # only a cache: whatever is lost is measured again

    def facts(self, fastq: Path) -> Facts:
        """Return a file's facts, measuring it when it is new or changed."""
        stat = fastq.stat()
        key = f"{fastq}|{stat.st_size}|{stat.st_mtime_ns}"
        with self.lock:
            if key not in self.known:
                self.known[key] = asdict(measure(fastq))
                write_atomically(self.path, json.dumps(self.known, indent=1))
            return Facts(**self.known[key])  # type: ignore[arg-type]


def measure(fastq: Path) -> Facts:
    """Read a file through; a truncated one is measured as far as it goes."""
    digest = hashlib.md5(usedforsecurity=False)
    with fastq.open("rb") as raw:
        for block in iter(lambda: raw.read(1 << 20), b""):
            digest.update(block)
    lines = bases = 0
    broken = ""
    try:
        with gzip.open(fastq, "rb") as text:
            for lines, line in enumerate(text, start=1):
                if lines % 4 == 2:
                    bases += len(line.rstrip())
        if lines % 4:
            broken = f"ends in the middle of read {lines // 4 + 1}"
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        broken = str(error)
    return Facts(digest.hexdigest(), fastq.stat().st_size, lines // 4, bases, broken)


def write_atomically(path: Path, text: str) -> None:
    """Replace a file so that a reader, or a restart, sees the old text or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(path)
