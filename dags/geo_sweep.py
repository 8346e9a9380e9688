"""Registers the RNA-seq series that GEO published on the day before, every night."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from seqharvest.operators.sweep import GeoSweepOperator
from seqharvest.settings import settings

DAY = {"type": ["null", "string"], "format": "date"}

with DAG(
    dag_id="geo_sweep",
    dag_display_name="GEO sweep",
    description="Finds new series in GEO and registers their samples.",
    doc_md="""
### New series in GEO become projects

Each night, the series published in the data interval are resolved to samples and runs at ENA and
registered; `sample_intake` takes it from there. The window overlaps the day before, for series
that are listed late. Registering twice is harmless, so a day can be swept again, and a backfill
over any past range sweeps its days in parallel, at NCBI's pace together. By hand: a window of
days, or a list of accessions. The task's log has a table with what became of each series, and why.
""",
    # @daily would give an interval whose start is its end.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2008, 1, 1, tzinfo=UTC),  # the first RNA-Seq in GEO
    catchup=False,
    max_active_runs=16,  # days of a backfill; the archives' clients keep a common pace
    default_args={
        "owner": "seqharvest",
        "retries": 5,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(hours=1),
    },
    owner_links={"seqharvest": settings().owner_link},
    tags=["seqharvest", "intake", "geo"],
    params={
        "organisms": Param(
            ["Homo sapiens"], type="array", items={"type": "string"}, title="Organisms"
        ),
        "assays": Param(
            ["expression profiling by high throughput sequencing"],
            type="array",
            items={"type": "string"},
            title="Assay terms",
            description="GEO's data set types; a series with one of them is taken.",
        ),
        "minimum_samples": Param(
            2, type="integer", minimum=1, title="Samples at least", description="Per series."
        ),
        "quota": Param(
            100, type="integer", minimum=1, title="New projects at most", description="Per day."
        ),
        "release": Param(
            None,
            type=["null", "string"],
            title="Reference release",
            description="For what is registered. Default: SEQHARVEST_RELEASE.",
        ),
        "dry_run": Param(
            False, type="boolean", title="Dry run", description="Only print the table."
        ),
        "start": Param(None, **DAY, title="From", description="Instead of the data interval."),
        "end": Param(None, **DAY, title="To", description="The last day, itself included."),
        "accessions": Param(
            None,
            type=["null", "array"],
            items={"type": "string"},
            title="Accessions",
            description="Register just these (see the DAG `register`), no sweep.",
        ),
    },
) as dag:
    GeoSweepOperator(task_id="sweep")
