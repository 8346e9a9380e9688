"""The inventory file: which folders to list, and what their objects were made from."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from snakemake_interface_common.exceptions import WorkflowError

SCHEME = "s3://"


class Address(NamedTuple):
    """A bucket and a key, or the start of one."""

    bucket: str
    key: str


class Line(NamedTuple):
    """A folder to list, and the pattern of the keys its objects were made from, if given."""

    folder: Address
    sources: Address | None

    def is_source(self, key: str) -> bool:
        """Whether a key is one of those the folder's objects were made from."""
        if self.sources is None:
            return False
        start, _, end = self.sources.key.partition("*")
        return key.startswith(start) and key.endswith(end)

    @property
    def source_folder(self) -> Address | None:
        """The folder of the sources: the part of the pattern before its `*`."""
        if self.sources is None:
            return None
        return Address(self.sources.bucket, self.sources.key.partition("*")[0])


def address(uri: str) -> Address | None:
    """Take `s3://bucket/key` apart, or return None for what is none; `#` and `?` are plain."""
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    return Address(bucket, key) if uri.startswith(SCHEME) and bucket else None


def read(path: str) -> list[Line]:
    """Read an inventory file; raise `WorkflowError` for one that is absent or has a bad line."""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise WorkflowError(
            f"the inventory of the S3 storage cannot be read: {error}; write it before Snakemake "
            "starts, or leave --storage-seqharvest-s3-inventory out"
        ) from error
    return list(_lines(path, text))


def _lines(path: str, text: str) -> Iterator[Line]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        words = line.split("\t")  # a key may hold spaces
        folder, sources = address(words[0]), address(words[1]) if len(words) > 1 else None
        read = Line(folder, sources) if folder and len(words) == 1 + bool(sources) else None
        if read is None or not all(map(_is_folder, (read.folder, read.source_folder))):
            raise WorkflowError(
                f"{path}, line {number}: {line!r} is not `s3://bucket/folder/`, or that, a tab "
                "and `s3://bucket/sources/*`"
            )
        yield read


def _is_folder(folder: Address | None) -> bool:
    return folder is None or (folder.key.endswith("/") and folder.key != "/")
