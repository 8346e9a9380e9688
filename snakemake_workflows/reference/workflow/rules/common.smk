"""Where a release's source files and objects are."""

from pathlib import Path

from snakemake.utils import validate

from seqharvest import layout

validate(config, Path(workflow.basedir) / "schemas/config.schema.yaml")

RELEASE = layout.release_prefix(config["release"])
SCRIPTS = Path(workflow.basedir) / "scripts"


def source_file(where):
    """A key of the data bucket, or an object of another bucket by its s3:// address."""
    if where.startswith(f"s3://{config['bucket']}/"):
        return where.removeprefix(f"s3://{config['bucket']}/")
    return storage.s3(where) if where.startswith("s3://") else where


def index_mem_mb(per_genome_mb):
    """Memory as a multiple of the genome's size, and half as much again on each new attempt."""

    def of(wildcards, input, attempt):
        try:
            size = input.size_mb
        except (
            FileNotFoundError
        ):  # made by a rule of this run; the config's floor must do
            size = 0
        return int(
            max(config["index_mem_mb"], per_genome_mb * size) * (1 + attempt) / 2
        )

    return of
