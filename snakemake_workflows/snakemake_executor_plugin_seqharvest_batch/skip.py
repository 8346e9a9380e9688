"""Find jobs whose outputs are all there: they are done, and need not be submitted."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

from snakemake.io import is_flagged


@dataclass(frozen=True)
class Files:
    """A job's storage files that matter outside of it."""

    outputs: Sequence[Any]
    inputs: Sequence[Any]


def may_be_done(dag: Any, job: Any, skipped: Set[Any]) -> Files | None:
    """Return the files to look at, or None when a job must run whatever is there.

    It must when the user, changed code or changed parameters want it, when a job above it ran in
    this run, or when an output is not a storage file.
    """
    jobs = _singles(job)
    if any(_must_run(dag.reason(each)) for each in jobs) or _upstream_ran(dag, jobs, skipped):
        return None
    files = files_of(job)
    return files if files and all(_is_plain(file) for file in _external(jobs)) else None


def files_of(job: Any) -> Files | None:
    """Return the files by which a job is judged, or None when it has no such output."""
    jobs = _singles(job)
    inner = {file for each in jobs for file in each.input}
    outer = {
        file
        for each in jobs
        for below, files in job.dag.depending[each].items()
        if below not in jobs and job.dag.needrun(below)
        for file in files
    }
    outputs = [
        file
        for each in jobs
        for file in each.output
        # A group's own intermediates are gone when it has ended.
        if not (is_flagged(file, "temp") and file in inner and file not in outer)
    ]
    if not outputs or not all(_is_plain(file) for file in outputs):
        return None
    inputs = [f for f in _external(jobs) if _is_plain(f) and not is_flagged(f, "ancient")]
    return Files(outputs, inputs)


def look_again(files: Iterable[Files]) -> None:
    """Let storage providers that can do so refresh in bulk what they know of files."""
    queries: dict[Any, set[str]] = defaultdict(set)
    for each in files:
        for file in (*each.outputs, *each.inputs):
            queries[file.storage_object.provider].add(file.storage_object.query)
    for provider, asked in queries.items():
        if look := getattr(provider, "look_again", None):
            look(sorted(asked))


async def is_done(files: Files) -> bool:
    """Tell whether all outputs exist, are not empty and are not older than any input."""
    times = []
    for file in files.outputs:
        thing = file.storage_object
        if not await thing.managed_exists() or not await thing.managed_size():
            return False
        times.append(await thing.managed_mtime())
    for file in files.inputs:
        thing = file.storage_object
        if not await thing.managed_exists() or await thing.managed_mtime() > min(times):
            return False
    return True


def _singles(job: Any) -> frozenset[Any]:
    return frozenset(job.jobs) if job.is_group() else frozenset([job])


def _must_run(reason: Any) -> bool:
    return bool(
        reason.forced
        or reason.noio
        or reason.nooutput
        or reason.pipe
        or reason.service
        or reason.unfinished_queue_input
        or reason.incomplete_output
        or reason.is_provenance_triggered()
    )


def _upstream_ran(dag: Any, jobs: frozenset[Any], skipped: Set[Any]) -> bool:
    """Tell whether a job outside of `jobs`, but above them, had to run and was not skipped."""
    return any(
        above not in jobs and dag.needrun(above) and above not in skipped
        for job in jobs
        for above in dag.dependencies[job]
    )


def _external(jobs: frozenset[Any]) -> Iterator[Any]:
    made = {file for job in jobs for file in job.output}
    return (file for job in jobs for file in job.input if file not in made)


def _is_plain(file: Any) -> bool:
    """Tell whether a file is one object of a storage, which alone can be judged from here."""
    return bool(file.is_storage) and not file.is_directory
