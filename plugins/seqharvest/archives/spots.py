"""Sorts the reads of a dump, spot after spot, into first mates, second mates and single reads."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from seqharvest.errors import VerificationError

NEWLINE = 0x0A


class SpotSplitter:
    """Takes FASTQ with headers `@<spot>/<read>[ name]` in pieces; reads of a spot are adjacent.

    A spot of two reads is a pair, of one a single read; more are no RNA-seq that we know.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.pairs = self.singles = 0
        self._rest = b""

    def feed(self, piece: bytes) -> tuple[bytes, bytes, bytes]:
        """Return the first mates, second mates and single reads that are whole with this piece."""
        data = self._rest + piece
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE)[3::4] + 1
        records = _cut(data, ends.tolist())
        spots = [_spot(record) for record in records]
        # The last spot's second read may still be to come.
        whole = len(spots)
        while whole and spots[whole - 1] == spots[-1]:
            whole -= 1
        used = int(ends[whole - 1]) if whole else 0
        self._rest = data[used:]
        return self._sort(records[:whole], spots[:whole])

    def finish(self) -> tuple[bytes, bytes, bytes]:
        """Return what was held back; raises `VerificationError` for half a record."""
        rest, self._rest = self._rest, b""
        records = _cut(
            rest, (np.flatnonzero(np.frombuffer(rest, np.uint8) == NEWLINE)[3::4] + 1).tolist()
        )
        if sum(map(len, records)) != len(rest):
            raise VerificationError(f"the dump of run {self.run} ends in the middle of a read")
        return self._sort(records, [_spot(record) for record in records])

    def _sort(self, records: list[bytes], spots: list[bytes]) -> tuple[bytes, bytes, bytes]:
        firsts, seconds = spots[0::2], spots[1::2]
        if firsts == seconds and len(set(firsts)) == len(firsts):  # nothing but pairs
            self.pairs += len(firsts)
            return b"".join(records[0::2]), b"".join(records[1::2]), b""
        first: list[bytes] = []
        second: list[bytes] = []
        single: list[bytes] = []
        for spot, reads in self._spots(records, spots):
            if len(reads) > 2:
                raise VerificationError(
                    f"spot {spot.decode('ascii', 'replace')} of run {self.run} has {len(reads)}"
                    " biological reads",
                    "it is not a run of pairs or single reads; leave it out",
                )
            if len(reads) == 1:
                single += reads
            else:
                first.append(reads[0])
                second.append(reads[1])
        self.pairs += len(first)
        self.singles += len(single)
        return b"".join(first), b"".join(second), b"".join(single)

    @staticmethod
    def _spots(records: list[bytes], spots: list[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
        for spot, places in groupby(range(len(records)), spots.__getitem__):
            yield spot, [records[place] for place in places]


def _cut(data: bytes, ends: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _spot(record: bytes) -> bytes:
    """Return a header's first word without the read's number."""
    header = record[: record.index(b"\n")]
    return header.split(b" ", 1)[0].rpartition(b"/")[0]
