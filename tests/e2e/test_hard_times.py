"""Bad input and broken parts: each is named where a user looks, and the rest goes on."""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from local.config import REPOSITORY
from local.series import Series
from seqharvest.registry import Registry
from tests.e2e.conftest import Stack
from tests.e2e.waiting import wait_for_state, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]

PROJECT = "GSE900002"
OUTAGE_SECONDS = 60
#: experiment: (run, how its reads are spoilt)
SAMPLES = {
    "SRX9000101": ("SRR9000101", "good"),
    "SRX9000102": ("SRR9000102", "truncated"),
    "SRX9000103": ("SRR9000103", "unequal"),
    "SRX9000104": ("SRR9000104", "no reads"),
    "SRX9000001": ("SRR9000105", "another project's"),
}


def spoil(mates: list[Path], how: str) -> None:
    """Make the FASTQ of a run what its sample's story says."""
    if how == "truncated":
        mates[0].write_bytes(mates[0].read_bytes()[:-5000])
    elif how == "unequal":
        lines = gzip.decompress(mates[1].read_bytes()).splitlines(keepends=True)
        mates[1].write_bytes(gzip.compress(b"".join(lines[:-400]), 1))
    elif how == "no reads":
        for mate in mates:
            mate.write_bytes(gzip.compress(b""))


@pytest.fixture(scope="module")
def hard_series(demo: Series, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series of one good sample and four that are each wrong in their own way."""
    folder = tmp_path_factory.mktemp("hard")
    (folder / "fastq").mkdir()
    about = yaml.safe_load((demo.folder / "series.yaml").read_text())
    about |= {"accession": PROJECT, "study": "SRP900002", "bioproject": "PRJNA900002"}
    (folder / "series.yaml").write_text(yaml.safe_dump(about))
    with (folder / "samples.csv").open("w", newline="") as sheet:
        writer = csv.writer(sheet)
        writer.writerow(["run", "experiment", "title", "fastq_1", "fastq_2", "offered"])
        for experiment, (run, how) in SAMPLES.items():
            mates = [folder / "fastq" / f"{run}_{mate}.fastq.gz" for mate in (1, 2)]
            for number, mate in enumerate(mates, 1):
                shutil.copy(demo.folder / "fastq" / f"SRR9000001_{number}.fastq.gz", mate)
            spoil(mates, how)
            names = [f"fastq/{mate.name}" for mate in mates]
            writer.writerow([run, experiment, how, *names, "fastq"])
    return folder


def kill_part(stack: Stack, part: str) -> None:
    """Take a part of the stack away with SIGKILL, as a machine that dies would."""
    status = subprocess.run(
        ["supervisorctl", "-c", str(REPOSITORY / "local" / "supervisord.conf"), "pid", part],
        env={**os.environ, **stack.config.environment()},
        capture_output=True,
        text=True,
        check=True,
    )
    os.killpg(int(status.stdout), signal.SIGKILL)


def supervise(stack: Stack, *arguments: str) -> None:
    subprocess.run(
        ["supervisorctl", "-c", str(REPOSITORY / "local" / "supervisord.conf"), *arguments],
        env={**os.environ, **stack.config.environment()},
        check=True,
    )


def test_each_bad_sample_is_named_with_its_reason_and_the_good_one_goes_on(
    stack: Stack, demo: Series, hard_series: Path
) -> None:
    Series(PROJECT, hard_series, demo.fasta, demo.gtf, demo.release).publish(
        stack.config.url("archive")
    )
    done = stack.command("seqharvest.archives.register", PROJECT, "GSE999999999", "a/b")
    assert done.returncode != 0
    assert "GSE999999999" in done.stdout + done.stderr and "a/b" in done.stdout + done.stderr
    wait_for_state(PROJECT, "qc")
    kill_part(stack, "airflow-scheduler")
    kill_part(stack, "airflow-triggerer")
    wait_for_state(PROJECT, "awaiting_review")
    samples = {s["sample"]: s for s in Registry().samples(PROJECT)}
    assert samples["SRX9000101"]["state"] == "qc_passed"
    for experiment, clue in {
        "SRX9000102": "SRR9000102",
        "SRX9000103": "SRR9000103",
        "SRX9000001": demo.accession,
    }.items():
        assert samples[experiment]["state"] == "failed", samples[experiment]
        assert clue in samples[experiment]["reason"], samples[experiment]["reason"]
    left_out = {run["run"]: run["reason"] for run in Registry().project(PROJECT)["left_out"]}
    assert "no reads" in left_out["SRR9000104"], left_out


def test_with_s3_and_dynamodb_away_the_chain_waits_and_goes_on(stack: Stack) -> None:
    done = stack.command("seqharvest.registry", "approve", PROJECT, "--by", "ana")
    assert done.returncode == 0, done.stderr
    wait_for_state(PROJECT, "analysing")
    supervise(stack, "stop", "ministack")
    time.sleep(OUTAGE_SECONDS)
    supervise(stack, "start", "ministack")
    wait_for_state(PROJECT, "loaded")
    [analysed] = [s for s in Registry().samples(PROJECT) if s["state"] == "analysed"]
    assert analysed["sample"] == "SRX9000101"


def test_a_project_id_with_a_slash_fails_at_once_and_says_so(stack: Stack) -> None:
    stack.airflow.trigger("rnaseq_project", "slash", {"project": "GSE1/../x"})
    wait_until(
        lambda: stack.airflow.run_state("rnaseq_project", "slash") == "failed", "the run fails", 60
    )
    log = next(
        (stack.config.airflow_home / "logs").glob(
            "dag_id=rnaseq_project/run_id=slash/task_id=open/attempt=1.log"
        )
    ).read_text()
    assert "project id 'GSE1/../x' is not" in log


def test_a_gtf_with_a_foreign_contig_is_named_by_the_reference_build(
    stack: Stack, demo: Series, tmp_path: Path
) -> None:
    gtf = tmp_path / "genes.gtf"
    line = 'chrZ\tdemo\texon\t1\t90\t.\t+\t.\tgene_id "G"; transcript_id "T";\n'
    gtf.write_text(demo.gtf.read_text() + line)
    bad = Series("GSE1", tmp_path, demo.fasta, gtf, "foreign-contig")
    conf = {"release": bad.release, **bad.upload_reference()}
    stack.airflow.trigger("reference_build", "foreign", conf)
    wait_until(
        lambda: stack.airflow.run_state("reference_build", "foreign") == "failed", "it fails", 120
    )
    logs = stack.config.airflow_home / "logs" / "dag_id=reference_build" / "run_id=foreign"
    text = "".join(path.read_text() for path in logs.rglob("attempt=*.log*"))
    assert "chrZ" in text
