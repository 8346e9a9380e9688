"""Names of things in the data bucket: every S3 key Seqharvest reads or writes is built here."""

from __future__ import annotations

import re

from seqharvest.errors import InputError

PROJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SAMPLE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def check_project_id(project: str) -> str:
    """Return the id, or raise `InputError` when it cannot be part of a key."""
    if not PROJECT_ID.fullmatch(project or ""):
        raise InputError(
            f"project id {project!r} is not 1 to 64 letters, digits, '_' or '-'",
            "give a GEO series (GSE…), a study (PRJ…, SRP…, ERP…, DRP…) or a batch name",
        )
    return project


def check_sample_id(sample: str) -> str:
    """Return the id, or raise `InputError` when it cannot be part of a key."""
    if not SAMPLE_ID.fullmatch(sample or ""):
        raise InputError(
            f"sample id {sample!r} is not 1 to 64 letters, digits, '_', '.' or '-'",
            "rename the sample in its sheet",
        )
    return sample


def raw_prefix(project: str, sample: str = "") -> str:
    """`raw/project=<p>/` or, with a sample, `raw/project=<p>/sample=<s>/`."""
    return f"raw/project={project}/" + (f"sample={sample}/" if sample else "")


def read_key(project: str, sample: str, run: str, mate: int) -> str:
    """Key of a run's FASTQ; a single-end run has mate 1 only."""
    return f"{raw_prefix(project, sample)}{run}_{mate}.fastq.gz"


def provenance_key(project: str, sample: str, run: str) -> str:
    """Key of a run's provenance, written last: where it exists, the run is fetched."""
    return f"{raw_prefix(project, sample)}{run}.json"


def release_prefix(release: str) -> str:
    """`reference/release=<r>/`."""
    return f"reference/release={release}/"


def result_prefix(workflow: str, fingerprint: str, project: str, sample: str = "") -> str:
    """Prefix of a workflow's results: `<workflow>/fingerprint=<f>/project=<p>/[sample=<s>/]`."""
    base = f"{workflow}/fingerprint={fingerprint}/project={project}/"
    return base + (f"sample={sample}/" if sample else "")


def report_prefix(fingerprint: str, project: str) -> str:
    """Prefix of a project's QC report: verdicts.json and multiqc_report.html."""
    return f"qc/fingerprint={fingerprint}/project={project}/report/"


def lake_prefix(table: str, release: str = "", project: str = "") -> str:
    """Prefix of a lake table, or of one of its partitions."""
    prefix = f"lake/{table}/"
    return f"{prefix}release={release}/project={project}/" if project else prefix


def manifest_key(stage: str, project: str, digest: str) -> str:
    """Key of a job's work list; `digest` is the hash of its content."""
    return f"manifests/project={project}/{stage}-{digest}.json"


def manifest_parts(key: str) -> tuple[str, str, str]:
    """Return stage, project and digest of a manifest's key."""
    folder, _, name = key.rpartition("/")
    stage, _, digest = name.removesuffix(".json").rpartition("-")
    return stage, folder.partition("project=")[2], digest


def outcome_key(stage: str, project: str, digest: str) -> str:
    """Key of what became of a manifest: failures by sample, written by the job at its end."""
    return f"logs/batch/{stage}/project={project}/{digest}.json"


def progress_key(stage: str, project: str, digest: str) -> str:
    """Key of how far the head job of a manifest is, written over and over while it runs.

    Not among the outcomes: those are listed, and each is read, to find a sample's failure.
    """
    return f"logs/progress/{stage}/project={project}/{digest}.json"


def uri(bucket: str, key: str) -> str:
    """`s3://bucket/key`."""
    return f"s3://{bucket}/{key}"
