"""Loading a project into the lake: what readers see before, after and in spite of everything."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from seqharvest.errors import InputError, LoadError
from seqharvest.lake import athena, load
from seqharvest.lake.schemas import TABLES
from seqharvest.layout import uri
from tests.lake.study import Study

GENES = TABLES["gene_quant"]


def seen(study: Study, table: str = "gene_quant", columns: str = "*") -> list[dict[str, Any]]:
    order = ", ".join(TABLES[table].sort)
    return athena.query(
        f"SELECT {columns} FROM {table} WHERE project = '{study.project}' ORDER BY {order}"
    )


def parts(study: Study) -> dict[str, tuple[str, Any]]:
    found = {}
    for table in TABLES.values():
        key = load.part_key(table, study.release, study.project)
        head = study.s3.head_object(Bucket=study.bucket, Key=key)
        found[table.name] = (head["ETag"], head["LastModified"])
    return found


def test_a_load_puts_what_the_files_hold_before_athena_and_says_how_much(study: Study) -> None:
    manifest = study.manifest(["ctrl-1", "treat-1"])

    outcome = load.load(manifest, study.folder)

    counts = {"gene_quant": 8, "transcript_quant": 8, "junctions": 4, "qc_metrics": 4, "samples": 2}
    assert outcome == {"rows": counts}
    assert [(row["gene_id"], row["sample"], row["est_counts"]) for row in seen(study)][:3] == [
        ("G000", "ctrl-1", 10.0),
        ("G000", "treat-1", 1.0),
        ("G001", "ctrl-1", 0.0),
    ]
    assert {row["annotated"] for row in seen(study, "junctions")} == {True, False}
    sample = seen(study, "samples")[0]
    assert sample["runs"] == "SRR0,SRR00"
    assert json.loads(sample["metadata"]) == {"condition": "ctrl"}
    assert (sample["release"], sample["project"]) == (study.release, study.project)
    digest = Path(manifest).stem.removeprefix("load-")
    key = f"logs/batch/load/project={study.project}/{digest}.json"
    stored = study.s3.get_object(Bucket=study.bucket, Key=key)["Body"].read()
    assert json.loads(stored) == outcome


def test_loading_twice_writes_nothing_and_confirms_again(study: Study) -> None:
    manifest = study.manifest(["ctrl-1", "treat-1"])
    first = load.load(manifest, study.folder)
    before = parts(study)

    assert load.load(manifest, study.folder) == first
    assert parts(study) == before


def test_the_same_rows_give_the_same_bytes(study: Study) -> None:
    load.load(study.manifest(["ctrl-1", "treat-1"]), study.folder)
    before = parts(study)
    for table in TABLES.values():
        key = load.part_key(table, study.release, study.project)
        study.s3.delete_object(Bucket=study.bucket, Key=key)

    load.load(study.manifest(["treat-1", "ctrl-1"]), study.folder)

    fact_tables = load.MERGED
    assert {t: parts(study)[t][0] for t in fact_tables} == {t: before[t][0] for t in fact_tables}


def test_a_corrected_sample_replaces_its_rows_under_the_same_manifest(study: Study) -> None:
    manifest = study.manifest(["ctrl-1", "treat-1"])
    load.load(manifest, study.folder)
    study.analysed("ctrl-1", counts=[99, 0, 2.5, 7])

    load.load(manifest, study.folder)

    assert seen(study)[0]["est_counts"] == 99
    assert len(seen(study)) == 8


def test_an_excluded_sample_disappears_from_every_table(study: Study) -> None:
    load.load(study.manifest(["ctrl-1", "treat-1"]), study.folder)

    load.load(study.manifest(["treat-1"]), study.folder)

    for table in TABLES:
        assert {row["sample"] for row in seen(study, table, "sample")} == {"treat-1"}, table


def test_a_sample_the_manifest_lists_as_excluded_is_in_no_table(study: Study) -> None:
    both = ["ctrl-1", "treat-1"]
    states = {"ctrl-1": "excluded", "treat-1": "failed"}
    rows = [{"sample": s, "layout": "single", "runs": "R", "state": states[s]} for s in both]
    load.load(study.manifest(both, samples=rows, tables={}), study.folder)

    for table in ("samples", "qc_metrics"):
        assert {row["sample"] for row in seen(study, table, "sample")} == {"treat-1"}, table


def test_a_sample_without_junctions_and_a_project_without_samples_load(study: Study) -> None:
    study.analysed("ctrl-1", counts=[1], junctions=0)
    study.analysed("treat-1", counts=[1], junctions=0)
    outcome = load.load(study.manifest(["ctrl-1", "treat-1"]), study.folder)
    assert outcome["rows"]["junctions"] == 0
    assert outcome["rows"]["gene_quant"] == 2

    outcome = load.load(study.manifest([]), study.folder)
    assert set(outcome["rows"].values()) == {0}
    assert seen(study) == []


def test_a_load_killed_between_tables_leaves_whole_tables_and_is_finished_by_the_next(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    load.load(study.manifest(["ctrl-1", "treat-1"]), study.folder)
    study.analysed("treat-1", counts=[5, 5, 5, 5])
    manifest = study.manifest(["treat-1"])

    class Killed(BaseException):
        pass

    put = load._put

    def put_then_die(manifest: Any, table: Any, *rest: Any) -> None:
        if table.name == "transcript_quant":
            raise Killed
        put(manifest, table, *rest)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(load, "_put", put_then_die)
        load.load(manifest, study.folder)
    assert len(seen(study, "gene_quant")) == 4  # new
    assert len(seen(study, "transcript_quant")) == 8  # old, whole
    assert len(seen(study, "samples")) == 2

    load.load(manifest, study.folder)
    assert len(seen(study, "transcript_quant")) == 4
    assert len(seen(study, "samples")) == 1


def test_verification_tells_both_figures_when_a_file_was_tampered_with(study: Study) -> None:
    load.load(study.manifest(["ctrl-1", "treat-1"]), study.folder)
    study.analysed("ctrl-1", counts=[10, 0, 2.5, 8])  # one fragment more, as many rows
    tampered = study.s3.get_object(Bucket=study.bucket, Key=study.keys["gene_quant"]["ctrl-1"])
    key = load.part_key(GENES, study.release, study.project)
    study.s3.put_object(Bucket=study.bucket, Key=key, Body=tampered["Body"].read())

    with pytest.raises(LoadError, match=r"4 rows of 1 samples.* = 20\.5, written were 8 rows of 2"):
        load.verify(GENES, study.release, study.project, load.Written(8, 2, 43.75))
    with pytest.raises(LoadError, match=r"= 20\.5, written were .* with 20\.50001"):
        load.verify(GENES, study.release, study.project, load.Written(4, 1, 20.50001))


def test_a_tampered_part_is_written_again_by_the_next_load(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = study.manifest(["ctrl-1", "treat-1"])
    load.load(manifest, study.folder)
    key = load.part_key(GENES, study.release, study.project)
    metadata = study.s3.head_object(Bucket=study.bucket, Key=key)["Metadata"]
    study.s3.copy_object(
        Bucket=study.bucket,
        Key=key,
        CopySource=f"{study.bucket}/{study.keys['gene_quant']['ctrl-1']}",
        Metadata=metadata,
        MetadataDirective="REPLACE",
    )

    with caplog.at_level(logging.WARNING):
        load.load(manifest, study.folder)

    assert "gene_quant is written again" in caplog.text
    assert len(seen(study)) == 8


def test_a_stray_object_in_the_partition_fails_the_load(study: Study) -> None:
    manifest = study.manifest(["ctrl-1", "treat-1"])
    key = load.part_key(GENES, study.release, study.project).replace("part-0", "part-1")
    source = study.keys["gene_quant"]["ctrl-1"]
    study.s3.copy_object(Bucket=study.bucket, Key=key, CopySource=f"{study.bucket}/{source}")

    with pytest.raises(LoadError, match=r"Athena sees 12 rows .* written were 8 rows"):
        load.load(manifest, study.folder)


def test_an_absent_result_names_the_file_and_the_remedy(study: Study) -> None:
    manifest = study.manifest(["ctrl-1", "treat-1"])
    study.s3.delete_object(Bucket=study.bucket, Key=study.keys["junctions"]["treat-1"])

    with pytest.raises(LoadError, match=r"1 of 2 .*sample=treat-1/junctions\.parquet → run the"):
        load.load(manifest, study.folder)


def test_a_file_with_rows_of_another_sample_is_refused(study: Study) -> None:
    study.store("gene_quant", "ctrl-1", [{**_gene("stranger"), "gene_id": "G1"}])

    with pytest.raises(LoadError, match=r"sample=ctrl-1/gene_quant\.parquet has rows of stranger"):
        load.load(study.manifest(["ctrl-1", "treat-1"]), study.folder)


def test_the_same_sample_from_two_files_is_refused(study: Study) -> None:
    study.store("gene_quant", "ctrl-1", [_gene("treat-1")])

    with pytest.raises(LoadError, match="two rows for gene_id=G000, sample=treat-1"):
        load.load(study.manifest(["ctrl-1", "treat-1"]), study.folder)


def test_a_broken_file_is_named(study: Study) -> None:
    key = study.keys["gene_quant"]["ctrl-1"]
    study.s3.put_object(Bucket=study.bucket, Key=key, Body=b"<html>")

    with pytest.raises(LoadError, match=r"ctrl-1/gene_quant\.parquet is not a readable Parquet"):
        load.load(study.manifest(["ctrl-1"]), study.folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"project": "GSE1' OR '1'='1"},
        {"release": "x' --"},
        {"samples": [{"layout": "paired"}]},
        {"tables": None},
    ],
)
def test_a_bad_manifest_is_the_users_error(study: Study, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        load.load(study.manifest(["ctrl-1"], **changes), study.folder)


def test_the_command_line_prints_rows_or_one_line_about_the_error(
    study: Study, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.folder)
    assert load.main([study.manifest(["ctrl-1"])]) == 0
    assert "gene_quant 4 rows" in capsys.readouterr().out

    assert load.main([uri(study.bucket, "nothing.json")]) == InputError.exit_code
    assert capsys.readouterr().err == f"error: s3://{study.bucket}/nothing.json does not exist\n"


def _gene(sample: str) -> dict[str, Any]:
    numbers = {"tpm": 1.0, "est_counts": 1.0, "effective_length": 1.0}
    return {"sample": sample, "gene_id": "G000", "fingerprint": "f", **numbers}
