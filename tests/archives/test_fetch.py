"""A run is in S3 whole, verified and on record, or not at all and with the reason."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from seqharvest.archives import fetch
from seqharvest.archives.limits import Limits
from seqharvest.archives.model import FastqFile, Run
from seqharvest.errors import ArchiveError, InputError, SeqharvestError

from .conftest import ArchiveServer, Reply

REPO = Path(__file__).resolve().parents[2]


def reads(mate: int, count: int = 20, prefix: str = "r") -> bytes:
    lines = (f"@{prefix}{n} {n}/{mate}\n{'ACGT' * 9}\n+\n{'FFF:' * 9}\n" for n in range(count))
    return gzip.compress("".join(lines).encode(), mtime=0)


def file(archive: ArchiveServer, name: str, body: bytes, **published: Any) -> FastqFile:
    url = archive.serve(f"/vol1/{name}", Reply(body))
    return replace(FastqFile(url, hashlib.md5(body).hexdigest(), len(body)), **published)


def pair(archive: ArchiveServer, accession: str) -> tuple[FastqFile, ...]:
    return tuple(file(archive, f"{accession}_{m}.fastq.gz", reads(m)) for m in (1, 2))


def sra(archive: ArchiveServer, run: Run, path: Path, **changes: Any) -> Run:
    body = path.read_bytes()
    url = archive.serve(f"/sra/{run.accession}/{run.accession}", Reply(body))
    known = {"sra_url": url, "sra_md5": hashlib.md5(body).hexdigest(), "sra_size": len(body)}
    return replace(run, **{**known, **changes})


class Site:
    """A project's corner of the bucket, and how to fetch into it."""

    def __init__(self, aws: Any, project: str, limits: Limits, folder: Path) -> None:
        self.s3, self.bucket, self.project = aws.client("s3"), aws.bucket, project
        self.limits, self.folder = limits, folder

    def order(self, run: Run, *sources: str) -> fetch.Order:
        return fetch.Order(self.bucket, self.project, "SRX1", run, sources or ("sra", "ena"))

    def fetch(self, run: Run, *sources: str) -> dict[str, Any]:
        return fetch.fetch(self.s3, self.order(run, *sources), 2, self.limits)

    def uploads(self) -> list[Any]:
        """Multipart uploads that somebody began and neither completed nor aborted."""
        found = self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return [one for one in found if f"project={self.project}/" in one["Key"]]

    def keys(self) -> dict[str, int]:
        prefix = f"raw/project={self.project}/"
        page = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
        return {
            found["Key"].removeprefix(f"{prefix}sample=SRX1/"): found["Size"]
            for found in page.get("Contents", [])
        }

    def read(self, name: str) -> bytes:
        key = f"raw/project={self.project}/sample=SRX1/{name}"
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read())


@pytest.fixture
def site(
    aws: Any,
    request: pytest.FixtureRequest,
    limits: Limits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    monkeypatch.chdir(tmp_path)
    project = hashlib.md5(request.node.name.encode()).hexdigest()
    return Site(aws, project, limits, tmp_path)


RUN = Run("SRR1", "SRX1", "paired", spots=20)


def test_ena_fastq_is_stored_as_published_and_only_once(
    site: Site, archive: ArchiveServer, tmp_path: Path
) -> None:
    run = replace(RUN, fastq=pair(archive, "SRR1"))
    provenance = site.fetch(run, "ena")
    assert site.read("SRR1_1.fastq.gz") == reads(1) and site.read("SRR1_2.fastq.gz") == reads(2)
    assert json.loads(site.read("SRR1.json")) == provenance
    assert provenance["md5s"] == [one.md5 for one in run.fastq]
    assert provenance["files"][1] == {
        "key": f"raw/project={site.project}/sample=SRX1/SRR1_2.fastq.gz",
        "md5": run.fastq[1].md5,
        "size": run.fastq[1].size,
        "reads": 20,
        "bases": 720,
        "shortest": 36,
        "longest": 36,
    }
    assert (provenance["spots"], provenance["layout"], provenance["orphans"]) == (20, "paired", 0)
    asked = len(archive.requests)
    assert site.fetch(run, "ena") == provenance
    assert len(archive.requests) == asked
    assert list(tmp_path.iterdir()) == []


def test_a_fetch_that_was_killed_before_its_provenance_is_done_again(
    site: Site, archive: ArchiveServer
) -> None:
    run = replace(RUN, fastq=pair(archive, "SRR1"))
    site.fetch(run, "ena")
    key = f"raw/project={site.project}/sample=SRX1/SRR1"
    site.s3.put_object(Bucket=site.bucket, Key=f"{key}_2.fastq.gz", Body=b"half")
    site.fetch(run, "ena")
    assert site.read("SRR1_2.fastq.gz") == reads(2)
    site.s3.put_object(Bucket=site.bucket, Key=f"{key}.json", Body=b'{"files":')
    site.fetch(run, "ena")
    assert json.loads(site.read("SRR1.json"))["spots"] == 20


def test_a_mate_that_is_stored_with_the_published_md5_is_not_fetched_again(
    site: Site, archive: ArchiveServer
) -> None:
    run = replace(RUN, fastq=pair(archive, "SRR1"))
    first = site.fetch(run, "ena")
    key = f"raw/project={site.project}/sample=SRX1/SRR1"
    for lost in ("_2.fastq.gz", ".json"):  # it was killed between its two mates
        site.s3.delete_object(Bucket=site.bucket, Key=key + lost)
    again = site.fetch(run, "ena")
    assert (again["files"], again["md5s"]) == (first["files"], first["md5s"])
    assert site.read("SRR1_2.fastq.gz") == reads(2)
    asked = [len(archive.asked(f"/vol1/SRR1_{mate}.fastq.gz")) for mate in (1, 2)]
    assert asked == [1, 2]

    site.s3.delete_object(Bucket=site.bucket, Key=f"{key}.json")
    other = {"Body": reads(1, prefix="q"), "Metadata": {"md5": run.fastq[0].md5}}
    site.s3.put_object(Bucket=site.bucket, Key=f"{key}_1.fastq.gz", **other)
    site.fetch(run, "ena")  # its metadata lies
    assert site.read("SRR1_1.fastq.gz") == reads(1)
    asked = [len(archive.asked(f"/vol1/SRR1_{mate}.fastq.gz")) for mate in (1, 2)]
    assert asked == [2, 2]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_three_files_in_any_order_keep_the_pairs_and_record_the_orphans(
    order: tuple[int, ...], site: Site, archive: ArchiveServer
) -> None:
    orphans = file(archive, "SRR1.fastq.gz", reads(1, 3, "o"))
    files = (*pair(archive, "SRR1"), orphans)
    run = replace(RUN, spots=23, fastq=tuple(files[place] for place in order))
    provenance = site.fetch(run, "ena")
    assert (provenance["layout"], provenance["orphans"], provenance["spots"]) == ("paired", 3, 23)
    assert sorted(site.keys()) == ["SRR1.json", "SRR1_1.fastq.gz", "SRR1_2.fastq.gz"]


@pytest.mark.parametrize("name", ["SRR1.fastq.gz", "SRR1_1.fastq.gz", "SRR1_2.fastq.gz"])
def test_a_paired_run_that_holds_one_mate_is_recorded_single(
    name: str, site: Site, archive: ArchiveServer
) -> None:
    run = replace(RUN, fastq=(file(archive, name, reads(1)),))
    provenance = site.fetch(run, "ena")
    assert (provenance["layout"], provenance["declared_layout"]) == ("single", "paired")
    assert sorted(site.keys()) == ["SRR1.json", "SRR1_1.fastq.gz"]


def test_nothing_unverified_from_ena_enters_s3(site: Site, archive: ArchiveServer) -> None:
    good = pair(archive, "SRR1")
    bad = {
        "R1 has 20 reads and R2 19": file(archive, "a_2.fastq.gz", reads(2, 19)),
        "names of R1 and R2 differ": file(archive, "b_2.fastq.gz", reads(2, 20, "q")),
        "not an intact gzip": file(archive, "c_2.fastq.gz", reads(2)[:-30]),
        "has md5": file(archive, "d_2.fastq.gz", reads(2), md5="0" * 32),
        "published are 9999 B": file(archive, "e_2.fastq.gz", reads(2), size=9999),
        "HTTP 404": FastqFile(f"{archive.url}/none_2.fastq.gz", "0" * 32, 10),
        "cut in the middle": file(
            archive, "f_2.fastq.gz", gzip.compress(gzip.decompress(reads(2))[:-9])
        ),
    }
    for why, second in bad.items():
        with pytest.raises(ArchiveError, match=f"run SRR1 of sample SRX1 .*ena: .*{why}"):
            site.fetch(replace(RUN, fastq=(good[0], second)), "ena")
    with pytest.raises(ArchiveError, match="20 spots, published are 21"):
        site.fetch(replace(RUN, spots=21, fastq=good), "ena")
    with pytest.raises(ArchiveError, match="interleaved"):
        one = file(archive, "g.fastq.gz", reads(1, 40))
        site.fetch(replace(RUN, fastq=(one,)), "ena")
    assert site.keys() == {} and site.uploads() == []


def assert_bases(site: Site, data: Path, run: str) -> None:
    truth = (data / f"sra/{run}.fasta").read_text().split("\n")[1::2]
    for mate, expected in ((1, truth[0::2]), (2, truth[1::2])):
        stored = gzip.decompress(site.read(f"{run}_{mate}.fastq.gz")).decode().split("\n")
        assert stored[1::4] == expected


def test_a_paired_sra_archive_becomes_verified_fastq(
    site: Site, archive: ArchiveServer, data: Path
) -> None:
    run = replace(RUN, accession="ERR3487613", spots=10)
    provenance = site.fetch(sra(archive, run, data / "sra/ERR3487613"))
    assert_bases(site, data, "ERR3487613")
    assert (provenance["source"], provenance["spots"], provenance["layout"]) == (
        "sra",
        10,
        "paired",
    )
    assert provenance["tools"]["fastq-dump"].startswith("3.")
    assert provenance["attempts"] == [{"source": "sra", "url": provenance["url"], "error": ""}]


def test_sra_orphans_and_unmeasured_qualities_are_recorded(
    site: Site, archive: ArchiveServer, data: Path
) -> None:
    run = replace(RUN, accession="SRR9990003", spots=100)
    orphaned = site.fetch(sra(archive, run, data / "sra/SRR9990003_orphans.sra"))
    assert (orphaned["orphans"], orphaned["spots"]) == (30, 100)
    assert [one["reads"] for one in orphaned["files"]] == [70, 70]
    run = replace(RUN, accession="SRR600096", spots=16)
    lite = site.fetch(sra(archive, run, data / "sra/SRR600096.sralite"))
    assert lite["constant_quality"] == "?" and orphaned["constant_quality"] == ""


BAD_ARCHIVES = {
    "bad_bitflip.sra": "vdb-validate rejects",
    "bad_truncated.sra": "vdb-validate rejects|fastq-dump fails",
    "blob_val_inv_chsum.sra": "vdb-validate rejects",
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_a_bad_sra_archive_falls_back_to_ena(
    name: str, site: Site, archive: ArchiveServer, data: Path
) -> None:
    # As if the damage had been published: md5 and size agree with the damaged file.
    run = sra(archive, replace(RUN, fastq=pair(archive, "SRR1")), data / "sra" / name)
    provenance = site.fetch(run)
    assert provenance["source"] == "ena" and site.read("SRR1_1.fastq.gz") == reads(1)
    first, second = provenance["attempts"]
    assert (first["source"], second["error"]) == ("sra", "")
    assert any(why in first["error"] for why in BAD_ARCHIVES[name].split("|"))


def test_every_way_an_sra_source_fails_ends_without_an_object(
    site: Site, archive: ArchiveServer, data: Path, tmp_path: Path
) -> None:
    good = data / "sra/ERR3487613"
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    page = tmp_path / "page"
    page.write_bytes(b"\n <!doctype HTML><html>gone</html>")
    run = replace(RUN, spots=10)
    cases = {
        "has md5": sra(archive, run, good, sra_md5="f" * 32, accession="SRR2"),
        "10 spots, published are 11": replace(sra(archive, run, good), spots=11),
        "published are 7 B": sra(archive, run, good, sra_size=7),
        "fastq-dump fails": sra(archive, replace(run, accession="SRR3"), empty),
        "web page": sra(archive, replace(run, accession="SRR4"), page),
        "HTTP 404": replace(run, sra_url=f"{archive.url}/sra/none"),
    }
    empty.unlink()
    page.unlink()
    for why, bad in cases.items():
        with pytest.raises(ArchiveError, match=f"sra: .*{why}.*ENA publishes no FASTQ"):
            site.fetch(bad)
    assert site.keys() == {} and site.uploads() == []
    assert list(tmp_path.iterdir()) == []


def test_a_reset_in_mid_archive_is_resumed_and_recorded(
    site: Site, archive: ArchiveServer, data: Path
) -> None:
    run = sra(archive, replace(RUN, layout="single", spots=50_000), data / "sra/SRR6357073.sra")
    body = (data / "sra/SRR6357073.sra").read_bytes()
    archive.serve("/sra/SRR1/SRR1", Reply(body, cut=1_000_000), Reply(body))
    provenance = site.fetch(run)
    broken, done = provenance["attempts"]
    assert "broke off" in broken["error"] and done["error"] == ""
    assert int(archive.asked("/sra/SRR1/SRR1")[1]["Range"][6:-1]) > 0
    original = data / "reads/yeast_GSE110004/fastq/SRR6357073_1.fastq.gz"
    ours = gzip.decompress(site.read("SRR1_1.fastq.gz")).split(b"\n")
    theirs = gzip.decompress(original.read_bytes()).split(b"\n")
    assert ours[1::4] == theirs[1::4] and ours[3::4] == theirs[3::4]


# ---- faults: right to the byte, or failed with the reason and nothing in S3

GOOD = Path("ERR3487613")  # 10 pairs, whose bases the shared data tell
TAG = {"ETag": '"v1"'}


def flipped(body: bytes) -> bytes:
    return body[:20_000] + bytes([body[20_000] ^ 0x10]) + body[20_001:]


#: What the server does with an archive, and what becomes of the run: "" is right to the byte.
FAULTS: dict[str, tuple[Callable[[bytes], list[Reply]], str]] = {
    "429": (lambda b: [Reply(b"", 429), Reply(b)], ""),
    "429 and when": (lambda b: [Reply(b"", 429, {"Retry-After": "1"}), Reply(b)], ""),
    "429 next year": (lambda b: [Reply(b"", 429, {"Retry-After": "99999"})], "asks to wait 99999"),
    "429 for ever": (lambda b: [Reply(b"", 429)], "HTTP 429"),
    "500 once": (lambda b: [Reply(b"oh", 500), Reply(b)], ""),
    "500 for ever": (lambda b: [Reply(b"oh", 500)], "HTTP 500: oh"),
    "503 once": (lambda b: [Reply(b"", 503), Reply(b)], ""),
    "stall": (lambda b: [Reply(b, pause=0.1), Reply(b)], ""),
    "stall for ever": (lambda b: [Reply(b, pause=0.1)], "stalled"),
    "reset": (lambda b: [Reply(b, headers=TAG, cut=9000), Reply(b, headers=TAG)], ""),
    "reset for ever": (lambda b: [Reply(b, cut=9)], "broke off"),
    "another length": (lambda b: [Reply(b, headers={"Content-Length": "99"})], "has 99 B"),
    "another md5": (lambda b: [Reply(flipped(b))], "has md5"),
    "too short": (lambda b: [Reply(b[:9000])], "has 9000 B"),
    "web page": (lambda b: [Reply(b"<!doctype html><p>sorry")], "web page|has 23 B"),
    "204": (lambda b: [Reply(b"", 204)], "204 No Content"),
    "404": (lambda b: [Reply(b"", 404)], "HTTP 404"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_a_run_is_right_to_the_byte_or_failed(
    fault: str, site: Site, archive: ArchiveServer, data: Path, tmp_path: Path
) -> None:
    body = (data / "sra" / GOOD).read_bytes()
    run = sra(archive, replace(RUN, accession=str(GOOD), spots=10), data / "sra" / GOOD)
    replies, why = FAULTS[fault]
    archive.serve(f"/sra/{GOOD}/{GOOD}", *replies(body))
    if why:
        with pytest.raises(ArchiveError, match=f"run {GOOD} of sample SRX1 .*sra: .*({why})"):
            site.fetch(run, "sra")
        assert site.keys() == {}
    else:
        attempts = site.fetch(run, "sra")["attempts"]
        assert len(attempts) == len(archive.asked(f"/sra/{GOOD}/{GOOD}"))
        assert_bases(site, data, str(GOOD))
    assert site.uploads() == [] and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("broken", ["UploadPart", "CompleteMultipartUpload", "second complete"])
def test_an_s3_that_fails_leaves_no_partial_object(
    broken: str, site: Site, archive: ArchiveServer, tmp_path: Path
) -> None:
    failures = iter([False, True] if broken == "second complete" else [True])

    def fail(**_: Any) -> None:
        if next(failures, True):
            raise ConnectionResetError("gone")

    event = "CompleteMultipartUpload" if broken == "second complete" else broken
    site.s3.meta.events.register(f"before-call.s3.{event}", fail)
    run = replace(RUN, fastq=pair(archive, "SRR1"))
    with pytest.raises(ConnectionResetError):
        site.fetch(run, "ena")
    whole = ["SRR1_1.fastq.gz"] if broken == "second complete" else []
    assert sorted(site.keys()) == whole and site.uploads() == [] and list(tmp_path.iterdir()) == []
    site.s3.meta.events.unregister(f"before-call.s3.{event}", fail)
    site.fetch(run, "ena")
    assert len(site.keys()) == 3


# ---- prefetch


def sdl(archive: ArchiveServer, accession: str, body: bytes, **changes: Any) -> None:
    """Let NCBI's resolver know a run, as prefetch asks for it."""
    link = archive.serve(f"/ncbi/{accession}", Reply(body))
    file = {
        "object": f"srapub|{accession}",
        "type": "sra",
        "name": accession,
        "size": len(body),
        "md5": hashlib.md5(body).hexdigest(),
        "modificationDate": "2026-01-01T00:00:00Z",
        "locations": [{"service": "ncbi", "region": "public", "link": link}],
        **changes,
    }
    found = {"bundle": accession, "status": 200, "msg": "ok", "files": [file]}
    archive.serve("/sdl", Reply(json.dumps({"version": "2", "result": [found]}).encode()))


def test_prefetch_is_the_third_source_and_every_attempt_is_on_record(
    site: Site, archive: ArchiveServer, data: Path, tmp_path: Path
) -> None:
    sdl(archive, str(GOOD), (data / "sra" / GOOD).read_bytes())
    run = replace(RUN, accession=str(GOOD), spots=10, sra_url=f"{archive.url}/none")
    provenance = site.fetch(run, "sra", "ena", "prefetch")
    assert_bases(site, data, str(GOOD))
    tried = [(one["source"], one["error"]) for one in provenance["attempts"]]
    assert [source for source, _ in tried] == ["sra", "ena", "prefetch"]
    assert "404" in tried[0][1] and "publishes no FASTQ" in tried[1][1] and tried[2][1] == ""
    assert provenance["tools"]["prefetch"] and list(tmp_path.iterdir()) == []


def test_a_prefetch_that_fails_says_why(site: Site, archive: ArchiveServer, data: Path) -> None:
    body = (data / "sra" / GOOD).read_bytes()
    run = replace(RUN, accession=str(GOOD), spots=10)
    sdl(archive, str(GOOD), body, md5="0" * 32)
    with pytest.raises(ArchiveError, match=r"prefetch: prefetch ERR3487613 failed .*verify"):
        site.fetch(run, "prefetch")
    sdl(archive, str(GOOD), flipped(body))
    with pytest.raises(ArchiveError, match="prefetch: "):
        site.fetch(run, "prefetch")
    assert site.keys() == {} and site.uploads() == []


# ---- the Batch child


def put_manifest(site: Site, *runs: Run, sources: tuple[str, ...] = ("ena",)) -> str:
    content = {
        "stage": "fetch",
        "project": site.project,
        "bucket": site.bucket,
        "sources": list(sources),
        "runs": [{"sample": "SRX1", "run": run.as_dict()} for run in runs],
    }
    key = f"manifests/project={site.project}/fetch-abc123.json"
    site.s3.put_object(Bucket=site.bucket, Key=key, Body=json.dumps(content).encode())
    return f"s3://{site.bucket}/{key}"


def outcome(site: Site, run: str) -> dict[str, str]:
    key = f"logs/batch/fetch/project={site.project}/abc123-{run}.json"
    found: dict[str, str] = json.loads(
        site.s3.get_object(Bucket=site.bucket, Key=key)["Body"].read()
    )
    return found


def test_a_child_takes_the_run_of_its_index_and_tells_why_it_failed(
    site: Site, archive: ArchiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    bad = replace(RUN, accession="SRR9")
    manifest = put_manifest(site, bad, replace(RUN, fastq=pair(archive, "SRR1")))
    try:
        monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", "1")
        assert fetch.main([manifest]) == 0
        assert "SRR1.json" in set(site.keys())
        monkeypatch.delenv("AWS_BATCH_JOB_ARRAY_INDEX")
        assert fetch.main([manifest]) != 0
        assert fetch.main([manifest, "--index", "2"]) == InputError.exit_code
    finally:
        signal.signal(signal.SIGTERM, handler)
    told = outcome(site, "SRR9")
    assert (told["sample"], told["run"]) == ("SRX1", "SRR9")
    assert "SRR9" in told["reason"] and "ena: ENA publishes no FASTQ" in told["reason"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a fetch manifest"),
        (b'{"runs":[{"sample":"s"}],"project":"p"}', "not a fetch manifest"),
        (b'{"runs":[{"sample":"s","run":{"accession":"SRR1"}}],"project":"p"}', "SRR1 is not"),
        (b'{"runs":[{"sample":"../x","run":{}}],"project":"p"}', "sample id '../x'"),
    ],
)
def test_a_broken_manifest_is_named(content: bytes, why: str, site: Site) -> None:
    site.s3.put_object(Bucket=site.bucket, Key="manifests/x.json", Body=content)
    with pytest.raises(InputError, match=why):
        fetch.read_order(site.s3, f"s3://{site.bucket}/manifests/x.json", 0)
    with pytest.raises(InputError, match="cannot be read"):
        fetch.read_order(site.s3, f"s3://{site.bucket}/manifests/none.json", 0)
    with pytest.raises(SeqharvestError, match="not s3://"):
        fetch.read_order(site.s3, "manifests/none.json", 0)


def test_an_unknown_source_is_refused(site: Site) -> None:
    manifest = put_manifest(site, RUN, sources=("sra", "ftp"))
    with pytest.raises(
        InputError, match="fetch sources are sra, ftp → name some of sra, ena, prefetch"
    ):
        fetch.read_order(site.s3, manifest, 0)


def test_a_terminated_child_cleans_up_and_says_so(
    site: Site, archive: ArchiveServer, tmp_path: Path
) -> None:
    files = pair(archive, "SRR1")
    archive.serve("/vol1/SRR1_2.fastq.gz", Reply(reads(2), pause=1))
    manifest = put_manifest(site, replace(RUN, fastq=files))
    child = subprocess.Popen(
        [sys.executable, "-m", "seqharvest.archives.fetch", manifest],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPO / "plugins")},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 15
    while not archive.asked("/vol1/SRR1_2.fastq.gz") and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 1, said.decode()
    assert "ended by Batch" in outcome(site, "SRR1")["reason"]
    assert list(tmp_path.iterdir()) == [] and site.keys() == {} and site.uploads() == []
