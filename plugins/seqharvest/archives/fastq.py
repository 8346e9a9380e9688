"""Reads FASTQ at the speed of its decompression: well-formed, counted, mates named alike."""

from __future__ import annotations

import hashlib
import logging
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from seqharvest.errors import SeqharvestError, VerificationError

log = logging.getLogger(__name__)

CHUNK = 4 << 20  # bytes at a time: large enough for numpy, small enough for the cache
PIPE = 1 << 20  # Linux's largest pipe for everybody; 64 KB would mean 16 times the switches
# No record of a short-read platform is near this long; a file without line ends is.
LONGEST_RECORD = 64 << 20
NEWLINE, TAB, SPACE, AT, PLUS, SLASH, ONE, TWO = b"\n\t @+/12"
LETTERS = np.isin(np.arange(256), np.frombuffer(b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv.-*=", np.uint8))

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Places = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class FastqReport:
    """What a whole FASTQ holds; `names` digests the read names without comment and mate."""

    reads: int
    bases: int
    shortest: int  # bases
    longest: int
    names: str
    constant_quality: str  # the one quality letter of all bases, or empty: SRA-Lite has '?'


class FastqScan:
    """Takes a FASTQ in pieces and checks each record; raises `VerificationError` naming it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reads = self.bases = self.longest = 0
        self.shortest: int | None = None
        self._names = hashlib.blake2b(digest_size=16)
        self._rest = b""
        self._quality: int | None = None
        self._quality_varies = False

    def feed(self, piece: bytes) -> None:
        """Check the records that are complete with this piece."""
        data = self._rest + piece
        buffer = np.frombuffer(data, np.uint8)
        ends = np.flatnonzero(buffer == NEWLINE)
        records = len(ends) // 4
        if records == 0:
            if len(data) > LONGEST_RECORD:
                raise self._wrong(0, f"has no line end in {len(data)} bytes")
            self._rest = data
            return
        ends = ends[: records * 4]
        used = int(ends[-1]) + 1
        self._check(buffer[:used], ends.reshape(-1, 4))
        self._rest = data[used:]

    def finish(self) -> FastqReport:
        """Return the report; raises `VerificationError` when the last record is not whole."""
        if self._rest.strip():
            with suppress(VerificationError):  # the last line may lack its end, nothing more
                rest, self._rest = self._rest, b""
                self.feed(rest.rstrip(b"\n") + b"\n")
                rest = self._rest
            if rest:
                raise self._wrong(0, "is cut in the middle of a record")
        if self.reads == 0:
            raise VerificationError(f"{self.name} has no reads")
        varies = self._quality_varies or self._quality is None
        return FastqReport(
            reads=self.reads,
            bases=self.bases,
            shortest=self.shortest or 0,
            longest=self.longest,
            names=self._names.hexdigest(),
            constant_quality="" if varies else chr(self._quality or 0),
        )

    def _check(self, buffer: Bytes, ends: Places) -> None:
        header = np.concatenate(([0], ends[:-1, 3] + 1))
        sequence, plus, quality = ends[:, 0] + 1, ends[:, 1] + 1, ends[:, 2] + 1
        lengths = ends[:, 1] - sequence
        self._demand(buffer[header] == AT, "its header does not begin with '@'")
        self._demand(ends[:, 0] - header > 1, "its header has no name")
        self._demand(buffer[plus] == PLUS, "its third line does not begin with '+'")
        self._demand(
            lengths == ends[:, 3] - quality, "its sequence and quality are of different length"
        )
        blanks = self._check_bytes(buffer, ends)
        if self.reads == 0:
            self._check_letters(buffer, sequence, lengths)
        if not self._quality_varies:
            self._watch_quality(_gather(buffer, quality, lengths))
        self._names.update(_names(buffer, header, ends[:, 0], blanks).tobytes())
        self.reads += len(ends)
        self.bases += int(lengths.sum())
        low, high = int(lengths.min()), int(lengths.max())
        self.shortest = low if self.shortest is None else min(low, self.shortest)
        self.longest = max(high, self.longest)

    def _check_bytes(self, buffer: Bytes, ends: Places) -> Places:
        """Return where spaces and tabs are; only headers and '+' lines may have them."""
        blank = buffer == SPACE
        if np.count_nonzero(buffer < SPACE) != ends.size:
            blank |= buffer == TAB
            control = np.flatnonzero((buffer < SPACE) & (buffer != NEWLINE) & (buffer != TAB))
            if len(control):
                record = int(np.searchsorted(ends[:, 3], control[0]))
                letter = bytes(buffer[control[:1]])
                raise self._wrong(record, f"it holds the control character {letter!r}")
        if buffer.max() > 126:
            place = int(np.flatnonzero(buffer > 126)[0])
            record = int(np.searchsorted(ends[:, 3], place))
            raise self._wrong(record, "it holds a byte that is not ASCII")
        return np.flatnonzero(blank)

    def _check_letters(self, buffer: Bytes, starts: Places, lengths: Places) -> None:
        """Look at the first piece's letters: what is no sequence there is none anywhere."""
        letters = _gather(buffer, starts, lengths)
        wrong = np.flatnonzero(~LETTERS[letters])
        if len(wrong):
            record = int(np.searchsorted(np.cumsum(lengths), wrong[0], side="right"))
            letter = chr(letters[wrong[0]])
            raise self._wrong(record, f"its sequence holds {letter!r}")

    def _watch_quality(self, letters: Bytes) -> None:
        if not len(letters):
            return
        if self._quality is None:
            self._quality = int(letters[0])
        self._quality_varies = bool((letters != self._quality).any())

    def _demand(self, good: Any, what: str) -> None:
        if not good.all():
            raise self._wrong(int(np.argmin(good)), what)

    def _wrong(self, record: int, what: str) -> VerificationError:
        return VerificationError(f"{self.name}, read {self.reads + record + 1}: {what}")


def inspect(path: Path) -> FastqReport:
    """Check a gzip-compressed FASTQ; raises `VerificationError` when gzip or FASTQ are broken."""
    scan = FastqScan(path.name)
    # Only with -v does pigz fail on junk behind the last gzip member.
    with _start(["pigz", "-vdc", str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            for piece in _pieces(process.stdout):
                scan.feed(piece)
        finally:
            process.stdout.close()  # when a record is wrong, the rest need not be unpacked
            _, message = process.communicate()
    if process.returncode != 0:
        raise VerificationError(f"{path.name} is not an intact gzip file: {_tail(message)}")
    return scan.finish()


def check_mates(first: FastqReport, second: FastqReport, run: str) -> None:
    """Raise `VerificationError` unless both mates hold the same reads in the same order."""
    if first.reads != second.reads:
        raise VerificationError(
            f"run {run}: R1 has {first.reads} reads and R2 {second.reads}",
            "one of the files is not whole",
        )
    if first.names != second.names:
        raise VerificationError(
            f"run {run}: the read names of R1 and R2 differ",
            "the files are not mates of each other, or in different order",
        )


def _names(buffer: Bytes, starts: Places, ends: Places, blanks: Places) -> Bytes:
    """Return the reads' names, each with a line end, without comment and '/1' or '/2'."""
    stops = ends
    if len(blanks):
        following = np.searchsorted(blanks, starts)
        stops = np.minimum(ends, blanks[np.minimum(following, len(blanks) - 1)])
        stops = np.where(stops < starts, ends, stops)
    last, before = buffer[stops - 1], buffer[stops - 2]
    mate = ((last == ONE) | (last == TWO)) & (before == SLASH) & (stops - starts > 3)
    lengths = stops - starts - 2 * mate + 1  # one more for the separator
    names = _gather(buffer, starts, lengths)
    names[np.cumsum(lengths) - 1] = NEWLINE
    return names


def _gather(buffer: Bytes, starts: Places, lengths: Places) -> Bytes:
    """Return the pieces of a buffer one after the other, without a loop over them."""
    offsets = np.cumsum(lengths) - lengths
    places = np.repeat(starts - offsets, lengths)
    places += np.arange(len(places))
    return buffer[places]


def _pieces(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: stream.read(CHUNK), b"")


def _start(command: list[str], **streams: Any) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, stderr=subprocess.PIPE, pipesize=PIPE, **streams)
    except FileNotFoundError as error:
        raise SeqharvestError(
            f"{command[0]} is not installed", "run in the pipeline image, or install it"
        ) from error


def _tail(message: bytes) -> str:
    return " ".join(message.decode("utf-8", "replace").split())[-300:] or "no message"
