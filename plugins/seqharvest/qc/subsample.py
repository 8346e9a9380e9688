"""The first reads of a sample, streamed from its runs without fetching the rest.

Head of file, not a random draw: a gzip stream can only be read from its start, and reading all of
a 5 GB file to keep 10 MB of it would make quality control cost as much as the analysis. Each run
gives its share, so that a bad run shows. The first reads come from one edge of the flow cell, where
qualities are slightly lower than average.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from seqharvest.errors import InputError, SeqharvestError

CHUNK_READS = 10_000
QUALITY_READS = 1_000  # enough to tell measured qualities from SRA-Lite's constant ones
#: SRA-Lite writes 30 for every base of a read that passed the sequencer's filter, 3 for the others.
LITE_QUALITIES = frozenset(b"?$")
#: One read of so many is in the sketch: about 400 of 100,000, which tell shares to a few per cent.
SKETCHED = 256


def subsample(mates: list[list[str]], reads: int, outs: list[Path]) -> dict[str, Any]:
    """Write the first `reads` reads (or pairs) of a sample's runs, an equal share of each.

    `mates` holds, for each mate, the FASTQ of each run: paths or `s3://` URIs. Returns `reads` (how
    many were taken), `reads_total` (in the whole sample; an estimate from the compressed size
    unless `exact`), `qualities_measured` and `sketch` (see `_Sketch`). Raises `InputError` naming
    the file that is cut off, is no FASTQ, or whose mate has other reads.
    """
    runs = list(zip(*mates, strict=True))
    taken = total = 0
    exact = measured = True
    sketch = _Sketch()
    with _sinks(outs) as sinks:
        for done, files in enumerate(runs):
            share = -(-(reads - taken) // (len(runs) - done))  # what short runs leave goes on
            heads = [
                _head(file, share, sink, sketch if mate == 0 else None)
                for mate, (file, sink) in enumerate(zip(files, sinks, strict=True))
            ]
            counts = {head["reads"] for head in heads}
            if len(counts) > 1:
                told = ", ".join(f"{f} has {h['reads']}" for f, h in zip(files, heads, strict=True))
                raise InputError(
                    f"the mates of a run differ in their number of reads: {told}",
                    "fetch the run again; one of the files is not whole",
                )
            taken += heads[0]["reads"]
            total += round(heads[0]["reads"] / heads[0]["share"]) if heads[0]["share"] else 0
            exact = exact and heads[0]["share"] == 1.0
            measured = measured and all(head["measured"] for head in heads)
    if not taken:
        raise InputError(
            f"{', '.join(mates[0])}: no reads at all", "remove the sample, or fetch again"
        )
    return {
        "reads": taken,
        "reads_total": total,
        "exact": exact,
        "qualities_measured": measured,
        "sketch": sketch.told(),
    }


class _Sketch:
    """Hashes of one first mate in `SKETCHED`, chosen by the hash itself (FracMinHash).

    Samples with the same reads have the same hashes, whatever the reads are called, in whichever
    order, and also where only some of their runs are the same (Irber et al. 2022,
    doi:10.1101/2022.01.11.475838).
    """

    def __init__(self) -> None:
        self.hashes: set[int] = set()

    def add(self, sequences: list[bytes]) -> None:
        limit = (1 << 48) // SKETCHED
        digest = hashlib.blake2b
        for sequence in sequences:
            number = int.from_bytes(digest(sequence.rstrip(), digest_size=6).digest(), "big")
            if number < limit:
                self.hashes.add(number)

    def told(self) -> list[str]:
        return [f"{number:x}" for number in sorted(self.hashes)]


def _head(file: str, reads: int, sink: IO[bytes], sketch: _Sketch | None) -> dict[str, Any]:
    count = 0
    qualities: set[int] = set()
    ended = False
    with _opened(file) as (raw, size):
        counted = _Counted(raw)
        try:
            with gzip.GzipFile(fileobj=counted) as stream:
                while count < reads:
                    lines = list(islice(stream, 4 * min(CHUNK_READS, reads - count)))
                    if not lines:
                        break
                    _check(file, count, lines)
                    if count < QUALITY_READS:
                        qualities.update(b"".join(lines[3 : 4 * QUALITY_READS : 4]))
                    if sketch is not None:
                        sketch.add(lines[1::4])
                    sink.writelines(lines)
                    count += len(lines) // 4
                ended = not stream.read(1)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                f"{file} is cut off or corrupt soon after read {count + 1}: {error}",
                "fetch the run again",
            ) from error
    share = 1.0 if ended else min(counted.size / size, 1.0)
    values = qualities - {10, 13}
    measured = len(values) != 1 and not values <= LITE_QUALITIES
    return {"reads": count, "share": share, "measured": measured}


def _check(file: str, before: int, lines: list[bytes]) -> None:
    if not lines[-1].endswith(b"\n"):
        lines[-1] += b"\n"
    whole = len(lines) % 4 == 0
    if whole and all(
        lines[i].startswith(b"@")
        and lines[i + 2].startswith(b"+")
        and len(lines[i + 1]) == len(lines[i + 3])
        for i in range(0, len(lines), 4)
    ):
        return
    raise InputError(
        f"{file} is not FASTQ or ends within a record, near read {before + 1}",
        "fetch the run again",
    )


class _Counted(io.RawIOBase):
    """A stream that counts the compressed bytes taken from it."""

    def __init__(self, raw: IO[bytes]) -> None:
        self.raw = raw
        self.size = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self.raw.read(size)
        self.size += len(data)
        return data


@contextmanager
def _opened(file: str) -> Iterator[tuple[IO[bytes], int]]:
    if not file.startswith("s3://"):
        path = Path(file)
        with path.open("rb") as handle:
            yield handle, path.stat().st_size
        return
    from seqharvest import aws  # only where there is an object to read

    bucket, _, key = file.removeprefix("s3://").partition("/")
    answer = aws.client("s3").get_object(Bucket=bucket, Key=key)
    try:
        yield answer["Body"], answer["ContentLength"]
    finally:
        answer["Body"].close()  # leaves the rest of the object where it is


@contextmanager
def _sinks(outs: list[Path]) -> Iterator[list[IO[bytes]]]:
    handles: list[IO[bytes]] = [path.open("wb") for path in outs]
    try:
        yield handles
    finally:
        for handle in handles:
            handle.close()


def main(arguments: list[str] | None = None) -> int:
    """Write a sample's first reads, and what is known of the rest."""
    parser = argparse.ArgumentParser(
        prog="python -m seqharvest.qc.subsample", description=main.__doc__
    )
    parser.add_argument("--reads", type=int, required=True, help="reads, or pairs of reads")
    parser.add_argument("--mate1", nargs="+", required=True, help="FASTQ of each run")
    parser.add_argument(
        "--mate2", nargs="*", default=[], help="in the same order; none: single-end"
    )
    parser.add_argument("--out", nargs=2, type=Path, required=True, help="FASTQ; empty when single")
    parser.add_argument("--stats", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        mates = [options.mate1, options.mate2] if options.mate2 else [options.mate1]
        stats = subsample(mates, options.reads, options.out[: len(mates)])
    except SeqharvestError as error:
        print(f"seqharvest.qc.subsample: {error}", file=sys.stderr)
        return error.exit_code
    for unused in options.out[len(mates) :]:
        unused.touch()
    options.stats.write_text(json.dumps(stats))
    return 0


if __name__ == "__main__":
    sys.exit(main())
