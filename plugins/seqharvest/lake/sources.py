"""What a load reads: its manifest and the per-sample Parquet files the manifest names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from botocore.exceptions import ClientError

from seqharvest.aws import client
from seqharvest.errors import InputError, LoadError
from seqharvest.lake.merge import SPOOL_ROWS
from seqharvest.lake.parquet import read, write
from seqharvest.lake.schemas import Table
from seqharvest.layout import check_project_id, check_sample_id, uri

RELEASE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
DOWNLOADS = 8  # at once; each waits for S3 most of its time


@dataclass(frozen=True)
class LoadManifest:
    """A load's work list, checked."""

    bucket: str
    digest: str
    project: str
    release: str
    fingerprint: str
    qc_fingerprint: str
    samples: tuple[dict[str, Any], ...]
    tables: Mapping[str, tuple[str, ...]]
    verdicts: str | None

    @property
    def sample_ids(self) -> frozenset[str]:
        """The samples that shall be in the lake; no others."""
        return frozenset(row["sample"] for row in self.samples)


def read_manifest(manifest_uri: str) -> LoadManifest:
    """Read and check a load manifest; `InputError` says what is wrong with it."""
    match = re.fullmatch(r"s3://([^/]+)/(.+)", manifest_uri)
    if not match:
        raise InputError(f"{manifest_uri!r} is not s3://bucket/key", "give the manifest's address")
    bucket, key = match.groups()
    content = read_json(bucket, key)
    try:
        return LoadManifest(
            bucket=str(content.get("bucket") or bucket),
            digest=Path(key).stem.rpartition("-")[2],
            project=check_project_id(content["project"]),
            release=check_release(content["release"]),
            fingerprint=content["fingerprint"],
            qc_fingerprint=content.get("qc_fingerprint") or "",
            samples=_checked_samples(content["samples"]),
            tables={name: tuple(keys) for name, keys in content["tables"].items()},
            verdicts=content.get("verdicts"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{manifest_uri} is not a load manifest: {error!r}") from error


def check_release(release: str) -> str:
    """Return the release, or raise `InputError` when it cannot be part of a key or of SQL."""
    if not RELEASE.fullmatch(release or ""):
        raise InputError(
            f"release {release!r} is not 1 to 64 letters, digits, '_', '.' or '-'",
            "rename the release",
        )
    return release


def _checked_samples(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return the samples that belong in the lake: all but those a reviewer excluded."""
    seen = set()
    for row in rows:
        sample = check_sample_id(row["sample"])
        if sample in seen:
            raise InputError(f"sample {sample} is in the load manifest twice")
        seen.add(sample)
    return tuple(dict(row) for row in rows if row.get("state") != "excluded")


def read_json(bucket: str, key: str) -> dict[str, Any]:
    """Read a JSON object from S3; `InputError` when it is absent or not JSON."""
    try:
        body = client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket", "404"):
            raise InputError(f"{uri(bucket, key)} does not exist") from error
        raise
    try:
        content = json.loads(body)
    except ValueError as error:
        raise InputError(f"{uri(bucket, key)} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{uri(bucket, key)} is not a JSON object")
    return content


def etags(manifest: LoadManifest, keys: Iterable[str]) -> dict[str, str]:
    """Return the ETag of each key, from LIST pages; `LoadError` naming what is absent or empty."""
    wanted = set(keys)
    found: dict[str, str] = {}
    pages = client("s3").get_paginator("list_objects_v2")
    prefix = os.path.commonprefix(sorted(wanted))  # noqa: RUF071 - S3 prefixes are plain text
    for page in pages.paginate(Bucket=manifest.bucket, Prefix=prefix) if wanted else ():
        for entry in page.get("Contents", ()):
            if entry["Key"] in wanted and entry["Size"]:
                found[entry["Key"]] = entry["ETag"]
    missing = sorted(wanted - set(found))
    if missing:
        raise LoadError(
            f"project {manifest.project}: {len(missing)} of {len(wanted)} result files are absent "
            f"or empty, first {uri(manifest.bucket, missing[0])}",
            "run the analysis of the project again; it makes only what is missing",
        )
    return found


def spool(manifest: LoadManifest, table: Table, keys: Sequence[str], folder: Path) -> list[Path]:
    """Fetch per-sample files to local disk, checked and sorted, in pieces `merge` can read.

    Raises `LoadError` for a file that is unreadable, does not fit the schema, or has rows of a
    sample that is not in the manifest.
    """

    def fetch(numbered: tuple[int, str]) -> Path:
        number, key = numbered
        path = folder / f"{number}.parquet"
        client("s3").download_file(manifest.bucket, key, str(path))
        origin = uri(manifest.bucket, key)
        data = read(table, path, origin)
        strangers = set(pc.unique(data.column("sample")).to_pylist()) - manifest.sample_ids
        if strangers:
            raise LoadError(
                f"{origin} has rows of {', '.join(sorted(strangers))}, not in the manifest",
                "delete it and run the sample's analysis again",
            )
        write(table, data, path, row_group_rows=SPOOL_ROWS)
        return path

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        return list(pool.map(fetch, enumerate(keys)))
