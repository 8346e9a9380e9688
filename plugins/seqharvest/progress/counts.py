"""The line in which a head job's executor counts its jobs: `seqharvest progress done=3 total=9`."""

from __future__ import annotations

import re
from collections.abc import Mapping

LINE = re.compile(r"seqharvest progress (.*)")

#: In the order in which they are told; the first stands beside the total.
_TOLD = ("running", "submitted", "attached", "failed", "skipped")


def parse(line: str) -> dict[str, int]:
    """Return the counts of a progress line, empty for any other; `eta` is in seconds."""
    counts = {}
    if found := LINE.match(line):
        for part in found[1].split():
            name, _, value = part.partition("=")
            try:
                counts[name] = int(float(value))
            except (ValueError, OverflowError):
                continue  # a head of another version: show what can be read
    return counts


def words(counts: Mapping[str, int]) -> str:
    """Return counts as people say them: `3 of 9 jobs done, 2 running, about 4 min left`."""
    total, done = counts.get("total", 0), counts.get("done", 0)
    told = [f"{done} of {total} jobs done"]
    told += [f"{counts[name]} {name}" for name in _TOLD if counts.get(name)]
    if "eta" in counts and done < total:
        told.append(f"about {duration(counts['eta'])} left")
    return ", ".join(told)


def duration(seconds: float) -> str:
    """Return a length of time in one unit or two: `40 s`, `4 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 60:
        return f"{round(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
