"""Registers accessions and private samples by hand, with a form."""

from datetime import timedelta

from airflow.sdk import DAG, Param

from seqharvest.operators.sweep import RegisterOperator
from seqharvest.settings import settings

TEXT = ["null", "string"]

with DAG(
    dag_id="register",
    dag_display_name="Register by hand",
    description="Registers accessions of any kind, and private samples from a sheet.",
    doc_md="""
### Accessions and sheets become projects

- **Accessions** of any kind: a GEO series or sample (GSE, GSM), a study (PRJNA, PRJEB, SRP, ERP,
  DRP), a sample (SAMN, SRS), an experiment (SRX) or a run (SRR). A superseries is taken as its
  subseries, a run as its whole experiment.
- **A sheet** of private samples: a CSV or TSV in S3 with `sample`, `fastq_1` and `fastq_2` (S3
  addresses); other columns become metadata. It needs a **project**.

One bad accession or row stops no other: the log has a table of what became of each, bad rows with
their line numbers. `sample_intake` starts the runs of what is new.
""",
    schedule=None,
    catchup=False,
    default_args={
        "owner": "seqharvest",
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=10),
    },
    owner_links={"seqharvest": settings().owner_link},
    tags=["seqharvest", "intake"],
    params={
        "accessions": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Accessions",
            description="One a line: GSE…, GSM…, PRJ…, SRP…, SAM…, SRX…, SRR…",
        ),
        "sheet": Param(
            None, type=TEXT, title="Sheet", description="s3://… of a CSV or TSV of private samples."
        ),
        "project": Param(
            None,
            type=TEXT,
            pattern="^[A-Za-z0-9_-]{1,64}$",
            title="Project",
            description="Name of the private samples' project.",
        ),
        "release": Param(
            None, type=TEXT, title="Reference release", description="Default: SEQHARVEST_RELEASE."
        ),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Only print the table."
        ),
    },
) as dag:
    RegisterOperator(task_id="register")
