"""Plans the build of a reference release: the manifest for its head job."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from seqharvest import aws, layout
from seqharvest.errors import InputError
from seqharvest.settings import settings

STAGE = "reference"
UNKNOWN_CONTIGS = ("error", "drop")


def plan_reference(
    release: str, fasta: str, gtf: str, config: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Write the manifest that builds a release from a FASTA and a GTF; return its key and digest.

    The files are s3:// URIs or keys of the data bucket. Raises `InputError` for a release name
    that cannot be part of a key, a file that is not there, or an unknown option.
    """
    if not re.fullmatch(layout.PROJECT_ID.pattern.replace("_-", "_.-"), release or ""):
        raise InputError(
            f"release {release!r} is not 1 to 64 letters, digits, '_', '.' or '-'",
            "name it like GRCh38-ensembl112",
        )
    config = {"unknown_contigs": "error", **(config or {})}
    if config["unknown_contigs"] not in UNKNOWN_CONTIGS:
        raise InputError(
            f"unknown_contigs is {config['unknown_contigs']!r}",
            f"use one of {', '.join(UNKNOWN_CONTIGS)}",
        )
    bucket = settings().bucket
    manifest = {
        "stage": STAGE,
        "workflow": "reference",
        "project": release,
        "release": release,
        "fingerprint": "",
        "bucket": bucket,
        "config": {**config, "fasta": _found(fasta, "FASTA"), "gtf": _found(gtf, "GTF")},
        "target": "release",
        "samples": [],
    }
    body = json.dumps(manifest, sort_keys=True).encode()
    digest = hashlib.sha256(body).hexdigest()[:12]
    key = layout.manifest_key(STAGE, release, digest)
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    return {"manifest": key, "digest": digest}


def _found(where: str, what: str) -> str:
    """Return the address of an object that exists, or raise `InputError` naming it."""
    from botocore.exceptions import ClientError

    bucket, _, key = where.removeprefix("s3://").partition("/")
    if not where.startswith("s3://"):
        bucket, key = settings().bucket, where
    try:
        aws.client("s3").head_object(Bucket=bucket, Key=key or "-")
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchKey", "NoSuchBucket", "403"):
            raise
        raise InputError(
            f"the {what} of the release is not at {where!r} ({error.response['Error']['Code']})",
            f"upload it and give its s3:// address, or its key in {settings().bucket}",
        ) from error
    return where
