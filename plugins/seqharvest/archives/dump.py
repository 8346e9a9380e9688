"""Turns an archive on scratch into verified mates that are pending in S3."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from seqharvest.archives.fastq import CHUNK, PIPE
from seqharvest.archives.mates import MateStream
from seqharvest.archives.model import Run
from seqharvest.archives.reads import Mate, Workbench, check_run, run_tool, tail
from seqharvest.archives.spots import SpotSplitter
from seqharvest.errors import SeqharvestError, VerificationError

SPOTS_READ = (re.compile(r"spots read\s*:\s*([\d,]+)"), re.compile(r"^Read (\d+) spots for", re.M))
VERSION = re.compile(r"\d+(?:\.\d+)+")
DEFLINE = "@$ac.$si/$ri $sn"  # the original name follows: it tells flow cell, lane and tile


def dump(archive: Path, run: Run, bench: Workbench) -> tuple[list[Mate], int, dict[str, str]]:
    """Return the mates, the count of orphans and the tools' versions; the archive is used up.

    Raises `VerificationError` unless the archive validates, its dump ends well, and as many spots
    come out as it holds and as are published. No single check is enough: a flipped bit passes
    the dump, an empty file passes vdb-validate.
    """
    bench.progress.unpack()
    command = _command(archive, bench)
    with ExitStack() as stack:
        validation = stack.enter_context(_Tool(["vdb-validate", str(archive)], bench.folder))
        dumping = stack.enter_context(_Tool(command, bench.folder, piped=True))
        streams = _Streams(run, bench)
        stack.callback(streams.close)
        splitter = SpotSplitter(run.accession)
        for piece in dumping.pieces():
            streams.write(*splitter.feed(piece))
        validation.end(f"vdb-validate rejects {archive.name}")
        said = dumping.end(f"{command[0]} fails on {archive.name}")
        streams.write(*splitter.finish())
        _check_spots(run, said, splitter.pairs + splitter.singles)
        archive.unlink()
        mates, orphans = streams.finish()
    check_run(run, [mate.report for mate in mates], orphans)
    return mates, orphans, _versions(command[0], bench.folder)


def _command(archive: Path, bench: Workbench) -> list[str]:
    """Return the command that writes the reads, spot after spot, to its standard output.

    fastq-dump needs no disk, where fasterq-dump first writes all FASTQ to temporary files; both
    write the same bytes. Only for aligned archives, which it reads in random order, is fastq-dump
    too slow.
    """
    tables = run_tool(["vdb-dump", "--table_enum", str(archive)], bench.folder)
    if "PRIMARY_ALIGNMENT" not in tables.stdout:
        options = ["--split-spot", "--skip-technical", "--stdout"]
        deflines = ["--defline-seq", DEFLINE, "--defline-qual", "+"]
        return ["fastq-dump", *options, *deflines, str(archive)]
    options = ["--split-spot", "--skip-technical", "--stdout", "--threads", str(bench.threads)]
    deflines = ["--seq-defline", DEFLINE, "--qual-defline", "+"]
    temporary = ["--temp", str(bench.folder / "temp")]
    return ["fasterq-dump", *options, *deflines, *temporary, str(archive)]


def _check_spots(run: Run, said: str, found: int) -> None:
    counts = [int(n.replace(",", "")) for how in SPOTS_READ for n in how.findall(said)]
    if not counts:
        raise VerificationError(f"the dump did not say how many spots it read: {tail(said)}")
    if sum(counts) != found:
        raise VerificationError(
            f"run {run.accession}: its dump read {sum(counts)} spots and wrote {found}",
            "try another source",
        )


class _Streams:
    """The mates of a run as they come: pairs, and single reads, which in the end are orphans."""

    def __init__(self, run: Run, bench: Workbench) -> None:
        self.run, self.bench = run, bench
        self.open: dict[str, MateStream] = {}

    def write(self, first: bytes, second: bytes, single: bytes) -> None:
        for name, mate, piece in (("1", 1, first), ("2", 2, second), ("single", 1, single)):
            if piece:
                self._stream(name, mate).write(piece)

    def finish(self) -> tuple[list[Mate], int]:
        mates = {name: stream.finish() for name, stream in self.open.items()}
        if not mates:
            raise VerificationError(f"run {self.run.accession}: its dump has no reads")
        if "1" not in mates:
            return [mates["single"]], 0
        orphans = mates.get("single")
        return [mates["1"], mates["2"]], orphans.report.reads if orphans else 0

    def close(self) -> None:
        for stream in self.open.values():
            stream.close()

    def _stream(self, name: str, mate: int) -> MateStream:
        if name not in self.open:
            target = self.bench.shelf.open(mate, 3 * self.run.sra_size)
            file = f"{self.run.accession}_{name}.fastq"
            self.open[name] = MateStream(file, target, self.bench.threads)
        return self.open[name]


class _Tool:
    """A tool at work beside others; leaving its block ends it."""

    def __init__(self, command: Sequence[str], folder: Path, piped: bool = False) -> None:
        # A pipe that nobody reads would stop it.
        self.said = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        out: int | IO[bytes] = subprocess.PIPE if piped else self.said
        try:
            self.process = subprocess.Popen(
                command, cwd=folder, stdout=out, stderr=self.said, pipesize=PIPE if piped else -1
            )
        except FileNotFoundError as error:
            raise SeqharvestError(
                f"{command[0]} is not installed", "run in the pipeline image"
            ) from error

    def __enter__(self) -> _Tool:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        if self.process.stdout:
            self.process.stdout.close()
        self.process.wait()
        self.said.close()

    def pieces(self) -> Iterator[bytes]:
        assert self.process.stdout
        while piece := self.process.stdout.read(CHUNK):
            yield piece

    def end(self, complaint: str) -> str:
        """Wait for it and return what it said; raises `VerificationError` unless it went well."""
        code = self.process.wait()
        self.said.seek(0)
        said = self.said.read().decode("utf-8", "replace")
        if code != 0:
            raise VerificationError(f"{complaint} with {code}: {tail(said)}", "try another source")
        return said


def _versions(dumper: str, folder: Path) -> dict[str, str]:
    versions = {}
    for tool in (dumper, "vdb-validate", "pigz"):
        said = run_tool([tool, "--version"], folder)
        match = VERSION.search(said.stdout + said.stderr)
        versions[tool] = match.group() if match else "unknown"
    return versions
