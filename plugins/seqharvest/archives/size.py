"""What fetching a run takes, from what the archive publishes: scratch, memory, cores, queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqharvest.archives.model import Run
from seqharvest.errors import InputError
from seqharvest.settings import settings

GB = 10**9
FASTQ_OF_SRA = 7  # measured on 1,000 public runs
GZIP_OF_FASTQ = 0.25
HEADERS = 140  # bytes a spot: two reads' headers, '+' lines and line ends
UNKNOWN = 20 * GB  # of scratch, for a run of which no size is published: the mean of public runs
RESERVE = 1.1, GB // 4  # on top: file systems' blocks, and what the tools write beside
MOST_VCPUS = 8  # more cores only wait for the network
MEMORY_MB = 1000, 400  # to begin with, and for each core: fasterq-dump's sorting and pigz
UPLOAD_SHARE = 0.04  # of an archive's size: parts of three streams that are held in memory


@dataclass(frozen=True, order=True)
class Size:
    """A shape of fetch jobs; the children of a Batch array all have the same."""

    vcpus: int
    memory_mb: int
    queue: str = "worker_queue"  # the name of its setting

    def as_plan(self) -> dict[str, Any]:
        """Return the keys that the plan of an array has beside its manifest."""
        return {"vcpus": self.vcpus, "memory_mb": self.memory_mb, "queue": self.queue}


def scratch_bytes(run: Run, sources: Sequence[str]) -> int:
    """Return the most a fetch of the run has on disk at a time, whichever source it comes from."""
    need = max((_of_source(run, source) for source in sources), default=0)
    return int(need * RESERVE[0]) + RESERVE[1]


def sra_bytes(run: Run) -> int:
    """Return the size of a run's archive, estimated where it is not published; 0: unknown."""
    return run.sra_size or run.sra_mb << 20 or _plain(run) // FASTQ_OF_SRA


def size_of(values: Mapping[str, Any], sources: Sequence[str]) -> Size:
    """Return the shape of the job for a run as the registry keeps it.

    Batch knows nothing of disk, so scratch comes with cores: a host's instance store is shared by
    its jobs as its cores are. What the largest host cannot give goes to the large-disk queue.
    """
    knobs = settings()
    try:
        need = scratch_bytes(Run.from_dict(values), sources)
    except InputError:  # the job itself says what is wrong with it, and fails alone
        need = 0
    vcpus = 1
    while vcpus < MOST_VCPUS and need > vcpus * knobs.scratch_gb_per_vcpu * GB:
        vcpus *= 2
    fits = need <= vcpus * knobs.scratch_gb_per_vcpu * GB
    # The largest archive of such a job decides, so that one shape serves them all.
    largest = vcpus * knobs.scratch_gb_per_vcpu * GB if fits else need
    uploads = UPLOAD_SHARE * largest / (1 + FASTQ_OF_SRA)
    memory = MEMORY_MB[0] + MEMORY_MB[1] * vcpus + int(uploads / 2**20)
    memory = -(-memory // 256) * 256  # few shapes, so that few arrays
    large = not fits and knobs.large_disk_queue
    return Size(vcpus, memory, "large_disk_queue" if large else "worker_queue")


def _of_source(run: Run, source: str) -> int:
    if source == "ena":
        return sum(file.size for file in run.fastq) or int(GZIP_OF_FASTQ * _plain(run))
    archive = sra_bytes(run)
    # fastq-dump needs no more than the archive, but of an aligned one fasterq-dump writes all
    # reads to disk; which it is shows only when it is there.
    return archive + (_plain(run) or FASTQ_OF_SRA * archive) if archive else UNKNOWN


def _plain(run: Run) -> int:
    """Return the size of a run's plain FASTQ; 0 when nothing is published to tell it from."""
    if run.bases:
        return 2 * run.bases + HEADERS * run.spots
    return int(sum(file.size for file in run.fastq) / GZIP_OF_FASTQ)
