"""Registering by hand: sheets and accessions, none of which stops the others."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from seqharvest.operators.sweep import RegisterOperator
from seqharvest.registry import Registry

SHEET = (
    "sample\tfastq_1\tfastq_2\tTissue\n"
    "liver\t{at}/a_R1.fastq.gz\t{at}/a_R2.fastq.gz\tfoie «gras», 5\u2009µM\n"
    "a/b\t{at}/b.fastq.gz\t\tx\n"
    "SRX12\t{at}/b.fastq.gz\t\tx\n"
    "skin\thttp://x/b.fastq.gz\t\tx\n"
    "skin\t{at}/b.fastq.gz\t\tx\n"
    "lung\t{at}/b.fastq.gz\t\tx\n"
)


@pytest.fixture
def sheet(aws: Any) -> str:
    s3, at = aws.client("s3"), f"s3://{aws.bucket}/lab"
    for name in ("a_R1.fastq.gz", "a_R2.fastq.gz", "b.fastq.gz"):
        s3.put_object(Bucket=aws.bucket, Key=f"lab/{name}", Body=b"reads")
    s3.put_object(Bucket=aws.bucket, Key="lab/sheet.tsv", Body=SHEET.format(at=at).encode())
    return f"{at}/sheet.tsv"


def register(**form: Any) -> list[dict[str, Any]]:
    params = {"accessions": None, "sheet": None, "project": None, "release": None, "dry_run": False}
    rows: list[dict[str, Any]] = RegisterOperator(task_id="register").execute(
        {"params": params | form}
    )
    return rows


def test_a_sheet_in_s3_and_accessions_are_registered_beside_bad_ones(
    sheet: str, caplog: pytest.LogCaptureFixture
) -> None:
    tried = register(sheet=sheet, project="lab-by-hand", dry_run=True)
    assert (tried[0]["action"], tried[0]["new_samples"]) == ("would register", 2)
    rows = register(sheet=sheet, project="lab-by-hand", accessions=["nonsense"])
    assert [(row["series"], row["action"]) for row in rows] == [
        ("lab-by-hand", "registered"),
        ("nonsense", "failed"),
    ]
    assert rows[0]["reason"].startswith("3 errors: sheet.tsv line 3: sample id 'a/b' is not 1 to")
    samples = {item["sample"]: item for item in Registry().samples("lab-by-hand")}
    # A sample with one bad row would be a wrong sample.
    assert sorted(samples) == ["liver", "lung"]
    assert samples["liver"]["metadata"] == {"Tissue": "foie «gras», 5\u2009µM"}


def test_a_sheet_that_cannot_be_read_fails_when_nothing_else_was_given(aws: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"none\.csv cannot be read"):
        register(sheet=f"s3://{aws.bucket}/none.csv", project="lab-none")
    with pytest.raises(AirflowFailException, match="nothing was given"):
        register()
