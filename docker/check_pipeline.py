"""Is in the pipeline image what jobs run? Piped into its interpreter by docker/check.sh."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

TOOLS = ["fastp", "fastqc", "salmon", "STAR", "samtools", "gffread", "pigz", "multiqc", "snakemake"]
SRA_TOOLS = ("prefetch", "fasterq-dump", "fastq-dump", "vdb-validate")
MODULES = ("seqharvest.head", "seqharvest.archives.fetch", "seqharvest.lake.load")

for name in TOOLS + list(SRA_TOOLS):
    ended = subprocess.run([name, "--version"], capture_output=True, text=True, errors="replace")
    if ended.returncode:
        sys.exit(f"{name} --version: {ended.stderr.strip()[-300:]}")

for name in (*MODULES, "snakemake_executor_plugin_seqharvest_batch.worker"):
    spec = importlib.util.find_spec(name)
    if spec is None:
        sys.exit(f"{name} is not on PYTHONPATH")
    if not spec.cached or not Path(spec.cached).is_file():
        sys.exit(f"{name} is not byte-compiled")
packages = Path(sysconfig.get_path("purelib"))
if not (packages / "snakemake" / "__pycache__").is_dir():
    sys.exit("Snakemake is not byte-compiled")

# Each refuses to start without a manifest, in its own words: its imports are all there.
for name in MODULES:
    ended = subprocess.run(
        [sys.executable, "-m", name], capture_output=True, text=True, errors="replace"
    )
    if ended.returncode != 2 or "Traceback" in ended.stderr:
        sys.exit(f"python -m {name}: {ended.returncode} {ended.stderr[-500:]}")

shown = subprocess.run(
    ["snakemake", "--help"], capture_output=True, text=True, errors="replace"
).stdout
for option in ("--seqharvest-batch-job-queue", "--storage-seqharvest-s3-inventory"):
    if option not in shown:
        sys.exit(f"snakemake does not know {option}: our plugins are not found")
home = Path(os.environ["SEQHARVEST_HOME"])
for workflow in ("reference", "qc", "analysis"):
    if not (home / "snakemake_workflows" / workflow / "workflow" / "Snakefile").is_file():
        sys.exit(f"workflow {workflow} is not in {home}")
