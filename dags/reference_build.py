"""Builds a reference release from a FASTA and a GTF: checks, STAR and salmon indexes."""

from datetime import timedelta

from airflow.sdk import DAG, Param, task

from seqharvest.operators.batch import SnakemakeBatchOperator
from seqharvest.settings import settings

with DAG(
    dag_id="reference_build",
    dag_display_name="Reference build",
    description="FASTA + GTF → a release that projects are analysed with.",
    doc_md="""
### A reference release

Checks that FASTA and GTF belong together, extracts the transcripts, and builds the STAR and
salmon indexes under `reference/release=<name>/`. `release.json`, written last, has the counts,
md5s and tool versions. Building an existing release again only makes what is missing.
""",
    schedule=None,
    catchup=False,
    default_args={"owner": "seqharvest", "retries": 2, "retry_delay": timedelta(seconds=20)},
    owner_links={"seqharvest": settings().owner_link},
    tags=["seqharvest", "reference"],
    params={
        "release": Param(
            type="string",
            title="Release",
            pattern="^[A-Za-z0-9_.-]{1,64}$",
            examples=["GRCh38-ensembl112"],
        ),
        "fasta": Param(
            type="string",
            title="Genome FASTA",
            minLength=1,
            description="s3:// address, or a key of the data bucket; may be gzipped.",
        ),
        "gtf": Param(
            type="string",
            title="GTF",
            minLength=1,
            description="s3:// address, or a key of the data bucket; may be gzipped.",
        ),
        "unknown_contigs": Param(
            "error",
            enum=["error", "drop"],
            title="Contigs the FASTA lacks",
            description="Stop with their names, or drop the GTF's records on them.",
        ),
    },
) as dag:

    @task
    def plan(params: dict | None = None) -> dict:
        """Write the manifest of the build."""
        from seqharvest.operators.stage import hopeless_errors_fail
        from seqharvest.reference_plan import plan_reference

        given = dict(params or {})
        options = {"unknown_contigs": given["unknown_contigs"]}
        with hopeless_errors_fail():
            return plan_reference(given["release"], given["fasta"], given["gtf"], options)

    SnakemakeBatchOperator(task_id="build", pool=settings().head_pool, plan=plan())
