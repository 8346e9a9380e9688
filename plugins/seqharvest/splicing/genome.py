"""Sequence of a plain FASTA, a contig at a time."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqharvest.errors import InputError
from seqharvest.splicing.ragged import Ints, expand, offsets

Bases = npt.NDArray[np.uint8]

_COMPLEMENT = np.arange(256, dtype=np.uint8)
_COMPLEMENT[np.frombuffer(b"ACGTacgt", np.uint8)] = np.frombuffer(b"TGCATGCA", np.uint8)
_UPPER = np.arange(256, dtype=np.uint8)
_UPPER[ord("a") : ord("z") + 1] -= 32


class Genome:
    """The contigs of a FASTA as a release has it: plain text, each named once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as handle:
            self._map = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        if self._map[:1] != b">":
            raise InputError(
                f"FASTA {path} does not begin with '>'", "give the genome as plain FASTA"
            )
        self._spans: dict[str, tuple[int, int]] = {}
        self._held: tuple[str, Bases] | None = None
        at = 0
        while at >= 0:
            line_end = self._map.find(b"\n", at)
            line_end = len(self._map) if line_end < 0 else line_end
            following = self._map.find(b"\n>", max(line_end - 1, at))
            end = len(self._map) if following < 0 else following
            name = self._map[at + 1 : line_end].split(maxsplit=1)[0].decode()
            self._spans[name] = (min(line_end + 1, end), end)
            at = following + 1 if following >= 0 else -1

    @property
    def contigs(self) -> list[str]:
        """Names in the order of the file."""
        return list(self._spans)

    def contig(self, name: str) -> Bases:
        """All letters of a contig, upper case; the last one asked for is kept."""
        if self._held is None or self._held[0] != name:
            self._held = None  # before the next is read: two of human's are half a gigabyte
            start, end = self._spans[name]
            raw = np.frombuffer(self._map, np.uint8, end - start, start)
            letters = _UPPER[raw[raw > ord(" ")]]
            self._held = (name, letters)
        return self._held[1]

    def length(self, name: str) -> int:
        """Bases of a contig; 0 for one that the FASTA lacks."""
        return len(self.contig(name)) if name in self._spans else 0

    def pieces(self, name: str, strand: str, start: Ints, end: Ints) -> tuple[Bases, Ints]:
        """Join spans of one strand (5' to 3', counted from 1, inclusive); also each one's offset."""
        letters = self.contig(name)
        if len(start) and (start.min() < 1 or end.max() > len(letters)):
            raise InputError(
                f"FASTA {self._path} has {len(letters)} bases of {name}; the annotation or the "
                "junctions go beyond them",
                "use FASTA and GTF of the same assembly",
            )
        owner, within = expand(end - start + 1)
        at = start[owner] + within - 1
        found = letters[at] if strand == "+" else _COMPLEMENT[letters[len(letters) - 1 - at]]
        return found, offsets(end - start + 1)
