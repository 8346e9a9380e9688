"""Starts exactly one rnaseq_project run for each round of a project with new samples."""

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG

from seqharvest.sensors.new_samples import NewSamplesSensor, as_dag_run
from seqharvest.settings import settings

with DAG(
    dag_id="sample_intake",
    dag_display_name="Sample intake",
    description="Senses new samples in the registry and starts their projects' runs.",
    doc_md="""
### New samples start their project's run

`new_samples` waits, deferred, on the registry's state index. `start` then starts
`rnaseq_project` once per project: the run id (`GSE1__round1`) is the same however often it is
asked for, so asking twice does nothing. The index is the truth; no event can be missed.
""",
    # A run waits for work by itself; the schedule only makes sure that there is always one.
    schedule=timedelta(minutes=1),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "owner": "seqharvest",
        "retries": 3,
        "retry_delay": timedelta(seconds=20),
    },
    owner_links={"seqharvest": settings().owner_link},
    tags=["seqharvest", "intake"],
) as dag:
    new_samples = NewSamplesSensor(task_id="new_samples")

    TriggerDagRunOperator.partial(
        task_id="start",
        trigger_dag_id="rnaseq_project",
        logical_date=None,
        skip_when_already_exists=True,
        map_index_template="{{ task.trigger_run_id }}",
    ).expand_kwargs(new_samples.output.map(as_dag_run))
