"""Lists of different lengths as flat arrays: the few operations that numpy has no name for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

POSITION_BITS = 32  # of a composite key: a gene (or so) above, a position below


def keys(group: Ints, position: Ints) -> Ints:
    """One sortable number for each (group, position); positions are below 2^32."""
    return (group.astype(np.int64) << POSITION_BITS) | position.astype(np.int64)


def expand(counts: Ints) -> tuple[Ints, Ints]:
    """Owner of each element and its number in the owner's list: [2, 1] → [0, 0, 1], [0, 1, 0]."""
    owner = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    before = np.cumsum(counts) - counts
    return owner, np.arange(len(owner), dtype=np.int64) - before[owner]


def offsets(counts: Ints) -> Ints:
    """Where each list begins, and behind the last its end."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def find(sorted_keys: Ints, wanted: Ints) -> Ints:
    """Index of each wanted key in unique sorted keys; -1 where it is not there."""
    if not len(sorted_keys):
        return np.full(len(wanted), -1, np.int64)
    at = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[at] == wanted, at, -1)


def matches(sorted_keys: Ints, wanted: Ints) -> tuple[Ints, Ints]:
    """All pairs (index in wanted, index in sorted keys) of equal keys."""
    first = np.searchsorted(sorted_keys, wanted, "left")
    owner, within = expand(np.searchsorted(sorted_keys, wanted, "right") - first)
    return owner, first[owner] + within


def firsts(sorted_groups: Ints) -> Ints:
    """Index of the first element of each run of equal values."""
    if not len(sorted_groups):
        return np.zeros(0, np.int64)
    return np.flatnonzero(np.concatenate([[True], sorted_groups[1:] != sorted_groups[:-1]]))
