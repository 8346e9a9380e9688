"""What an instance of the local Batch endpoint is told at its start."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "000000000000"  # ministack's account, so ARNs agree across the local services
MIB = 1024 * 1024


@dataclass(frozen=True)
class Config:
    """Addresses, capacity and habits of the endpoint; times are in seconds."""

    state: Path
    host: str = "127.0.0.1"
    port: int = 4567
    vcpus: float = 1.0
    memory_mib: int = 1024
    job_path: str = os.defpath
    job_environment: Mapping[str, str] | None = None
    grace: float = 30.0  # ECS_CONTAINER_STOP_TIMEOUT's default, between TERM and KILL
    minimum_timeout: int = 60  # AWS refuses a shorter attemptDurationSeconds
    enforce_memory: bool = False
    region: str = "us-east-1"

    @property
    def url(self) -> str:
        """Where jobs find this endpoint."""
        return f"http://{self.host}:{self.port}"

    def arn(self, resource: str) -> str:
        """Return the ARN of a resource such as `job-queue/name`."""
        return f"arn:aws:batch:{self.region}:{ACCOUNT}:{resource}"


def machine_memory_mib() -> int:
    """Return the memory of this machine, in MiB."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MIB
