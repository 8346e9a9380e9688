"""The fetch stage: which runs are still to be stored, and which samples have all of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seqharvest.archives.size import Size, size_of
from seqharvest.errors import ArchiveError, InputError
from seqharvest.inventory import RawRun, is_fetched, raw_runs
from seqharvest.layout import outcome_key, provenance_key, read_key, uri
from seqharvest.listing import entries
from seqharvest.registry import Move, ProjectState, Registry, SampleState
from seqharvest.registry.fetching import ATTRIBUTE
from seqharvest.settings import settings
from seqharvest.stages import manifests
from seqharvest.stages.outcomes import failure, in_hand, read_json

_STATES = (SampleState.REGISTERED, SampleState.FETCHING, SampleState.FETCHED)


@dataclass
class _Stored:
    """How far a sample's reads are stored; `lacking` says by run what is not there."""

    layouts: dict[str, str] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)


def open_project(
    project: str,
    *,
    run_id: str,
    by: str,
    release: str | None = None,
    retry_failed: bool = False,
    take_over: bool = False,
) -> dict[str, Any]:
    """Claim a project for a DAG run and settle its release; an accession is registered first.

    Raises `InputError` for an unknown project, one without samples, or an accession that stands
    for another project, `StateConflict` while another run is at work on it, `ArchiveError` when
    the archives fail.
    """
    registry = Registry()
    if not registry.samples(project):
        _register(registry, project, by, release or "")
    item = registry.project(project)
    if not registry.samples(project):
        why = f" ({item['reason']})" if item.get("reason") else ""
        raise InputError(f"project {project} has no samples{why}", "register its samples first")
    chosen = release or item.get("release") or settings().release
    item = registry.begin(project, run_id=run_id, by=by, take_over=take_over, release=chosen)
    if retry_failed:
        registry.retry_samples(project, by=by)
    return {
        "project": project,
        "round": item["round"],
        "release": chosen,
        "samples": registry.counts(project),
    }


def _register(registry: Registry, accession: str, by: str, release: str) -> None:
    """Register what an accession stands for; anything else than an accession is left alone."""
    from seqharvest.archives import register
    from seqharvest.archives.resolve import open_archives, resolvable

    if not resolvable(accession):
        return
    with open_archives() as archives:
        rows = register.register(registry, [accession], archives, by=by, release=release)
    failed = [row for row in rows if row["action"] in register.IN_VAIN]
    if any(row.get("again") for row in failed):
        raise ArchiveError("; ".join(row["reason"] for row in failed))
    found = list(dict.fromkeys(row["project"] for row in rows if row["samples"]))
    if not found:
        why = "; ".join(row["reason"] for row in failed) or "nothing was found"
        raise InputError(f"{accession} cannot be registered: {why}", "check the accession")
    if found != [accession]:
        raise InputError(
            f"{accession} is part of {', '.join(found)}, registered now",
            "sample_intake starts its run, or start one by hand with that as the project",
        )


def plan_fetch(project: str, by: str) -> list[dict[str, Any]]:
    """Store manifests of the runs that are not in `raw/` yet; return the plan of an array for each.

    A plan says how many `runs` it has, and what each of them takes: `vcpus`, `memory_mb` and the
    setting of their `queue`. The runs' samples go to `fetching`. Private samples, whose reads must
    be there already, go on to `fetched`, or fail naming the key that is missing.
    """
    registry = Registry()
    item = registry.move_project(project, ProjectState.FETCHING, by=by)
    raw = raw_runs(settings().bucket, project)
    moves, wanted = [], []
    for sample in registry.samples(project):
        if not in_hand(item, sample, _STATES):
            continue
        if not sample["runs"]:
            moves.append(failure(item, sample, "it has no runs"))
            continue
        stored = _stored(item, sample, raw)
        if _private(item, sample) and stored.lacking:
            moves.append(failure(item, sample, "; ".join(stored.lacking.values())))
            continue
        if stored.lacking or sample["state"] != SampleState.FETCHED:
            moves.append(Move(sample, SampleState.FETCHING))
        for run in sample["runs"]:
            if run["accession"] in stored.lacking:
                wanted.append({"sample": sample["sample"], "run": run})
    registry.move_samples(moves, by=by)
    _pass_private(registry, item, by)
    return list(_arrays(project, wanted))


def _arrays(project: str, wanted: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the plan of an array for each size of runs, and so many as its length asks for.

    The children of an array have one shape. An array is short, because a slot of the Airflow pool
    is taken by a whole array: slots × length is how many runs are fetched at once.
    """
    sources = [name.strip() for name in settings().fetch_sources.split(",")]
    sizes: dict[Size, list[Mapping[str, Any]]] = {}
    for entry in wanted:
        sizes.setdefault(size_of(entry["run"], sources), []).append(entry)
    length = max(1, settings().fetch_array_size)
    for size, members in sorted(sizes.items(), reverse=True):  # the long ones first
        for start in range(0, len(members), length):
            runs = members[start : start + length]
            content = {
                "stage": "fetch",
                "project": project,
                "bucket": settings().bucket,
                "sources": sources,
                "runs": runs,
            }
            written = manifests.write("fetch", project, content)
            yield {**written, "runs": len(runs), **size.as_plan()}


def record_fetch(project: str, plans: Sequence[Mapping[str, Any]], by: str) -> dict[str, Any]:
    """Move samples whose runs are all stored to `fetched`, the others to `failed` with a reason.

    A sample's layout becomes what its reads turned out to be. Returns the counts.
    """
    registry = Registry()
    item = registry.project(project)
    raw = raw_runs(settings().bucket, project)
    reasons = _Reasons(project, [plan["digest"] for plan in plans if plan])
    moves = []
    for sample in registry.samples(project):
        if in_hand(item, sample, (SampleState.FETCHING,)):
            moves.append(_fetched_or_failed(item, sample, _stored(item, sample, raw), reasons))
    registry.move_samples(moves, by=by)
    fetched = sum(move.to == SampleState.FETCHED for move in moves)
    return {"fetched": fetched, "failed": len(moves) - fetched}


def _fetched_or_failed(
    item: Mapping[str, Any], sample: Mapping[str, Any], stored: _Stored, reasons: _Reasons
) -> Move:
    if stored.lacking:
        lacks = [f"{run}: {reasons.of(run) or lack}" for run, lack in stored.lacking.items()]
        return failure(item, sample, "; ".join(lacks))
    if len(set(stored.layouts.values())) > 1:
        mix = ", ".join(f"{run} {layout}" for run, layout in stored.layouts.items())
        return failure(item, sample, f"its runs cannot be merged, they differ in layout: {mix}")
    layout = next(iter(stored.layouts.values()), sample["layout"])
    why = f"its reads are {layout}" if layout != sample["layout"] else ""
    return Move(sample, SampleState.FETCHED, why, {"layout": layout, ATTRIBUTE: None})


def _pass_private(registry: Registry, item: Mapping[str, Any], by: str) -> None:
    waiting = [
        Move(sample, SampleState.FETCHED, "its reads are there")
        for sample in registry.samples(item["project"])
        if sample["state"] == SampleState.FETCHING and _private(item, sample)
    ]
    registry.move_samples(waiting, by=by)


def _private(item: Mapping[str, Any], sample: Mapping[str, Any]) -> bool:
    return "private" in (item.get("source"), sample.get("source"))


def _stored(
    item: Mapping[str, Any],
    sample: Mapping[str, Any],
    raw: Mapping[tuple[str, str], RawRun],
) -> _Stored:
    """Compare a sample's runs with what is in `raw/`.

    Only a run whose mates do not fit its declared layout costs a GET, of its provenance.
    """
    project, name = item["project"], sample["sample"]
    private = _private(item, sample)
    answer = _Stored()
    for run in sample["runs"]:
        accession = run["accession"]
        there = raw.get((name, accession), RawRun())
        layout = sample["layout"]
        if not private and not is_fetched(there):
            answer.lacking[accession] = (
                f"no provenance at {provenance_key(project, name, accession)}"
            )
            continue
        if not private and (2 in there.reads) != (layout == "paired"):
            layout = read_json(provenance_key(project, name, accession)).get("layout", layout)
        answer.layouts[accession] = layout
        for mate in (1, 2) if layout == "paired" else (1,):
            if mate not in there.reads or there.reads[mate].size == 0:
                key = read_key(project, name, accession, mate)
                answer.lacking[accession] = f"no reads at {uri(settings().bucket, key)}"
                break
    return answer


class _Reasons:
    """Why runs were not fetched, from the outcome objects that their jobs left."""

    def __init__(self, project: str, digests: Sequence[str]) -> None:
        self.project, self.digests = project, digests
        self._keys: dict[str, str] | None = None

    def of(self, run: str) -> str:
        """Return the reason the run's job gave, or nothing."""
        if self._keys is None:  # listed only when something failed
            self._keys = dict(self._outcomes())
        return str(read_json(self._keys[run]).get("reason", "")) if run in self._keys else ""

    def _outcomes(self) -> Iterator[tuple[str, str]]:
        """Yield run and key of what the children of these arrays left."""
        for digest in self.digests:
            prefix = outcome_key("fetch", self.project, f"{digest}-").removesuffix(".json")
            for entry in entries(settings().bucket, prefix):
                yield entry.key.removeprefix(prefix).removesuffix(".json"), entry.key
