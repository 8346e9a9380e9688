"""A host's cache of a reference release: fetched once, checked, unpacked, shared by its jobs."""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import logging
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from seqharvest.errors import InputError, SeqharvestError, VerificationError
from seqharvest.layout import release_prefix
from seqharvest.settings import settings

log = logging.getLogger(__name__)

#: What a job may ask for, and the release's object that holds it.
PARTS = {
    "genome": "genome.fa",
    "genes": "genes.gtf",
    "transcripts": "transcripts.fa",
    "tx2gene": "tx2gene.tsv",
    "star": "star.tar",
    "salmon": "salmon.tar",
}
CHUNK = 1 << 20


def cached(
    release: str, part: str, *, source: str = "", cache_dir: Path | str | None = None
) -> Path:
    """Return the host's copy of a part: a folder for an index, a file for the others.

    `source` is `s3://bucket` or a folder with the bucket's layout; the default is the data bucket.
    The first job to ask fetches, under a lock; the others wait for it. Raises `InputError` for an
    unknown part or release, `VerificationError` when the bytes are not those of `release.json`.
    """
    if part not in PARTS:
        raise InputError(f"a release has no part {part!r}", f"use one of {', '.join(PARTS)}")
    name = PARTS[part]
    promised = describe(release, source)["objects"].get(name)
    if promised is None:
        raise InputError(
            f"release {release} was built without {name}", "build it again (DAG reference_build)"
        )
    folder = Path(cache_dir or settings().reference_cache) / f"release={release}"
    # A release that was built again gets a new place: jobs in mid-run keep theirs.
    place = folder / f"{promised['md5'][:12]}-{name.removesuffix('.tar')}"
    if place.exists():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"{name}.lock"):
        if not place.exists():
            _fetch(source, release_prefix(release) + name, promised, place)
    return place


def describe(release: str, source: str = "") -> dict[str, Any]:
    """Read a release's `release.json`; raise `InputError` when the release is not built."""
    key = release_prefix(release) + "release.json"
    with _opened(source, key) as stream:
        text = stream.read()
    try:
        return dict(json.loads(text))
    except ValueError as error:
        raise VerificationError(f"{key} is not JSON: {error}", "build the release again") from error


def _fetch(source: str, key: str, promised: dict[str, Any], place: Path) -> None:
    for left in place.parent.glob(f"{place.name}.part-*"):
        shutil.rmtree(left)  # of a job that was killed; we hold the lock, so nobody writes there
    log.info("fetching %s", key)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{place.name}.part-", dir=place.parent))
    try:
        with _opened(source, key) as stream:
            measured = _Measured(stream)
            target = _unpack(measured, key, unfinished / place.name)
            measured.drain()
        if (measured.size, measured.md5.hexdigest()) != (promised["size"], promised["md5"]):
            raise VerificationError(
                f"{key} is {measured.size} bytes with md5 {measured.md5.hexdigest()}; release.json "
                f"promises {promised['size']} bytes with md5 {promised['md5']}",
                "build the release again",
            )
        for path in target.rglob("*") if target.is_dir() else [target]:
            path.chmod(path.stat().st_mode & ~0o222)  # shared: nobody writes
        target.rename(place)
    finally:
        shutil.rmtree(unfinished)


def _unpack(stream: Any, key: str, target: Path) -> Path:
    if not key.endswith(".tar"):
        with target.open("wb") as sink:
            shutil.copyfileobj(stream, sink, CHUNK)
        return target
    try:
        # While it arrives: the archive itself never takes room on the disk.
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            target.mkdir()
            for member in archive:
                # An index is a flat folder of files; Debian 12's Python has no extraction filter.
                if not member.isfile() or Path(member.name).name != member.name:
                    raise VerificationError(
                        f"{key} holds {member.name!r}, which is no plain file name",
                        "build the release again",
                    )
                archive.extract(member, target)
    except (tarfile.TarError, EOFError) as error:
        raise VerificationError(
            f"{key} is not a whole tar archive: {error}", "build the release again"
        ) from error
    return target


class _Measured:
    """A stream that counts and hashes what passes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.size = 0
        self.md5 = hashlib.md5(usedforsecurity=False)

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.size += len(data)
        self.md5.update(data)
        return data

    def drain(self) -> None:
        while self.read(CHUNK):
            pass


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # released by the kernel, however the process ends
        yield


def _opened(source: str, key: str) -> AbstractContextManager[IO[bytes]]:
    source = source or f"s3://{settings().bucket}"
    if source.startswith("s3://"):
        return _opened_object(source.removeprefix("s3://").rstrip("/"), key)
    path = Path(source) / key
    if not path.is_file():
        raise _not_there(str(path))
    return path.open("rb")


@contextmanager
def _opened_object(bucket: str, key: str) -> Iterator[IO[bytes]]:
    from botocore.exceptions import ClientError

    from seqharvest import aws  # half a second of imports that a folder need not wait for

    try:
        body = aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
            raise _not_there(f"s3://{bucket}/{key}") from error
        raise
    try:
        yield body
    finally:
        body.close()


def _not_there(where: str) -> InputError:
    return InputError(
        f"the reference release has no object {where}",
        "build the release (DAG reference_build), or name another one",
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the path of a release's part on this host."""
    parser = argparse.ArgumentParser(
        prog="python -m seqharvest.reference", description=main.__doc__
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--release", default="", help="default: SEQHARVEST_RELEASE")
    parser.add_argument("--source", default="", help="s3://bucket or a folder; default: the bucket")
    options = parser.parse_args(arguments)
    try:
        print(cached(options.release or settings().release, options.part, source=options.source))
    except SeqharvestError as error:
        print(f"seqharvest.reference: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"))
    sys.exit(main())
