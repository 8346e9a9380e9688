"""Where a release's source files and objects are."""

from pathlib import Path

from snakemake.utils import validate

from seqharvest import config_defaults, layout

SCHEMA = Path(workflow.basedir) / "schemas/config.schema.yaml"

if workflow.remote_exec:  # the head has validated; a worker starts light
    config_defaults.fill(config, SCHEMA)
else:
    validate(config, SCHEMA)

RELEASE = layout.release_prefix(config["release"])
SCRIPTS = Path(workflow.basedir) / "scripts"


def source_file(where):
    """A key of the data bucket, or an object of another bucket by its s3:// address."""
    if where.startswith(f"s3://{config['bucket']}/"):
        return where.removeprefix(f"s3://{config['bucket']}/")
    if not where.startswith("s3://"):
        return where
    name = workflow.storage_settings.default_storage_provider
    return getattr(storage, name or "s3")(where)


def input_mb(input):
    """Size of a rule's input; 0 while a rule of this run has yet to make it."""
    try:
        return input.size_mb
    except FileNotFoundError:
        return 0


def index_mem_mb(per_input_mb):
    """Memory as a multiple of the genome's size, and half as much again on each new attempt."""

    def of(wildcards, input, attempt):
        least = config["index_mem_mb"]
        return int(max(least, per_input_mb * input_mb(input)) * (1 + attempt) / 2)

    return of


def index_disk_mb(wildcards, input):
    """Disk of an index build: the index (11 times the genome) twice, as files and as the tar."""
    return int(max(3 * config["index_mem_mb"], 24 * input_mb(input)))
