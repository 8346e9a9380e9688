"""Sequence of a plain FASTA, a contig at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from seqharvest.errors import InputError
from seqharvest.splicing.ragged import Ints, expand, offsets

Bases = npt.NDArray[np.uint8]

_BLOCK = 16 << 20  # bytes read at a time
_COMPLEMENT = np.arange(256, dtype=np.uint8)
_COMPLEMENT[np.frombuffer(b"ACGTacgt", np.uint8)] = np.frombuffer(b"TGCATGCA", np.uint8)
_UPPER = np.arange(256, dtype=np.uint8)
_UPPER[ord("a") : ord("z") + 1] -= 32


class Genome:
    """The contigs of a FASTA as a release has it: plain text, each named once.

    Read and not mapped: the pages of a mapped genome count as this process's memory.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spans: dict[str, tuple[int, int]] = {}
        self._held: tuple[str, Bases] | None = None
        starts = self._headers()
        with path.open("rb") as handle:
            for start, end in zip(starts, [*starts[1:], path.stat().st_size], strict=True):
                handle.seek(start + 1)
                header = handle.readline()
                name = header.split(maxsplit=1)[0].decode()
                self._spans[name] = (min(start + 1 + len(header), end), end)

    @property
    def contigs(self) -> list[str]:
        """Names in the order of the file."""
        return list(self._spans)

    def contig(self, name: str) -> Bases:
        """All letters of a contig, upper case; the last one asked for is kept."""
        if self._held is None or self._held[0] != name:
            self._held = None  # before the next is read: two of human's are half a gigabyte
            start, end = self._spans[name]
            letters = np.empty(end - start, np.uint8)
            size = 0
            for _, block in self._blocks(start, end):
                part = _UPPER[block[block > ord(" ")]]
                letters[size : size + len(part)] = part
                size += len(part)
            self._held = (name, letters[:size])
        return self._held[1]

    def length(self, name: str) -> int:
        """Bases of a contig; 0 for one that the FASTA lacks."""
        return len(self.contig(name)) if name in self._spans else 0

    def pieces(self, name: str, strand: str, start: Ints, end: Ints) -> tuple[Bases, Ints]:
        """Join spans of one strand (5' to 3', from 1, inclusive); also each one's offset."""
        letters = self.contig(name)
        owner, within = expand(end - start + 1)
        at = start[owner] + within - 1
        found = letters[at] if strand == "+" else _COMPLEMENT[letters[len(letters) - 1 - at]]
        return found, offsets(end - start + 1)

    def _headers(self) -> list[int]:
        """Where each line that begins with '>' begins."""
        starts: list[int] = []
        before = ord("\n")
        for at, block in self._blocks(0, self._path.stat().st_size):
            signs = np.flatnonzero(block == ord(">"))
            line_begins = np.where(signs > 0, block[signs - 1], before) == ord("\n")
            starts += (at + signs[line_begins]).tolist()
            before = int(block[-1])
        if not starts or starts[0] != 0:
            raise InputError(
                f"FASTA {self._path} does not begin with '>'", "give the genome as plain FASTA"
            )
        return starts

    def _blocks(self, start: int, end: int) -> Iterator[tuple[int, Bases]]:
        with self._path.open("rb") as handle:
            handle.seek(start)
            for at in range(start, end, _BLOCK):
                yield at, np.frombuffer(handle.read(min(_BLOCK, end - at)), np.uint8)
