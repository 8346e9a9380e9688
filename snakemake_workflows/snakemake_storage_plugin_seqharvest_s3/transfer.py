"""Fetching, storing and removing objects and folders of objects."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from snakemake_storage_plugin_seqharvest_s3.inventory import Address

DELETE_AT_ONCE = 1000  # keys a DeleteObjects request takes


def fetch(s3: Any, where: Address, path: Path) -> None:
    """Fetch an object; in parts, several at once, when it is large."""
    s3.download_file(where.bucket, where.key, str(path))


def fetch_folder(s3: Any, where: Address, keys: Iterable[str], path: Path) -> None:
    """Fetch the objects of a folder into a directory."""
    path.mkdir(parents=True, exist_ok=True)
    for key in keys:
        target = path / key.removeprefix(f"{where.key}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch(s3, Address(where.bucket, key), target)


def store(s3: Any, path: Path, where: Address) -> None:
    """Store a file, or every file of a directory; the bucket must be there."""
    for part, key in _files(path, where.key):
        s3.upload_file(str(part), where.bucket, key)


def remove(s3: Any, bucket: str, keys: Iterable[str]) -> None:
    """Remove objects; the bucket stays, empty or not."""
    rest = iter(keys)
    while some := list(islice(rest, DELETE_AT_ONCE)):
        if len(some) == 1:
            s3.delete_object(Bucket=bucket, Key=some[0])
            continue
        answer = s3.delete_objects(
            Bucket=bucket, Delete={"Objects": [{"Key": key} for key in some], "Quiet": True}
        )
        if errors := answer.get("Errors"):
            raise OSError(f"{len(errors)} objects were not removed, the first of them {errors[0]}")


def _files(path: Path, key: str) -> Iterator[tuple[Path, str]]:
    if not path.is_dir():
        yield path, key
        return
    for part in sorted(path.rglob("*")):
        if part.is_file():
            yield part, f"{key}/{part.relative_to(path).as_posix()}"
