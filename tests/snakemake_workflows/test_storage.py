"""The S3 storage plugin: what it asks S3, and when it believes what it knows."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import yaml
from snakemake.io import IOCache
from snakemake.spawn_jobs import SpawnedJobArgsFactory
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_common.plugin_registry.plugin import TaggedSettings

from bench import stubs
from bench.stubs import Stub
from snakemake_storage_plugin_seqharvest_s3 import StorageProvider, StorageProviderSettings
from snakemake_storage_plugin_seqharvest_s3.settings import NO_INVENTORY
from snakemake_storage_plugin_seqharvest_s3.storage import StorageObject, StoreFailure
from tests.conftest import REPO

SNAKEFILE = Path(__file__).parent / "differential" / "workflow" / "Snakefile"
OUTPUTS = ("report.json", "counts.tsv", "genes.tsv", "transcripts.tsv", "metrics.json")
BUCKET = "b"


@pytest.fixture(scope="module")
def running() -> Iterator[Stub]:
    with stubs.s3(latency=0) as s3:
        yield s3


@pytest.fixture
def s3(running: Stub, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """An empty S3 that counts what it is asked."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in stubs.environment(running).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps its first credentials
    monkeypatch.setenv("PYTHONPATH", f"{REPO / 'plugins'}:{REPO / 'snakemake_workflows'}")
    running.faults()
    running.latency(0)
    store = boto3.client("s3")
    store.create_bucket(Bucket=BUCKET)
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
        if found := [{"Key": item["Key"]} for item in page.get("Contents", [])]:
            store.delete_objects(Bucket=BUCKET, Delete={"Objects": found})
    running.reset()
    return running


def put(*keys: str, body: bytes = b"x") -> None:
    store = boto3.client("s3")
    for key in keys:
        store.put_object(Bucket=BUCKET, Key=key, Body=body)


class Storage:
    """The plugin as Snakemake holds it."""

    def __init__(self, folder: Path, inventory: Sequence[str] | None = None) -> None:
        given = ""
        if inventory is not None:
            given = str(folder / "inventory.tsv")
            Path(given).write_text("".join(f"{line}\n" for line in inventory))
        self._make(folder, given)

    @classmethod
    def spawned(cls, folder: Path) -> Storage:
        """The plugin in a job that Snakemake has spawned."""
        storage = cls.__new__(cls)
        storage._make(folder, NO_INVENTORY)
        return storage

    def _make(self, folder: Path, inventory: str) -> None:
        settings = StorageProviderSettings(inventory=inventory)
        log = logging.getLogger("test")
        self.provider = StorageProvider(folder / "storage", log, settings=settings)
        self.cache = IOCache(max_wait_time=0)

    def __getitem__(self, key: str) -> StorageObject:
        return self.provider.object(f"s3://{BUCKET}/{key}")

    def build(self, key: str = "first") -> None:
        """Begin to build the DAG, as Snakemake does with a target's first input."""
        asyncio.run(self[key].inventory(self.cache))

    def run(self) -> None:
        """The DAG is built, the jobs run."""
        self.cache.deactivate()

    def exists(self, key: str) -> bool:
        return asyncio.run(self[key].managed_exists())


def test_an_inventory_answers_for_everything_below_its_folders(s3: Stub, tmp_path: Path) -> None:
    put("raw/a/1.gz", "raw/a/2.gz", "out/a/new", "out/a/deep/er")
    storage = Storage(tmp_path, [f"s3://{BUCKET}/out/a/", f"s3://{BUCKET}/raw/a/"])
    s3.reset()
    storage.build()
    assert storage.exists("raw/a/1.gz") and storage.exists("out/a/deep/er")
    assert not storage.exists("out/a/deep/absent") and not storage.exists("raw/a/3.gz")
    assert storage["out/a/new"].size() == 1
    assert s3.count() == {"ListObjectsV2": 1}
    assert not storage.exists("elsewhere/x") and not storage.exists("elsewhere/y")
    assert s3.count() == {"ListObjectsV2": 2}, "a folder it does not name is listed once"


def test_what_is_empty_or_older_than_its_sources_is_absent_while_planning(
    s3: Stub, tmp_path: Path
) -> None:
    put("out/a/old", "out/b/fine", "out/c/new")
    put("out/b/empty", body=b"")
    time.sleep(1.1)
    put("raw/a/1.gz", "raw/c/1.json", "out/a/new")
    put("raw/empty.gz", body=b"")
    storage = Storage(
        tmp_path,
        [
            *(f"s3://{BUCKET}/out/{name}/\ts3://{BUCKET}/raw/{name}/*.gz" for name in "abc"),
            f"s3://{BUCKET}/raw/",
        ],
    )
    storage.build()
    told = {
        key: storage.exists(f"out/{key}")
        for key in ("a/old", "a/new", "b/fine", "b/empty", "c/new")
    }
    assert told == {
        "a/old": False,
        "a/new": True,
        "b/fine": True,
        "b/empty": False,
        "c/new": True,  # raw/c/1.json is not what it was made from
    }
    assert storage.exists("raw/empty.gz") and storage["raw/empty.gz"].size() == 0
    storage.run()
    assert storage.exists("out/a/old"), "it is there, and only the plan wanted it new"


def test_an_object_made_while_jobs_run_is_seen_with_its_siblings(s3: Stub, tmp_path: Path) -> None:
    storage = Storage(tmp_path, [f"s3://{BUCKET}/out/"])
    storage.build()
    assert not storage.exists("out/1") and not storage.exists("out/2")
    storage.run()
    put("out/1", "out/2", "out/3")
    s3.reset()
    assert storage.exists("out/1") and storage.exists("out/2") and storage.exists("out/3")
    assert s3.count() == {"ListObjectsV2": 1}, "one LIST of the folder answers for all"
    assert not storage.exists("out/4")
    put("out/4")
    assert storage.exists("out/4")


def test_looking_again_is_one_bulk_and_its_absences_are_told_once(s3: Stub, tmp_path: Path) -> None:
    put(*(f"out/{number:03}/made" for number in range(0, 300, 2)), "out/gone/made")
    storage = Storage(tmp_path, [f"s3://{BUCKET}/out/"])
    storage.build()
    storage.run()
    boto3.client("s3").delete_object(Bucket=BUCKET, Key="out/gone/made")
    put("out/001/made")
    s3.reset()
    keys = [*(f"out/{number:03}/made" for number in range(300)), "out/gone/made"]
    storage.provider.look_again(f"s3://{BUCKET}/{key}" for key in keys)
    there = [key for key in keys if storage.exists(key)]
    assert there == ["out/000/made", "out/001/made", *keys[2:300:2]]
    assert s3.count()["ListObjectsV2"] <= 5
    put("out/003/made")
    assert storage.exists("out/003/made"), "a job may have made it since"


def test_a_spawned_job_takes_no_inventory_and_asks_once_a_folder(s3: Stub, tmp_path: Path) -> None:
    put("raw/1", "raw/2")
    storage = Storage.spawned(tmp_path)
    storage.build()
    storage.run()
    s3.reset()
    assert storage.exists("raw/1") and storage.exists("raw/2")
    assert not any(storage.exists(f"out/{number}") for number in range(8))
    assert s3.count() == {"ListObjectsV2": 2}
    path = storage["out/1"].local_path()
    path.parent.mkdir(parents=True)
    path.write_text("made")
    asyncio.run(storage["out/1"].managed_store())
    assert storage.exists("out/1") and storage["out/1"].size() == 4, "its own results it sees"
    assert s3.count() == {"ListObjectsV2": 3, "PutObject": 1}


@pytest.mark.parametrize("inventory", ["inventory.tsv", ""])
def test_snakemake_gives_spawned_jobs_no_inventory(inventory: str) -> None:
    given = TaggedSettings()
    given.register_settings(StorageProviderSettings(inventory=inventory))
    workflow = SimpleNamespace(storage_provider_settings={"seqharvest-s3": given})
    told = shlex.split(" ".join(SpawnedJobArgsFactory(workflow).get_storage_provider_args()))
    assert told[:2] == ["--storage-seqharvest-s3-inventory", NO_INVENTORY]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "cannot be read"),
        ("s3://b/folder", "line 1"),
        ("\nfolder/\n", "line 2"),
        ("s3://b/f/\ts3://b/g", "line 1"),
        ("s3://b/f/\ts3://b/g/*\tmore", "line 1"),
    ],
)
def test_a_bad_inventory_is_told_before_anything_is_done(
    tmp_path: Path, text: str | None, told: str
) -> None:
    path = tmp_path / "inventory.tsv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(WorkflowError, match=told):
        StorageProvider(
            tmp_path, logging.getLogger(), settings=StorageProviderSettings(inventory=str(path))
        )


def test_a_page_that_fails_is_never_taken_for_absence(s3: Stub, tmp_path: Path) -> None:
    put(*(f"out/{number:04}" for number in range(1500)))
    storage = Storage(tmp_path, [f"s3://{BUCKET}/out/"])
    s3.faults({"operation": "ListObjectsV2", "kind": "denied", "after": 1, "times": 99})
    with pytest.raises(WorkflowError, match="inventory of the S3 storage failed"):
        storage.build()
    s3.faults({"operation": "ListObjectsV2", "kind": "truncate", "after": 1, "times": 1})
    storage.build()
    assert all(storage.exists(f"out/{number:04}") for number in range(1500))

    s3.faults({"operation": "ListObjectsV2", "kind": "denied", "times": 99})
    with pytest.raises(StoreFailure, match="elsewhere/x could not be looked up"):
        storage.exists("elsewhere/x")
    storage.run()
    with pytest.raises(WorkflowError, match="elsewhere/x could not be looked up"):
        storage.exists("elsewhere/x")


def test_buckets_are_neither_made_nor_removed(s3: Stub, tmp_path: Path) -> None:
    put("only")
    storage = Storage(tmp_path)
    assert storage.exists("only")
    asyncio.run(storage["only"].managed_remove())
    assert not storage.exists("only")
    assert [item["Name"] for item in boto3.client("s3").list_buckets()["Buckets"]] == [BUCKET]

    absent = storage.provider.object("s3://absent/x")
    with pytest.raises(WorkflowError) as told:
        asyncio.run(absent.managed_exists())
    assert "absent" in str(told.value) and "NoSuchBucket" in str(told.value.args)
    absent.local_path().parent.mkdir(parents=True)
    absent.local_path().write_text("x")
    with pytest.raises(WorkflowError, match="Failed to store"):
        asyncio.run(absent.managed_store())
    assert not {"CreateBucket", "DeleteBucket", "HeadBucket"} & s3.count().keys()


def test_a_directory_is_stored_and_fetched_whole(s3: Stub, tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    local = storage["out/folder"].local_path()
    (local / "deep").mkdir(parents=True)
    (local / "one").write_text("1")
    (local / "deep" / "two").write_text("22")
    asyncio.run(storage["out/folder"].managed_store())

    other = Storage(tmp_path / "other")
    put("out/empty/")  # what the console makes for a folder
    assert other.exists("out/folder") and not other.exists("out/empty")
    assert other["out/folder"].size() == 3
    asyncio.run(other["out/folder"].managed_retrieve())
    copy = other["out/folder"].local_path()
    assert (copy / "one").read_text() == "1" and (copy / "deep" / "two").read_text() == "22"
    asyncio.run(other["out/folder"].managed_remove())
    assert not other.exists("out/folder")


@pytest.mark.parametrize("name", ["a#b?c", "a+b c&d", "é<ü>", "p=1/q%2Fr"])
def test_odd_keys_come_back_as_they_went(s3: Stub, tmp_path: Path, name: str) -> None:
    storage = Storage(tmp_path)
    path = storage[name].local_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
    asyncio.run(storage[name].managed_store())
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=name)["Body"].read()
    assert body.decode() == name
    other = Storage(tmp_path / "other")
    assert other.exists(name)
    asyncio.run(other[name].managed_retrieve())
    assert other[name].local_path().read_text() == name


def test_a_copy_has_the_time_of_its_object(s3: Stub, tmp_path: Path) -> None:
    """Or a host whose clock is behind would fetch it again for every job."""
    put("raw/1")
    head = boto3.client("s3").head_object(Bucket=BUCKET, Key="raw/1")["LastModified"]
    storage = Storage(tmp_path)
    asyncio.run(storage["raw/1"].managed_retrieve())
    assert storage["raw/1"].mtime() == head.timestamp()
    assert storage["raw/1"].local_path().stat().st_mtime == head.timestamp()


def test_transfers_of_a_job_go_side_by_side(s3: Stub, tmp_path: Path) -> None:
    keys = [f"raw/{number}" for number in range(8)]
    put(*keys)
    storage = Storage.spawned(tmp_path)
    storage.build()
    assert all(storage.exists(key) for key in keys)

    async def fetch() -> None:
        await asyncio.gather(*(storage[key].managed_retrieve() for key in keys))

    s3.reset()
    s3.latency(0.3)
    started = time.monotonic()
    asyncio.run(fetch())
    assert time.monotonic() - started < 4 * 0.3, "eight after one another take 8 times as long"
    assert s3.count() == {"GetObject": 8}, "no HEAD before a GET"


def test_a_wide_folder_is_not_read_to_its_end_for_one_key(s3: Stub, tmp_path: Path) -> None:
    put(*(f"flat/{number:05}" for number in range(2100)))
    storage = Storage.spawned(tmp_path)
    storage.build()
    s3.reset()
    assert storage.exists("flat/02099") and not storage.exists("flat/09999")
    assert storage.exists("flat/01500")
    assert s3.count()["ListObjectsV2"] <= 4


def test_glob_wildcards_finds_objects(s3: Stub, tmp_path: Path) -> None:
    put("raw/a/1", "raw/b/1")
    found = Storage(tmp_path)["raw/{sample}/1"].list_candidate_matches()
    assert sorted(found) == [f"s3://{BUCKET}/raw/a/1", f"s3://{BUCKET}/raw/b/1"]


def snakemake(folder: Path, samples: Sequence[str], *options: str) -> str:
    """Run the differential test's workflow with the plugin."""
    folder.mkdir(exist_ok=True)
    (folder / "samples.tsv").write_text("sample\n" + "".join(f"{name}\n" for name in samples))
    config: dict[str, Any] = {
        "project": "p",
        "results": "out",
        "samples": "samples.tsv",
        "outputs": list(OUTPUTS),
        "word": "new",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--cores", "2"),
            *("--configfile", "config.yaml", "--rerun-triggers", "mtime", "--nolock"),
            *("--scheduler", "greedy", "--default-storage-provider", "seqharvest-s3"),
            *("--default-storage-prefix", f"s3://{BUCKET}", *options),
        ],
        cwd=folder,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def test_planning_asks_by_the_thousand(s3: Stub, tmp_path: Path) -> None:
    samples = [f"S{number:03}" for number in range(60)]
    for sample in samples:
        put(*(f"raw/project=p/sample={sample}/R1_{mate}.fastq.gz" for mate in (1, 2)))
        if sample < "S050":
            put(*(f"out/sample={sample}/{name}" for name in OUTPUTS))
    inventory = tmp_path / "inventory.tsv"
    inventory.write_text(
        "".join(
            f"s3://{BUCKET}/out/sample={sample}/\ts3://{BUCKET}/raw/project=p/sample={sample}/*\n"
            for sample in samples
        )
    )
    s3.reset()
    given = ("--storage-seqharvest-s3-inventory", str(inventory), "--dry-run", "--", "samples")
    output = snakemake(tmp_path / "head", samples, *given)
    assert output.count("wildcards: sample=S05") == 10 * 6
    assert s3.count().keys() == {"ListObjectsV2"}
    assert s3.count()["ListObjectsV2"] <= 10, "by 30 a sample, as stock asks, it would be 1,800"


def test_a_worker_s_chain_asks_twice_and_moves_each_file_once(s3: Stub, tmp_path: Path) -> None:
    put(*(f"raw/project=p/sample=a/R1_{mate}.fastq.gz" for mate in (1, 2)), body=b"@r\nA\n+\nI\n")
    rules = ["trim", "align", "sort", "count", "table", "summary"]
    s3.reset()
    snakemake(
        tmp_path / "worker",
        ["a"],
        *("--mode", "remote", "--local-groupid", "g", "--shared-fs-usage", "none", "--force"),
        *("--target-jobs", *(f"{rule}:sample=a" for rule in rules), "--allowed-rules", *rules),
        *("--ignore-incomplete", "--storage-seqharvest-s3-inventory", NO_INVENTORY),
        *("--local-storage-prefix", "local", "--omit-flags", "temp"),
    )
    count = s3.count()
    assert count.pop("ListObjectsV2") <= 3, "the reads' folder, and those of the results"
    assert count == {"GetObject": 2, "PutObject": 9}
