"""A host's reference cache: fetched once, checked, never half there."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from seqharvest import reference
from seqharvest.errors import InputError, VerificationError
from tests.conftest import REPO, Aws


def build(root: Path, content: bytes = b"suffix array") -> Path:
    """A release whose STAR index is one small file."""
    release = root / "reference/release=r1"
    release.mkdir(parents=True, exist_ok=True)
    (root / "SA").write_bytes(content)
    with tarfile.open(release / "star.tar", "w") as archive:
        archive.add(root / "SA", "SA")
    (release / "tx2gene.tsv").write_text("transcript_id\tgene_id\tgene_name\tbiotype\n")
    objects = {
        path.name: {"md5": hashlib.md5(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
        for path in release.iterdir()
        if path.name != "release.json"
    }
    (release / "release.json").write_text(json.dumps({"objects": objects}))
    return root


def test_concurrent_jobs_fetch_a_part_once(tmp_path: Path) -> None:
    source = build(tmp_path / "bucket", b"x" * 30_000_000)
    command = [sys.executable, "-m", "seqharvest.reference", "star", "--release", "r1"]
    jobs = [
        subprocess.Popen(
            [*command, "--source", source],
            env={
                "PYTHONPATH": str(REPO / "plugins"),
                "SEQHARVEST_REFERENCE_CACHE": str(tmp_path / "cache"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = [job.communicate(timeout=60) for job in jobs]
    assert len({path for path, _ in answers}) == 1
    assert sum("fetching" in log for _, log in answers) == 1
    index = Path(answers[0][0].strip())
    assert (index / "SA").stat().st_size == 30_000_000


def test_an_object_that_is_not_what_was_promised_is_refused_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    source = build(tmp_path / "bucket")
    tar = source / "reference/release=r1/star.tar"
    data = bytearray(tar.read_bytes())
    data[600] ^= 1  # within the file's bytes: the archive itself is still whole
    tar.write_bytes(data)
    with pytest.raises(VerificationError, match=r"star\.tar is \d+ bytes with md5"):
        reference.cached("r1", "star", source=str(source), cache_dir=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache/release=r1").iterdir()] == [".lock"]


def test_a_cut_off_archive_is_refused(tmp_path: Path) -> None:
    source = build(tmp_path / "bucket", b"x" * 100_000)
    tar = source / "reference/release=r1/star.tar"
    tar.write_bytes(tar.read_bytes()[:50_000])
    with pytest.raises(VerificationError, match="is not a whole tar archive"):
        reference.cached("r1", "star", source=str(source), cache_dir=tmp_path / "cache")


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    source = build(tmp_path / "bucket")
    release = source / "reference/release=r1"
    with tarfile.open(release / "star.tar", "w") as archive:
        archive.add(source / "SA", "../escaped")
    with pytest.raises(VerificationError, match=r"holds '\.\./escaped'"):
        reference.cached("r1", "star", source=str(source), cache_dir=tmp_path / "cache")
    assert not list(tmp_path.rglob("escaped"))


def test_what_a_killed_job_left_is_cleared(tmp_path: Path) -> None:
    source = build(tmp_path / "bucket")
    place = reference.cached("r1", "star", source=str(source), cache_dir=tmp_path / "cache")
    place.rename(place.with_name(f"{place.name}.part-killed"))
    again = reference.cached("r1", "star", source=str(source), cache_dir=tmp_path / "cache")
    assert again == place
    assert not list(place.parent.glob("*.part-*"))


def test_a_release_that_was_built_again_does_not_disturb_running_jobs(tmp_path: Path) -> None:
    old, new = (
        reference.cached(
            "r1",
            "star",
            source=str(build(tmp_path / "bucket", content)),
            cache_dir=tmp_path / "cache",
        )
        for content in (b"old", b"new")
    )
    assert ((old / "SA").read_bytes(), (new / "SA").read_bytes()) == (b"old", b"new")


def test_a_release_comes_from_the_data_bucket(tmp_path: Path, aws: Aws) -> None:
    build(tmp_path)
    for path in (tmp_path / "reference/release=r1").iterdir():
        key = f"reference/release=r1/{path.name}"
        aws.client("s3").put_object(Bucket=aws.bucket, Key=key, Body=path.read_bytes())
    place = reference.cached("r1", "tx2gene", cache_dir=tmp_path / "cache")
    assert place.read_text().startswith("transcript_id")
    with pytest.raises(InputError, match=r"no object s3://.*/release=r2/release\.json"):
        reference.cached("r2", "star", cache_dir=tmp_path / "cache")
