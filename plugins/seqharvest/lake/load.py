"""The load job: replaces a project's partition of every lake table, then has Athena confirm it.

`python -m seqharvest.lake.load s3://bucket/manifest.json` runs as one Batch job. Each table is
one object, put in one step, so readers see the old rows or the new ones and a killed load
leaves the old ones. A table whose sources have not changed is confirmed, not written again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from seqharvest.aws import client
from seqharvest.errors import LoadError, SeqharvestError
from seqharvest.lake import athena, catalogue
from seqharvest.lake.merge import merge_files
from seqharvest.lake.parquet import write
from seqharvest.lake.rows import qc_rows, sample_rows
from seqharvest.lake.schemas import TABLES, Table
from seqharvest.lake.sources import LoadManifest, etags, read_json, read_manifest, spool
from seqharvest.layout import lake_prefix, outcome_key, uri

log = logging.getLogger(__name__)

#: Part of what decides a part's bytes: raise when merging or writing changes.
WRITER_VERSION = "1"
#: Tables merged from per-sample files. `samples` comes last, so that a reader who joins it
#: never meets a sample whose measurements are not there yet.
MERGED = ("gene_quant", "transcript_quant", "junctions")
#: Two sums of the same doubles in another order agree to far better than this.
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Written:
    """What one part holds, as counted while it was written."""

    rows: int
    samples: int
    total: float  # sum of the table's measure


def load(manifest_uri: str, scratch: Path | None = None) -> dict[str, Any]:
    """Load a project as its manifest says and return the outcome, `{"rows": {table: n}}`.

    Raises `InputError` for a bad manifest, `LoadError` when a source is missing or broken or
    when Athena does not see what was written.
    """
    manifest = read_manifest(manifest_uri)
    catalogue.ensure_tables(manifest.bucket)
    rows = {}
    with tempfile.TemporaryDirectory(prefix="load-", dir=scratch) as folder:
        for name in MERGED:
            rows[name] = _load_files(manifest, TABLES[name], Path(folder))
        verdicts = read_json(manifest.bucket, manifest.verdicts) if manifest.verdicts else {}
        qc, samples = TABLES["qc_metrics"], TABLES["samples"]
        rows[qc.name] = _load_rows(manifest, qc, qc_rows(manifest, verdicts), Path(folder))
        rows[samples.name] = _load_rows(manifest, samples, sample_rows(manifest), Path(folder))
    outcome = {"rows": rows}
    client("s3").put_object(
        Bucket=manifest.bucket,
        Key=outcome_key("load", manifest.project, manifest.digest),
        Body=json.dumps(outcome).encode(),
        ContentType="application/json",
    )
    return outcome


def part_key(table: Table, release: str, project: str) -> str:
    """Key of the only object of a table's partition."""
    return lake_prefix(table.name, release, project) + "part-0.parquet"


def verify(table: Table, release: str, project: str, written: Written) -> None:
    """Ask Athena what it sees of a partition; `LoadError` with both figures when it differs."""
    # Both literals were checked by `read_manifest`: they hold no quote.
    sql = (
        f"SELECT count(*) AS n, count(DISTINCT sample) AS samples, sum({table.measure}) AS total "
        f"FROM {table.name} WHERE release = '{release}' AND project = '{project}'"
    )
    seen = athena.query(sql)[0]
    total = seen["total"] or 0.0
    agrees = (
        seen["n"] == written.rows
        and seen["samples"] == written.samples
        and math.isclose(total, written.total, rel_tol=SUM_TOLERANCE, abs_tol=SUM_TOLERANCE)
    )
    if not agrees:
        raise LoadError(
            f"project {project}, release {release}, table {table.name}: Athena sees {seen['n']} "
            f"rows of {seen['samples']} samples with {table.measure} = {total:.12g}, written were "
            f"{written.rows} rows of {written.samples} samples with {written.total:.12g}",
            f"look for other objects than part-0.parquet below "
            f"{lake_prefix(table.name, release, project)} and load again",
        )


def _load_files(manifest: LoadManifest, table: Table, folder: Path) -> int:
    keys = manifest.tables.get(table.name, ())
    tags = etags(manifest, keys)

    def build(target: Path) -> Written:
        with tempfile.TemporaryDirectory(prefix=table.name, dir=folder) as spooled:
            sources = spool(manifest, table, keys, Path(spooled))
            totals = merge_files(table, sources, target, Path(spooled))
        return Written(totals.rows, len(totals.samples), totals.total)

    return _replace(manifest, table, sorted(tags.items()), build, folder)


def _load_rows(
    manifest: LoadManifest, table: Table, rows: list[dict[str, Any]], folder: Path
) -> int:
    def build(target: Path) -> Written:
        write(table, table.from_rows(rows), target)
        values = (row.get(table.measure) for row in rows)
        total = math.fsum(value for value in values if value is not None)
        return Written(len(rows), len({row["sample"] for row in rows}), total)

    return _replace(manifest, table, rows, build, folder)


def _replace(manifest: LoadManifest, table: Table, sources: Any, build: Any, folder: Path) -> int:
    """Write the part unless it already has these sources, then verify; return its row count."""
    release, project = manifest.release, manifest.project
    identity = _identity(table, sources)
    known = _recorded(manifest, table, identity)
    if known is not None:
        catalogue.ensure_partition(table, release, project, manifest.bucket)
        try:
            verify(table, release, project, known)
        except LoadError as error:
            log.warning("project %s: %s is written again: %s", project, table.name, error)
        else:
            log.info("project %s: %s is unchanged, %d rows", project, table.name, known.rows)
            return known.rows
    part = folder / f"{table.name}.parquet"
    written = build(part)
    _put(manifest, table, part, identity, written)
    part.unlink()
    catalogue.ensure_partition(table, release, project, manifest.bucket)
    verify(table, release, project, written)
    log.info("project %s: loaded %d rows into %s", project, written.rows, table.name)
    return written.rows


def _identity(table: Table, sources: Any) -> str:
    """Hash what decides a part's content: sources, schema and the way it is written."""
    schema = [(column.name, column.type) for column in table.columns]
    decides = [WRITER_VERSION, table.name, table.sort, schema, sources]
    text = json.dumps(decides, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _recorded(manifest: LoadManifest, table: Table, identity: str) -> Written | None:
    """Return what the present part was written with, if its sources were the same."""
    key = part_key(table, manifest.release, manifest.project)
    try:
        head = client("s3").head_object(Bucket=manifest.bucket, Key=key)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NotFound"):
            return None
        raise
    metadata: Mapping[str, str] = head.get("Metadata", {})
    if metadata.get("identity") != identity:
        return None
    return Written(int(metadata["rows"]), int(metadata["samples"]), float(metadata["total"]))


def _put(manifest: LoadManifest, table: Table, part: Path, identity: str, written: Written) -> None:
    client("s3").upload_file(  # a multipart upload, too, shows only once it is complete
        str(part),
        manifest.bucket,
        part_key(table, manifest.release, manifest.project),
        ExtraArgs={
            "Metadata": {
                "identity": identity,
                "rows": str(written.rows),
                "samples": str(written.samples),
                "total": repr(written.total),
            }
        },
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code follows from the error's class."""
    parser = argparse.ArgumentParser(description="Load a project into the lake.")
    parser.add_argument("manifest", help="s3://bucket/key of the load manifest")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        outcome = load(options.manifest, scratch=Path.cwd())
    except SeqharvestError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except (ClientError, BotoCoreError) as error:
        print(f"error: AWS, while loading {options.manifest}: {error}", file=sys.stderr)
        return 1
    for name, count in outcome["rows"].items():
        print(f"{uri('lake', name)} {count} rows")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
