"""The project of a run may be an accession that nobody has registered yet."""

from __future__ import annotations

import pytest

from seqharvest import stages
from seqharvest.errors import InputError
from seqharvest.registry import Registry

from .conftest import ArchiveServer, Reply
from .test_register import BIOSAMPLES
from .test_resolve import row, serve_runs

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(autouse=True)
def biosamples(archive: ArchiveServer) -> None:
    archive.serve("/eutils/efetch.fcgi", Reply(BIOSAMPLES.encode()))


def begin(project: str, run_id: str = "r1") -> dict[str, object]:
    return stages.open_project(project, run_id=run_id, by="t")


def test_a_study_is_registered_and_claimed_and_then_not_asked_for_again(
    archive: ArchiveServer,
) -> None:
    serve_runs(archive, row("SRR701", "SRX701", study_accession="PRJNA701"))
    opened = begin("PRJNA701")
    assert (opened["project"], opened["samples"]) == ("PRJNA701", {"registered": 1})
    item = Registry().project("PRJNA701")
    assert (item["state"], item["run_id"]) == ("fetching", "r1")
    asked = len(archive.requests)
    begin("PRJNA701")
    assert len(archive.requests) == asked


@pytest.mark.parametrize("accession", ["SRR702", "SRX702", "SAMN702"])
def test_a_part_of_a_study_registers_it_and_says_which_it_is(
    accession: str, archive: ArchiveServer
) -> None:
    serve_runs(archive, row("SRR702", "SRX702", study_accession="PRJNA702"))
    with pytest.raises(InputError, match=f"{accession} is part of PRJNA702, registered now"):
        begin(accession)
    assert [one["sample"] for one in Registry().samples("PRJNA702")] == ["SRX702"]
    assert Registry().project("PRJNA702")["state"] == "registered"  # nobody's yet


def test_what_cannot_be_registered_is_said_in_one_line(archive: ArchiveServer) -> None:
    serve_runs(archive, row("SRR703", "SRX703", library_strategy="WGS"))
    with pytest.raises(InputError, match="PRJNA703 cannot be registered: no RNA-Seq run to take"):
        begin("PRJNA703")
    with pytest.raises(InputError, match="project lab703 is not registered"):
        begin("lab703")
    with pytest.raises(InputError, match="project"):
        begin("a/b")
