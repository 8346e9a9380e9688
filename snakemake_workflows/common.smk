"""What the per-sample workflows share: their sample sheet, and where a chain's files live."""

from pathlib import Path

from snakemake.io import flag
from snakemake.utils import validate

from seqharvest import config_defaults, layout, sample_sheet

SCHEMAS = Path(workflow.basedir) / "schemas"

if workflow.remote_exec:  # the head has validated; a worker starts light
    config_defaults.fill(config, SCHEMAS / "config.schema.yaml")
else:
    validate(config, SCHEMAS / "config.schema.yaml")

RESULTS = config["results"].rstrip("/")
BUCKET = config["bucket"]
#: Where the reference release is read from; without a bucket the working directory is one.
SOURCE = f"s3://{BUCKET}" if BUCKET else "."


def read_samples():
    schema = None
    if not workflow.remote_exec:
        import yaml

        schema = yaml.safe_load((SCHEMAS / "samples.schema.yaml").read_text())
    return sample_sheet.read(config["samples"], schema)


SAMPLES = read_samples()


wildcard_constraints:
    sample=layout.SAMPLE_ID.pattern,  # a pattern, not the joined ids: those double the DAG's time


def scratch(path):
    """A file on the worker's own disk only: never in S3, removed when the chain is through with it.

    `local()` would make the head run the whole chain (snakemake/jobs.py, Job.is_local), and plain
    `temp()` stays a storage object; this flag is what Snakemake itself puts on a path that default
    storage must leave alone (path_modifier.py). Refer to such a file as rules.<rule>.output.<name>.
    """
    return temp(flag(path, "path_modified", True))


def scratch_log(rule):
    """A rule's log on the worker's disk; of a failed job Snakemake prints it into the job's log.

    Kept out of S3 because each stored file costs five to seven requests, and what a good run has to
    say is in its results. On a local folder logs mirror results.
    """
    return flag(f"logs/{RESULTS}/sample={{sample}}/{rule}.log", "path_modified", True)


def sample_output(name):
    """A declared output of a sample, kept under the result prefix."""
    return f"{RESULTS}/sample={{sample}}/{name}"


def all_outputs(wildcards):
    return [
        f"{RESULTS}/sample={sample}/{output}"
        for sample in SAMPLES
        for output in config["outputs"]
    ]


def reads(wildcards, mate):
    """Keys of a sample's FASTQ of one mate, run by run; none for mate 2 of a single-end sample."""
    sample = SAMPLES[wildcards.sample]
    if mate not in sample.mates:
        return []
    return [
        layout.read_key(config["project"], sample.sample, run, mate)
        for run in sample.runs
    ]


def streamed(keys):
    """Inputs that a rule reads by URI, as much of them as it wants, instead of fetching them."""
    name = workflow.storage_settings.default_storage_provider
    if name is None:
        return keys
    prefix = workflow.storage_settings.default_storage_prefix.rstrip("/")
    provider = getattr(storage, name)
    return [provider(f"{prefix}/{key}", retrieve=False) for key in keys]


def pairing(wildcards, single, paired):
    """The one of two values that fits the sample's layout."""
    return paired if SAMPLES[wildcards.sample].paired else single


def star_mem_mb(wildcards, attempt):
    """STAR holds its whole index in memory; twice as much when that was not enough."""
    return config["star_mem_mb"] * attempt


def library_type(sample):
    """salmon's name of a library: I for mates facing each other, S and the first read's strand."""
    strand = {"forward": "SF", "reverse": "SR", "unstranded": "U"}[sample.strandedness]
    return f"I{strand}" if sample.paired else strand
