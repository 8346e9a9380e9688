"""What the archives tell us, as plain values: series, runs, and the project made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from seqharvest.errors import InputError

Layout = Literal["paired", "single"]
LAYOUTS = ("paired", "single")


@dataclass(frozen=True)
class FastqFile:
    """A FASTQ as an archive publishes it; `size` in bytes, 0 when not published."""

    url: str
    md5: str = ""
    size: int = 0


@dataclass(frozen=True)
class Run:
    """One sequencing run (SRR, ERR, DRR); counts are 0 and texts empty when not published."""

    accession: str
    experiment: str
    layout: str
    spots: int = 0
    bases: int = 0
    biosample: str = ""
    study: str = ""
    fastq: tuple[FastqFile, ...] = ()
    sra_url: str = ""
    sra_md5: str = ""
    sra_size: int = 0  # bytes, exact
    sra_mb: int = 0  # NCBI's size_MB: to plan with, not to check against
    title: str = ""
    organism: str = ""
    taxid: int = 0
    strategy: str = ""
    source: str = ""
    selection: str = ""
    platform: str = ""
    controlled: str = ""  # who controls the access, such as a dbGaP study; empty when public
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """The accessions of the run and of what it belongs to."""
        told = (self.metadata.get(key, "") for key in ("sra_study", "sra_sample", "sample_alias"))
        own = (self.accession, self.experiment, self.biosample, self.study)
        return frozenset(filter(None, (*own, *told)))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values, as manifests and the registry keep them."""
        return {**asdict(self), "fastq": [asdict(file) for file in self.fastq]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Run:
        """Rebuild a run from `as_dict`; raises `InputError` naming the run when it is not one."""
        try:
            fastq = tuple(FastqFile(**file) for file in values.get("fastq") or ())
            run = cls(**{**values, "fastq": fastq, "metadata": dict(values.get("metadata") or {})})
        except (AttributeError, TypeError, ValueError) as error:
            name = values.get("accession", "?") if isinstance(values, Mapping) else "?"
            raise InputError(f"run {name} is not a run record: {error}") from error
        if run.layout not in LAYOUTS:
            raise InputError(f"run {run.accession} has layout {run.layout!r}", "paired or single")
        return run


@dataclass(frozen=True)
class Series:
    """A GEO series; `problem` says why NCBI could not describe it, and is empty when it could."""

    accession: str
    title: str = ""
    summary: str = ""
    organism: str = ""
    kind: str = ""  # the data set types, joined by "; "
    published: str = ""  # YYYY-MM-DD
    samples: tuple[str, ...] = ()  # GSM…; NCBI may list fewer than it counts
    sample_count: int = 0
    studies: tuple[str, ...] = ()  # SRP…, then PRJ…: where its runs may be found
    superseries: bool = False
    subseries: tuple[str, ...] = ()  # of a superseries, where the summary names them
    problem: str = ""


@dataclass(frozen=True)
class ResolvedSample:
    """One experiment with its runs, which are merged before analysis."""

    sample: str
    layout: str
    runs: tuple[Run, ...]
    title: str = ""
    taxid: int = 0
    metadata: dict[str, str] = field(default_factory=dict)  # as given
    harmonised: dict[str, str] = field(default_factory=dict)  # the same in our words


@dataclass(frozen=True)
class ResolvedProject:
    """What an accession stands for: samples to take, and runs left out with their reasons."""

    project: str
    source: Literal["geo", "ena"]
    title: str = ""
    organism: str = ""
    taxid: int = 0
    study: str = ""
    samples: tuple[ResolvedSample, ...] = ()
    left_out: tuple[dict[str, str], ...] = ()  # {"run", "reason"}
    controlled: str = ""  # who controls the access to all of its runs; empty when not so
    problem: str = ""  # why its samples' metadata is not complete
