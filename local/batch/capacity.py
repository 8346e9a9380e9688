"""Accounts for the vCPUs and the memory that jobs hold on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field

from local.batch.jobs import Job


@dataclass(frozen=True)
class Claim:
    """What one job holds, in which compute environment."""

    environment: str
    vcpus: float
    memory_mib: int


@dataclass
class Capacity:
    """The machine's room; a compute environment may allow its jobs only a part of it."""

    vcpus: float
    memory_mib: int
    claims: dict[str, Claim] = field(default_factory=dict)

    def could_ever_fit(self, job: Job, max_vcpus: float | None) -> bool:
        """Whether the job would fit if nothing else ran."""
        limit = self.vcpus if max_vcpus is None else min(self.vcpus, max_vcpus)
        return job.vcpus <= limit and job.memory_mib <= self.memory_mib

    def fits(self, job: Job, environment: str, max_vcpus: float | None) -> bool:
        """Whether the job fits now, into the machine and into the compute environment."""
        used_vcpus, used_memory = self.used()
        if used_vcpus + job.vcpus > self.vcpus or used_memory + job.memory_mib > self.memory_mib:
            return False
        return max_vcpus is None or self.used(environment)[0] + job.vcpus <= max_vcpus

    def claim(self, job: Job, environment: str) -> None:
        """Hold what the job asks for."""
        self.claims[job.id] = Claim(environment, job.vcpus, job.memory_mib)

    def release(self, job_id: str) -> None:
        """Give back what a job held."""
        self.claims.pop(job_id, None)

    def used(self, environment: str | None = None) -> tuple[float, int]:
        """Return the vCPUs and MiB held, by all or in one compute environment."""
        mine = [c for c in self.claims.values() if environment in (None, c.environment)]
        return sum(c.vcpus for c in mine), sum(c.memory_mib for c in mine)
