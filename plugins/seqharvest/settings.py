"""Every knob of Seqharvest, once, with its default and its environment name."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

PREFIX = "SEQHARVEST_"


@dataclass(frozen=True)
class Settings:
    """Values a deployment may change; field `x_y` is read from `SEQHARVEST_X_Y`.

    AWS itself (region, credentials, `AWS_ENDPOINT_URL[_SERVICE]`) is boto3's business, not ours.
    """

    bucket: str = "seqharvest"
    table: str = "seqharvest"
    database: str = "seqharvest"  # Glue
    athena_workgroup: str = "primary"
    release: str = "demo-1"  # the reference release new projects are analysed with

    head_queue: str = "seqharvest-head"  # on demand
    worker_queue: str = "seqharvest-worker"  # Spot, instance store
    large_disk_queue: str = "seqharvest-large-disk"  # FSx for Lustre or EBS; empty: none
    #: GiB of scratch that its hosts have for jobs; 0: it is their instance store.
    large_disk_gib: float = 0.0
    head_job: str = "seqharvest-head"  # job definitions, owned by infrastructure code
    worker_job: str = "seqharvest-worker"
    fetch_job: str = "seqharvest-fetch"
    batch_poll_seconds: float = 15.0
    shard_size: int = 200  # the first worker is asked for 5 s after planning; 250 take 0.6 s more
    #: Airflow pool of the head jobs' tasks. It must exist, and include deferred tasks to bound how
    #: many heads there are at once; `default_pool` is always there and bounds only what submits.
    head_pool: str = "default_pool"

    intake_poll_seconds: float = 60.0
    approval_poll_seconds: float = 30.0
    review_url: str = "http://localhost:8080"  # where people reach the Airflow UI
    #: Users and @roles of Airflow that may review, with commas; empty: who may answer its
    #: Required Actions.
    reviewers: str = ""
    review_notifiers: str = ""  # JSON: [{"notifier": "<class>", "<argument>": …}]
    review_reminder_hours: float = 24.0  # again and again, through the notifiers
    review_policy: str = ""  # all-pass: projects whose every sample passes are approved
    owner_link: str = "mailto:seqharvest@localhost"  # the platform's owners, a link on each DAG

    eutils_url: str = "https://eutils.ncbi.nlm.nih.gov/entrez/eutils"
    geo_url: str = "https://www.ncbi.nlm.nih.gov/geo/query/acc.cgi"
    ena_portal_url: str = "https://www.ebi.ac.uk/ena/portal/api"
    sra_url: str = "https://sra-pub-run-odp.s3.amazonaws.com"
    #: ENA's filereport gives FASTQ addresses without a scheme.
    ena_fastq_scheme: str = "https"
    fetch_sources: str = "sra,ena,prefetch"  # in this order
    sdl_url: str = "https://locate.ncbi.nlm.nih.gov/sdl/2/retrieve"  # prefetch asks it for runs
    #: At most slots of the pool × runs of an array are fetched at once, over all projects.
    fetch_pool: str = "default_pool"
    fetch_array_size: int = 50
    #: Downloads at a time by source, over all projects; a source that is not named has no limit.
    fetch_limits: str = "ena=50,prefetch=20"
    #: The instance store of the poorest host a fetch may get, by its vCPUs (c5d: 25).
    scratch_gb_per_vcpu: float = 25.0
    ncbi_email: str = ""
    ncbi_tool: str = "seqharvest"
    ncbi_api_key: str = field(default="", repr=False)
    #: Requests a second of this machine to NCBI; 0: all that NCBI allows, 3, or 10 with a key.
    #: Where several machines sweep, each gets its share.
    ncbi_rate: float = 0.0

    home: str = "/opt/seqharvest"  # where the pipeline image keeps this repository
    scratch: str = "/scratch"  # a job's own fast disk
    reference_cache: str = "/scratch/reference"  # shared by the jobs of a host

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment; raise `ValueError` naming the variable that does not parse."""
        values: dict[str, object] = {}
        for knob in fields(cls):
            text = os.environ.get(PREFIX + knob.name.upper())
            if text is None:
                continue
            convert: Any = type(knob.default)  # str, int or float
            try:
                values[knob.name] = convert(text)
            except ValueError as error:
                message = f"{PREFIX}{knob.name.upper()}={text!r} is not {convert.__name__}"
                raise ValueError(message) from error
        return cls(**values)  # type: ignore[arg-type]


@cache
def settings() -> Settings:
    """Return this process's settings."""
    return Settings.from_environment()
