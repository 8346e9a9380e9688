"""How patient a download is, and over how many connections it comes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """When a transfer is cut off and how often it is resumed; times in seconds."""

    #: Slower than this over a window is stalled; the total time is never limited.
    minimum_rate: float = 50_000  # bytes/s: 2.5 GB, the mean run, would take 14 hours
    window: float = 30.0
    silence: float = 30.0  # without a single byte
    #: Attempts in a row that brought less than `progress`; one that brought more starts the count
    #: anew, for a run of 100 GB may well be interrupted ten times.
    fruitless_attempts: int = 5
    progress: int = 1 << 20  # bytes
    first_wait: float = 1.0
    longest_wait: float = 60.0
    #: A turn at a source that has no more of them is waited for, then the next source is tried.
    turn_patience: float = 3600.0
    turn_wait: float = 15.0  # between looks
    turn_seconds: float = 300.0  # renewed five times in it; a dead job's runs out
    tell_every: float = 10.0  # progress, to the registry
    #: One connection to S3 brings 40 to 90 MB/s, a host takes several times that. Smaller files
    #: are there before it matters.
    connections: int = 4
    span: int = 16 << 20  # bytes of a range; so many for each connection are held in memory
    parallel_from: int = 64 << 20
