"""A series as the demo sees it: reads to publish in the local archive, and their reference."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import httpx
import yaml

from seqharvest.errors import InputError, SeqharvestError
from seqharvest.layout import release_prefix, uri
from seqharvest.settings import settings

ACCESSION = re.compile(r"GSE\d+")


@dataclass(frozen=True)
class Series:
    """Reads with a sheet, published as if they were a GEO series, and the reference for them."""

    accession: str
    folder: Path
    fasta: Path
    gtf: Path
    release: str
    published: str = ""  # the day, where series.yaml names it

    def upload_reference(self) -> dict[str, str]:
        """Put FASTA and GTF into S3 unless they are there, and return their addresses."""
        s3, bucket = boto3.client("s3"), settings().bucket
        addresses = {}
        for name, path in (("fasta", self.fasta), ("gtf", self.gtf)):
            key = f"{release_prefix(self.release)}source/{path.name}"
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
            if not any(o["Key"] == key and o["Size"] == path.stat().st_size for o in listed):
                s3.upload_file(str(path), bucket, key)
            addresses[name] = uri(bucket, key)
        return addresses

    def publish(self, archive_url: str) -> None:
        """Have the local archive serve the reads; raise its own words when it will not."""
        body = {"folder": str(self.folder)}
        reply = httpx.post(f"{archive_url}/_local/series", json=body, timeout=120)
        if reply.is_error:
            raise InputError(f"{self.folder}: {reply.text}", "mend the folder or its sheet")

    def sweep_conf(self) -> dict[str, Any]:
        """What geo_sweep is told: the day the series was published, or just its accession."""
        if self.published:
            day = self.published.replace("/", "-")
            return {"start": day, "end": day, "release": self.release}
        return {"accessions": [self.accession], "release": self.release}


def demo_series(folder: Path) -> Series:
    """Generate the demo's series in a folder, once for each version of its generator."""
    sources = sorted((Path(__file__).parent / "demo_data").glob("*.py"))
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = folder / "generated"
    if not stamp.exists() or stamp.read_text() != version:
        done = subprocess.run([sys.executable, "-m", "local.demo_data", str(folder)])
        if done.returncode:
            raise SeqharvestError("the demo's data could not be generated", "see the error above")
        stamp.write_text(version)
    return given_series(folder, folder / "reference", release="demo-1")


def given_series(folder: Path, reference: Path | None, release: str = "") -> Series:
    """Look at a folder a person gave; raise `InputError` naming what it lacks."""
    folder = folder.resolve()
    if not folder.is_dir():
        raise InputError(f"SERIES={folder} is not a folder", "give a folder of FASTQ with a sheet")
    place = find_reference(folder, reference)
    fasta, gtf = genome_files(place)
    return Series(
        accession_of(folder), folder, fasta, gtf, release or release_of(place, fasta, gtf)
    )


def accession_of(folder: Path) -> str:
    """The GSE in series.yaml, or in the folder's name."""
    found = ACCESSION.search(str(description(folder).get("accession", folder.name)))
    if not found:
        raise InputError(
            f"{folder} names no GEO series",
            "put GSE<digits> into the folder's name, or `accession:` into its series.yaml",
        )
    return found.group()


def description(folder: Path) -> dict[str, Any]:
    """What series.yaml says, or nothing where there is none."""
    sheet = folder / "series.yaml"
    return dict(yaml.safe_load(sheet.read_text())) if sheet.exists() else {}


def find_reference(folder: Path, reference: Path | None) -> Path:
    """The folder a person gave, or `reference/` in the series, or the one in ../../reference."""
    if reference is not None:
        return reference.resolve()
    candidates = [folder / "reference", *sorted((folder.parent.parent / "reference").glob("*"))]
    usable = [place for place in candidates if genome_file(place, "genome.fa")]
    if len(usable) != 1:
        raise InputError(
            f"{len(usable)} references found for {folder}",
            "name one: REFERENCE=<folder with genome.fa[.gz] and genes.gtf[.gz]>",
        )
    return usable[0]


def genome_files(place: Path) -> tuple[Path, Path]:
    """FASTA and GTF of a reference folder."""
    fasta, gtf = genome_file(place, "genome.fa"), genome_file(place, "genes.gtf")
    if not fasta or not gtf:
        raise InputError(
            f"REFERENCE={place} lacks {'genes.gtf' if fasta else 'genome.fa'}",
            "it must hold genome.fa[.gz] and genes.gtf[.gz]",
        )
    return fasta, gtf


def genome_file(place: Path, name: str) -> Path | None:
    """The file, plain or gzipped, or None."""
    return next((p for p in (place / name, place / f"{name}.gz") if p.is_file()), None)


def release_of(place: Path, fasta: Path, gtf: Path) -> str:
    """A release name from the folder's name and the content, so that other files get another."""
    digest = hashlib.sha256()
    for path in (fasta, gtf):
        digest.update(path.read_bytes())
    return f"{re.sub(r'[^A-Za-z0-9_.-]', '-', place.name)}-{digest.hexdigest()[:6]}"
