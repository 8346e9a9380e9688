"""The manifest of a reference build."""

from __future__ import annotations

import json

import boto3
import pytest

from seqharvest.errors import InputError
from seqharvest.reference_plan import plan_reference
from seqharvest.settings import settings

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def _sources(aws: object) -> None:
    for key in ("in/genome.fa", "in/genes.gtf"):
        boto3.client("s3").put_object(Bucket=settings().bucket, Key=key, Body=b"x")


def test_the_same_build_is_the_same_manifest() -> None:
    plans = [plan_reference("r-1.2", "in/genome.fa", "in/genes.gtf") for _ in range(2)]
    assert plans[0] == plans[1]
    body = boto3.client("s3").get_object(Bucket=settings().bucket, Key=plans[0]["manifest"])
    manifest = json.loads(body["Body"].read())
    assert manifest["target"] == "release"
    assert manifest["config"] == {
        "fasta": "in/genome.fa",
        "gtf": "in/genes.gtf",
        "unknown_contigs": "error",
    }


@pytest.mark.parametrize(
    ("release", "fasta", "config", "named"),
    [
        ("a/b", "in/genome.fa", {}, "a/b"),
        ("r1", "in/no.fa", {}, "in/no.fa"),
        ("r1", "s3://elsewhere/no.fa", {}, "s3://elsewhere/no.fa"),
        ("r1", "in/genome.fa", {"unknown_contigs": "maybe"}, "maybe"),
    ],
)
def test_a_wrong_form_is_told_what_is_wrong(
    release: str, fasta: str, config: dict[str, str], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        plan_reference(release, fasta, "in/genes.gtf", config)
