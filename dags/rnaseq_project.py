"""One project's way from the archives to the lake: fetch, QC, a person's review, analysis, load."""

from datetime import timedelta

from airflow.sdk import DAG, Param, TaskGroup, TriggerRule

from seqharvest.operators.batch import BatchJobOperator, SnakemakeBatchOperator
from seqharvest.operators.conclude import ConcludeOperator, keep_reason
from seqharvest.operators.lake import LakeLoadOperator
from seqharvest.operators.outputs import S3OutputsExistShortCircuitOperator
from seqharvest.operators.stage import StageOperator
from seqharvest.sensors.approval import QCApprovalSensor
from seqharvest.settings import settings

PROJECT = "{{ params.project }}"
#: A stage is recorded even if one of its jobs failed: the samples that are done go on.
AFTER_JOBS = TriggerRule.ALL_DONE_MIN_ONE_SUCCESS

with DAG(
    dag_id="rnaseq_project",
    dag_display_name="RNA-seq project",
    description="Fetch → QC → review by a person → analysis of what is missing → lake.",
    doc_md="""
### One project, from its reads to the lake

| Part | What happens | Where it can be looked at |
|---|---|---|
| `open` | claims the project for this run | `python -m seqharvest.registry show PROJECT` |
| `fetch` | Batch arrays, one a size of runs, fetch and verify what is missing | `raw/project=…` |
| `qc` | a Snakemake head job per shard; then MultiQC and a verdict per sample | `qc/…/report/` |
| `approve` | **waits for a person**, for days if need be | the task's log says how to decide |
| `missing` | lists what the analysis lacks; with nothing missing, the analysis is skipped | |
| `analysis` | a Snakemake head job per shard, for the samples that lack outputs | `analysis/…` |
| `load` | Parquet partitions, Glue, and a check by Athena | `lake/…` |
| `conclude` | records how it ended; the run is failed only if the project is | |

**To approve or reject:** *QC review* in the navigation, or the run's *Required Actions*, or mark
`approve` *success* or *failed*. A rejected run ends well, and nothing is analysed. Any task can be
cleared at any time: what is done is found done, what runs is attached to. Clearing a running stage
ends its jobs first.

**How far it is:** the *Progress* tab of a run. Many samples are split into shards, a mapped task
and a head job each; how many run at once is what the pool `SEQHARVEST_HEAD_POOL` has slots for.

A sample that fails does not stop the others; the registry says which failed, and why.
""",
    schedule=None,
    catchup=False,
    max_active_runs=500,  # runs wait at the gate for days
    max_active_tasks=64,
    default_args={
        "owner": "seqharvest",
        "retries": 3,
        "retry_delay": timedelta(seconds=20),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=10),
        "on_failure_callback": keep_reason,
    },
    owner_links={"seqharvest": settings().owner_link},
    tags=["seqharvest", "rna-seq"],
    params={
        "project": Param(
            type="string",
            title="Project",
            minLength=1,
            description="A registered project, or a GSE…, PRJ…, SRP… to register now. Of a GSM…,"
            " SRX…, SRR… or SAM…, give its project (DAG register finds it).",
            examples=["GSE110004"],
        ),
        "release": Param(
            None,
            type=["null", "string"],
            title="Reference release",
            description="Default: the project's own, else SEQHARVEST_RELEASE.",
        ),
        "retry_failed": Param(
            False,
            type="boolean",
            title="Retry failed samples",
            description="Put the project's failed samples back to the start of this run.",
        ),
        "take_over": Param(
            False,
            type="boolean",
            title="Take over",
            description="Take the project out of the hands of another run (end that run first).",
        ),
    },
) as dag:
    open_project = StageOperator(
        task_id="open",
        stage="open_project",
        opens=True,
        project=PROJECT,
        arguments={"run_id": "{{ run_id }}"},
        from_form=("release", "retry_failed", "take_over"),
    )

    with TaskGroup("fetch", tooltip="The runs that are not in the bucket yet") as fetch:
        fetch_plan = StageOperator(
            task_id="plan", stage="plan_fetch", project=PROJECT, at_least_one=True
        )
        fetch_run = BatchJobOperator.partial(
            task_id="run",
            module="seqharvest.archives.fetch",
            job_queue="worker_queue",
            job_definition="fetch_job",
            array=True,
            pool=settings().fetch_pool,
            map_index_template="{{ task.plan.get('runs', 0) }} runs",
        ).expand(plan=fetch_plan.output)
        fetch_record = StageOperator(
            task_id="record",
            stage="record_fetch",
            project=PROJECT,
            arguments={"plans": fetch_plan.output},
            trigger_rule=AFTER_JOBS,
        )
        fetch_plan >> fetch_run >> fetch_record

    with TaskGroup("qc", tooltip="Quality control of every sample, MultiQC, verdicts") as qc:
        qc_plan = StageOperator(task_id="plan", stage="plan_qc", project=PROJECT, at_least_one=True)
        qc_run = SnakemakeBatchOperator.partial(
            task_id="run",
            pool=settings().head_pool,
            map_index_template="{{ task.plan.get('samples', 0) }} samples",
        ).expand(plan=qc_plan.output)
        qc_report_plan = StageOperator(
            task_id="plan_report", stage="plan_report", project=PROJECT, trigger_rule=AFTER_JOBS
        )
        qc_report = SnakemakeBatchOperator(
            task_id="report", pool=settings().head_pool, plan=qc_report_plan.output
        )
        qc_record = StageOperator(task_id="record", stage="record_qc", project=PROJECT)
        [qc_plan, qc_run] >> qc_report_plan >> qc_report >> qc_record

    approve = QCApprovalSensor(
        task_id="approve",
        project=PROJECT,
        doc_md="Decide on *QC review*; or mark **success** to approve, **failed** to reject.",
    )

    missing = S3OutputsExistShortCircuitOperator(
        task_id="missing", project=PROJECT, skips=["analysis.run", "analysis.record"]
    )

    with TaskGroup("analysis", tooltip="Only the samples whose outputs are missing") as analysis:
        analysis_run = SnakemakeBatchOperator.partial(
            task_id="run",
            pool=settings().head_pool,
            map_index_template="{{ task.plan.get('samples', 0) }} samples",
        ).expand(plan=missing.output)
        analysis_record = StageOperator(
            task_id="record", stage="record_analysis", project=PROJECT, trigger_rule=AFTER_JOBS
        )
        [missing, analysis_run] >> analysis_record

    with TaskGroup("load", tooltip="Into the lake, verified by Athena") as load:
        load_plan = StageOperator(
            task_id="plan",
            stage="plan_load",
            project=PROJECT,
            # Runs when the analysis was skipped, not when the project was rejected.
            trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
        )
        load_run = LakeLoadOperator(task_id="run", plan=load_plan.output)
        load_record = StageOperator(task_id="record", stage="record_load", project=PROJECT)
        load_plan >> load_run >> load_record

    conclude = ConcludeOperator(
        task_id="conclude",
        project=PROJECT,
        trigger_rule=TriggerRule.ALL_DONE,
        on_failure_callback=None,
    )

    open_project >> fetch_plan
    fetch_record >> qc_plan
    qc_record >> approve >> missing
    [missing, analysis_record] >> load_plan
    load_record >> conclude
