"""A worker job's command: fetch the run's bundle, then be Snakemake, in one process."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def main(argv: Sequence[str]) -> None:
    """Run `worker BUNDLE_URI [--arguments-from URI | SNAKEMAKE ARGUMENTS…]`; exits with its code."""
    bundle_uri, *arguments = argv
    bundle = _fetch(bundle_uri)
    if arguments[:1] == ["--arguments-from"]:
        arguments = _fetch(arguments[1])["arguments"]
    _write(bundle["files"])
    # Imported late: a bundle that cannot be had should say so at once.
    from snakemake.cli import main as snakemake

    snakemake(["--snakefile", bundle["snakefile"], *arguments, *bundle["arguments"]])


def _fetch(uri: str) -> dict[str, Any]:
    import boto3

    parts = urlsplit(uri)
    response = boto3.client("s3").get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))
    content: dict[str, Any] = json.loads(response["Body"].read())
    return content


def _write(files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
