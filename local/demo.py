"""Run the whole chain on this machine: stack, data, sweep, fetch, QC, review, analysis, lake."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from local import stack
from local.airflow_api import Airflow
from local.config import StackConfig
from local.series import Series, demo_series, given_series
from seqharvest.errors import SeqharvestError

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 1800
ROWS_SHOWN = 10  # or of each ranking


class Clock:
    """Wall time of each stage, in the order they ended."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.stages: list[tuple[str, float]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the block, saying its name first."""
        print(f"── {name}", flush=True)
        start = time.monotonic()
        yield
        self.stages.append((name, time.monotonic() - start))

    def table(self) -> str:
        """A line a stage, and the total."""
        total = time.monotonic() - self.started
        return "\n".join(f"  {name:<34}{s:7.0f} s" for name, s in [*self.stages, ("total", total)])


def run(options: argparse.Namespace, config: StackConfig) -> None:
    """Run every stage that has not been done yet, then show results, times and addresses."""
    clock = Clock()
    with clock.stage("local stack and data"):
        series = start(options, config)
    airflow = Airflow(config.url("airflow"), "demo", "demo")
    with clock.stage(f"reference {series.release}"):
        build_reference(series, airflow, options.drop_unknown_contigs)
    with clock.stage(f"sweep finds {series.accession}"):
        sweep(series, airflow, config)
    with_release(series, airflow)
    if follow(series, options.approve, config, clock) == "loaded":
        show_results(series)
    print("\nWall time\n" + clock.table())
    show_addresses(series, config)


def start(options: argparse.Namespace, config: StackConfig) -> Series:
    """Start the stack; generate the demo's data beside it, or read the series that was given."""
    if options.series:
        series = given_series(options.series, options.reference)
        stack.up(config)
        return series
    made: list[Series] = []
    maker = threading.Thread(target=lambda: made.append(demo_series(config.state / "demo_data")))
    maker.start()
    stack.up(config)
    maker.join()
    if not made:
        raise SeqharvestError("the demo's data could not be generated", "see the error above")
    return made[0]


def build_reference(series: Series, airflow: Airflow, drop_unknown_contigs: bool) -> None:
    """Put FASTA and GTF into S3 and have the reference_build DAG make the release of them."""
    contigs = "drop" if drop_unknown_contigs else "error"
    conf = {"release": series.release, "unknown_contigs": contigs, **series.upload_reference()}
    run_id = f"build__{series.release}__contigs-{contigs}"
    airflow.ensure("reference_build", run_id, conf)


def sweep(series: Series, airflow: Airflow, config: StackConfig) -> None:
    """Publish the series in the archive and have the geo_sweep DAG find and register it."""
    series.publish(config.url("archive"))
    run_id = f"demo__{series.accession}"
    airflow.ensure("geo_sweep", run_id, series.sweep_conf())


def with_release(series: Series, airflow: Airflow) -> None:
    """Run a project that is done already once more, if it was done with another reference."""
    from seqharvest.registry import Registry

    item = Registry().project(series.accession)
    if item["release"] != series.release and item["state"] in {"loaded", "rejected", "failed"}:
        run_id = f"demo__{series.accession}__{series.release}"
        conf = {"project": series.accession, "release": series.release}
        airflow.trigger("rnaseq_project", run_id, conf)
        wait_for_change(Registry(), series.accession, item["state"], time.monotonic() + 120)


def follow(series: Series, approve: bool, config: StackConfig, clock: Clock) -> str:
    """Follow the project to `loaded` or `rejected`, deciding its QC on the way."""
    from seqharvest.registry import Registry

    registry = Registry()
    deadline = time.monotonic() + PATIENCE_SECONDS
    state = registry.project(series.accession)["state"]
    while state not in {"loaded", "rejected"}:
        if state == "failed":
            reason = registry.project(series.accession).get("reason", "no reason was recorded")
            raise SeqharvestError(
                f"{series.accession} failed: {reason}",
                f"open {run_address(series, config)}; clear the failed task to try again",
            )
        with clock.stage(f"{series.accession} {state}"):
            if state == "awaiting_review":
                review(series, approve, config)
            state = wait_for_change(registry, series.accession, state, deadline)
    print(f"── {series.accession} {state}")
    return state


def wait_for_change(registry: Any, project: str, state: str, deadline: float) -> str:
    """Wait until the project leaves a state and return the new one."""
    while (now := str(registry.project(project)["state"])) == state:
        if time.monotonic() > deadline:
            raise SeqharvestError(
                f"{project} has been {state} for too long", "run 'make status' and look at the DAG"
            )
        time.sleep(POLL_SECONDS)
    return now


def review(series: Series, approve: bool, config: StackConfig) -> None:
    """Show the verdicts and decide, asking the person at the terminal if there is one."""
    from seqharvest.registry import Registry

    samples = Registry().samples(series.accession)
    for sample in samples:
        reasons = "; ".join(sample.get("verdict_reasons", [])) or sample.get("reason", "")
        who = f"{sample['sample']:<12} {sample.get('title', '')}"
        print(f"   {who:<50} {sample['state']:<10} {reasons}")
    print(f"   review at {run_address(series, config)}")
    decision = "approve"
    if all(sample["state"] in {"qc_failed", "failed", "excluded"} for sample in samples):
        print("   no sample is good enough to analyse: rejected")
        decision = "reject"
    elif not approve and sys.stdin.isatty():
        answer = input(f"   Approve the QC of {series.accession}? [yes/no] ")
        decision = "approve" if answer.strip().lower() in {"y", "yes"} else "reject"
    command = ["make", "--no-print-directory", decision, f"PROJECT={series.accession}", "BY=demo"]
    subprocess.run(command, check=True)


def show_results(series: Series) -> None:
    """Print what the scientists came for, from real Athena queries; beside it the demo's truth."""
    from local import demo_truth
    from seqharvest.lake import athena, queries

    for name in ("qc", "top_genes_by_condition", "novel_junctions"):
        result = queries.ask(name, series.accession, series.release, limit=ROWS_SHOWN)
        rows, columns = result.rows, list(result.columns)
        truth = series.folder / "truth"
        if name == "novel_junctions" and truth.is_dir():
            rows, columns = demo_truth.with_drawn_reads(rows, truth), [*columns, "drawn"]
        print(f"\n{queries.QUERIES[name].question}\n{athena.text_table(columns, rows)}")
        if "drawn" in columns:
            agreement = demo_truth.compare(truth, series.accession, series.release)
            print(f"\nThe truth the reads were drawn from: {agreement}")


def show_addresses(series: Series, config: StackConfig) -> None:
    """Print where to look around, and how to stop."""
    from seqharvest.settings import settings

    data = f"{config.url('ministack')}/{settings().bucket}"
    report = registry_report(series)
    print(
        f"""
Open
  Airflow        {config.url("airflow")}  (demo / demo)
  this run       {run_address(series, config)}
  QC report      {data}/{report}
  registry       python -m seqharvest.registry show {series.accession}   (after: . <(make -s env))
The stack stays up: 'make status' shows it, 'make down' stops it, 'make clean' removes it."""
    )


def registry_report(series: Series) -> str:
    """Key of the project's MultiQC report."""
    from seqharvest.registry import Registry

    verdicts = str(Registry().project(series.accession).get("verdicts_key", ""))
    return f"{verdicts.rsplit('/', 1)[0]}/multiqc_report.html"


def run_address(series: Series, config: StackConfig) -> str:
    """Address of the project's DAG run in the Airflow UI."""
    from seqharvest.registry import Registry

    item = Registry().project(series.accession)
    run = item.get("run_id") or item.get("last_run_id", "")
    return f"{config.url('airflow')}/dags/rnaseq_project/runs/{quote(run, safe='')}"


def main() -> None:
    """Parse the command line; end with one clear line where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=Path, help="folder of FASTQ with a sample sheet")
    parser.add_argument("--reference", type=Path, help="folder of genome.fa and genes.gtf")
    parser.add_argument(
        "--drop-unknown-contigs",
        action="store_true",
        help="build the reference without GTF records on contigs that the FASTA lacks",
    )
    parser.add_argument("--approve", action="store_true", help="approve QC without asking")
    options = parser.parse_args()
    config = StackConfig.from_environment()
    os.environ.update(config.environment())
    try:
        run(options, config)
    except SeqharvestError as error:
        sys.exit(f"seqharvest: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the stack is still up, 'make demo' goes on from here")


if __name__ == "__main__":
    main()
