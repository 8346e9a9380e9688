"""A worker: what it runs, what it tells, and what it does without."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from seqharvest import config_defaults
from snakemake_executor_plugin_seqharvest_batch import records
from snakemake_executor_plugin_seqharvest_batch.bundle import WORKER, read_configs
from tests.batch_endpoint import REPO
from tests.conftest import Aws

WORKFLOWS = REPO / "snakemake_workflows"
CHAIN = Path(__file__).parent / "chain" / "workflow" / "Snakefile"
#: What costs a worker time and is of no use to it.
HEAVY = ("sqlalchemy", "sqlmodel", "pydantic", "numpy", "PIL", "docutils", "jinja2", "jsonschema")


def python(code: str, folder: Path = REPO) -> Any:
    """Run code in an interpreter of its own, as a worker is one; return what it printed last."""
    path = f"{WORKFLOWS}:{REPO / 'plugins'}"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return json.loads(ended.stdout.splitlines()[-1])


LOADED = f"import json, sys; print(json.dumps(sorted(set({HEAVY!r}) & set(sys.modules))))"


def test_a_worker_s_snakemake_has_no_databases_and_no_reports() -> None:
    code = "from snakemake_executor_plugin_seqharvest_batch import lean; lean.snakemake()"
    assert python(f"{code}\n{LOADED}") == []


def test_a_workflow_that_wants_a_database_gets_the_real_one() -> None:
    code = (
        "from snakemake_executor_plugin_seqharvest_batch import lean; lean.snakemake()\n"
        "import json, sqlmodel, sqlalchemy, snakemake.persistence.db as db\n"
        "told = [sqlmodel.SQLModel.__module__, sqlalchemy.JSON.__module__, db.__file__[-5:]]\n"
        "print(json.dumps(told))"
    )
    assert python(code) == ["sqlmodel.main", "sqlalchemy.sql.sqltypes", "db.py"]


def test_an_untried_version_of_snakemake_is_imported_as_it_is() -> None:
    code = (
        "from snakemake_executor_plugin_seqharvest_batch import lean\n"
        "lean.TRIED = ('0.',); lean.snakemake()"
    )
    assert {"sqlalchemy", "sqlmodel"} <= set(python(f"{code}\n{LOADED}"))


def test_a_worker_parses_a_workflow_without_validating_it_again(tmp_path: Path) -> None:
    row = "S1\tpaired\tR1\treverse\n"
    (tmp_path / "samples.tsv").write_text(f"sample\tlayout\truns\tstrandedness\n{row}")
    config = {"project": "p", "release": "r", "fingerprint": "f", "results": "results"}
    config_file = tmp_path / "config.yaml"
    config_file.write_text(yaml.safe_dump({**config, "samples": "samples.tsv"}))
    config_file.write_text(shipped(config_file, tmp_path))
    arguments = [
        *("--snakefile", str(WORKFLOWS / "analysis/workflow/Snakefile")),
        *("--configfiles", "config.yaml", "--mode", "remote", "--list-rules"),
    ]
    code = (
        "from snakemake_executor_plugin_seqharvest_batch import lean\n"
        f"try: lean.snakemake()({arguments!r})\n"
        "except SystemExit as end: assert not end.code, end.code"
    )
    assert python(f"{code}\n{LOADED}", tmp_path) == []


def shipped(config_file: Path, folder: Path) -> str:
    """What the workers of a head in a folder get for a config file."""
    with contextlib.chdir(folder):
        return read_configs([str(config_file)])[config_file.name]


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("samples: {S1: [1, 2.5, true, null, ä]}\n", '{"samples": {"S1": [1, 2.5, true, null'),
        ("day: 2026-01-01\n", "day: 2026-01-01\n"),
        ("lanes: {1: one}\n", "lanes: {1: one}\n"),
    ],
)
def test_workers_get_a_config_as_json_unless_that_would_change_it(
    tmp_path: Path, text: str, same: str
) -> None:
    config_file = tmp_path / "config.yaml"
    config_file.write_text(text)
    got = shipped(config_file, tmp_path)
    assert got.startswith(same)
    assert yaml.safe_load(got) == yaml.safe_load(text)


@pytest.mark.parametrize("workflow", ["qc", "analysis", "reference"])
def test_the_defaults_are_those_of_the_validator(workflow: str) -> None:
    from snakemake.utils import validate

    home = WORKFLOWS / workflow
    given = yaml.safe_load((home / "config/config.yaml").read_text())
    schema = home / "workflow/schemas/config.schema.yaml"
    validated, filled = dict(given), dict(given)
    validate(validated, schema)
    config_defaults.fill(filled, schema)
    assert filled == validated


class Job:
    """A run's bundle in S3, with an array of two samples' chains."""

    def __init__(self, aws: Aws, folder: Path) -> None:
        self.aws, self.folder = aws, folder
        self.prefix = f"worker-{uuid.uuid4().hex[:8]}"
        config = {
            "results": f"{self.prefix}/results",
            "samples": "samples.tsv",
            "outputs": ["trim.txt", "count.txt"],
        }
        self.bundle = self._put(
            "bundle.json",
            {
                "snakefile": str(CHAIN),
                "files": {
                    "config.yaml": yaml.safe_dump(config),
                    "samples.tsv": "sample\ngood\nflawed\n",
                },
                "scratch": str(folder),
                "usage": f"s3://{aws.bucket}/{self.prefix}",
                "arguments": [
                    *("--mode", "remote", "--force", "--nolock", "--keep-incomplete"),
                    *("--configfiles", "config.yaml", "--shared-fs-usage", "none"),
                    *("--default-storage-provider", "s3", "--scheduler", "greedy"),
                    *("--default-storage-prefix", f"s3://{aws.bucket}"),
                ],
            },
        )
        for sample in ("good", "flawed"):
            self._put(f"raw/project=p/sample={sample}/R1_1.fastq.gz", "@r", top=True)
        members = [self._record(sample) for sample in ("good", "flawed")]
        body, self.width = records.pack(members)
        self.array = self._put("array.jsonl", body)

    def run(self, index: int, bundle: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [*WORKER, bundle or self.bundle, *records.array(self.array, self.width)]
        path = f"{WORKFLOWS}:{REPO / 'plugins'}"
        return subprocess.run(
            [sys.executable, *command[1:]],
            env={**os.environ, "PYTHONPATH": path, records.INDEX: str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def stored(self) -> set[str]:
        s3 = self.aws.client("s3")
        listed = s3.list_objects_v2(Bucket=self.aws.bucket, Prefix=f"{self.prefix}/")
        return {item["Key"].removeprefix(f"{self.prefix}/") for item in listed["Contents"]}

    def usage(self, sample: str) -> dict[str, Any]:
        key = f"{self.prefix}/usage/job-{sample}.json"
        body = self.aws.client("s3").get_object(Bucket=self.aws.bucket, Key=key)["Body"].read()
        found: dict[str, Any] = json.loads(body)
        return found

    def _record(self, sample: str) -> dict[str, Any]:
        rules: Sequence[str] = ("trim", "align", "count")
        arguments = [
            *("--target-jobs", *(f"{rule}:sample={sample}" for rule in rules)),
            *("--allowed-rules", *rules, "--local-groupid", sample, "--cores", "1"),
        ]
        return records.record(f"job-{sample}", arguments, {"label": "sample"})

    def _put(self, name: str, content: Any, top: bool = False) -> str:
        key = name if top else f"{self.prefix}/{name}"
        body = content if isinstance(content, bytes | str) else json.dumps(content)
        self.aws.client("s3").put_object(Bucket=self.aws.bucket, Key=key, Body=body)
        return f"s3://{self.aws.bucket}/{key}"


def test_a_child_of_an_array_runs_its_own_chain_and_records_what_it_used(
    aws: Aws, tmp_path: Path
) -> None:
    job = Job(aws, tmp_path)
    ended = job.run(0)
    assert ended.returncode == 0, ended.stdout
    results = {key for key in job.stored() if key.startswith("results/sample=")}
    assert results == {"results/sample=good/trim.txt", "results/sample=good/count.txt"}
    used = job.usage("good")
    assert (used["label"], used["exit_code"]) == ("sample", 0)
    assert used["wall_seconds"] > 0
    assert list(tmp_path.iterdir()) == [], "its folder on the host's disk is gone"


def test_a_failing_tool_ends_its_worker_with_the_tool_s_own_log(aws: Aws, tmp_path: Path) -> None:
    job = Job(aws, tmp_path)
    ended = job.run(1)
    assert ended.returncode == 1
    assert "aligner: read 3 of flawed is damaged" in ended.stdout.partition("End of align.log:")[2]
    assert job.usage("flawed")["exit_code"] == 1


def test_a_worker_without_its_bundle_says_so(aws: Aws, tmp_path: Path) -> None:
    job = Job(aws, tmp_path)
    ended = job.run(0, f"s3://{aws.bucket}/{job.prefix}/nothing.json")
    assert ended.returncode == 1
    assert "NoSuchKey" in ended.stdout
