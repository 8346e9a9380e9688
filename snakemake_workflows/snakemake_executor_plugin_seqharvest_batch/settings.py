"""The executor's settings; their help texts are its manual (`snakemake --help`)."""

# ruff: noqa: UP045 - argparse cannot call `str | None`
from dataclasses import dataclass, field
from typing import Optional

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase


# Annotations are real types here, not strings: Snakemake builds its command line from them.
@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Every `--seqharvest-batch-…` option."""

    job_queue: Optional[str] = field(
        default=None,
        metadata={
            "help": "Name or ARN of the Batch job queue that worker jobs go to.",
            "required": True,
        },
    )
    job_definition: Optional[str] = field(
        default=None,
        metadata={
            "help": "Name, name:revision or ARN of an existing job definition for worker jobs. "
            "Command, environment, vCPU, memory and time-out are overridden per submit, nothing "
            "is ever registered. Its image must have Snakemake, this plugin, the storage plugin, "
            "and the workflow at the same path as on the machine that runs this command.",
            "required": True,
        },
    )
    name_prefix: Optional[str] = field(
        default=None,
        metadata={
            "help": "Start of every job's name: `<prefix>--<rule or group>-<hash>`. Names are the "
            "same from run to run, so a restarted Snakemake with the same prefix follows the jobs "
            "that still run rather than submitting them again. Must be the same for the same work "
            "and different for different work; at most 100 letters, digits, '-' and '_'. Default: "
            "a hash of the Snakefile's path, the storage prefix and the configuration.",
        },
    )
    bundle_prefix: Optional[str] = field(
        default=None,
        metadata={
            "help": "S3 URI below which one small object per run is written: the config files, "
            "the files named by --seqharvest-batch-worker-files and the arguments all workers "
            "share. Default: `<default storage prefix>/.snakemake-batch`.",
        },
    )
    worker_files: Optional[str] = field(
        default=None,
        metadata={
            "help": "Comma-separated files, relative to the working directory, that a worker "
            "needs in its own working directory to parse the workflow (sample sheets). Config "
            "files come by themselves.",
        },
    )
    scratch_dir: Optional[str] = field(
        default=None,
        metadata={
            "help": "Directory on the worker in which each job makes, and removes, a working "
            "directory of its own; environment variables in it are the worker's. Default, also "
            "when a variable is not set there: the job works where it was started.",
        },
    )
    region: Optional[str] = field(
        default=None,
        metadata={"help": "AWS region of Batch and of the logs. Default: boto3's own rules."},
    )
    tags: Optional[str] = field(
        default=None,
        metadata={"help": "Comma-separated key=value tags for every job (cost allocation)."},
    )
    poll_seconds: float = field(
        default=10.0,
        metadata={
            "help": "Seconds between two status rounds. A round asks for all jobs at once, a "
            "hundred to a request; while nothing changes the wait grows to four times this."
        },
    )
    submit_threads: int = field(
        default=8,
        metadata={
            "help": "SubmitJob calls in flight at once. Batch takes about 50 a second in all."
        },
    )
    instance_types: Optional[str] = field(
        default=None,
        metadata={
            "help": "Comma-separated EC2 instance types or families (r5d) that the job queue's "
            "hosts are of. Default: what the queue's compute environments say. They decide what "
            "fits a host, and how much scratch (disk_mb) a job's share of it has."
        },
    )
    scratch_gib: float = field(
        default=0,
        metadata={
            "help": "GiB of scratch each host of the job queue has, when that is not its instance "
            "store but a volume (EBS) of its own."
        },
    )
    reserved_gib: float = field(
        default=0,
        metadata={
            "help": "GiB of each host's scratch that are not the jobs': the reference cache."
        },
    )
    large_disk_queue: Optional[str] = field(
        default=None,
        metadata={
            "help": "Name or ARN of a job queue whose hosts have more scratch (a large EBS volume, "
            "FSx for Lustre), for jobs whose disk_mb the job queue's hosts cannot give. Without "
            "it such jobs are refused before anything is submitted."
        },
    )
    large_disk_gib: float = field(
        default=0,
        metadata={
            "help": "GiB of scratch each host of the large-disk queue has, when that is not its "
            "instance store."
        },
    )
    array_size: int = field(
        default=1000,
        metadata={
            "help": "Jobs that are ready at once and are alike (rule or group, vCPU, memory, GPUs, "
            "time-out, queue) become array jobs of up to so many, one SubmitJob each; at most "
            "10000. 0 or 1: no arrays."
        },
    )
    recheck_seconds: float = field(
        default=60.0,
        metadata={
            "help": "A job whose outputs turn out to be there when it is about to be submitted "
            "(all of them, not empty, not older than its inputs, nothing above it ran, nobody "
            "forced it) is done without a submit. Outputs are looked at again when the workflow's "
            "files were first looked at longer ago than this."
        },
    )
    attempts: int = field(
        default=3,
        metadata={
            "help": "How often Batch itself starts a job whose host was taken away (Spot). Other "
            "failures are never repeated by Batch but by Snakemake's --retries."
        },
    )
    default_mem_mb: int = field(
        default=2000,
        metadata={"help": "Memory in MiB of a job whose rules ask for none (no mem_mb)."},
    )
    log_group: str = field(
        default="/aws/batch/job",
        metadata={"help": "CloudWatch Logs group of the worker jobs."},
    )
    log_tail_lines: int = field(
        default=40,
        metadata={"help": "Lines of a failed job's log that are repeated in this log."},
    )
    failures_file: Optional[str] = field(
        default=None,
        metadata={
            "help": "File that gets one JSON line per failed job: job, id, rules, wildcards, kind, "
            "reason, exit_code, attempt, will_retry, log."
        },
    )
    lost_after_seconds: float = field(
        default=120.0,
        metadata={
            "help": "A job that DescribeJobs does not know for this long is given up as lost."
        },
    )
    patience_seconds: float = field(
        default=1800.0,
        metadata={
            "help": "For this long an unreachable or refusing Batch API is waited for; jobs that "
            "run meanwhile are left alone. After that the run ends with the API's error."
        },
    )
