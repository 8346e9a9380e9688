"""Submit many ready jobs at once, alike ones as arrays, several requests in flight."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

from snakemake_executor_plugin_seqharvest_batch import arrays, naming, submit
from snakemake_executor_plugin_seqharvest_batch.bundle import Bundle
from snakemake_executor_plugin_seqharvest_batch.resources import Resources
from snakemake_executor_plugin_seqharvest_batch.settings import ExecutorSettings


@dataclass(frozen=True)
class Ready:
    """A job that is about to be submitted."""

    job: Any
    name: str
    wanted: Resources
    record: dict[str, Any]


@dataclass(frozen=True)
class Submission:
    """Makes requests of ready jobs; `batch` must not retry SubmitJob by itself."""

    batch: Any
    settings: ExecutorSettings
    prefix: str
    bundle: Bundle
    bundle_uri: str
    environment: dict[str, str]
    sleep: Callable[[float], None]
    tags: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Read the tags."""
        pairs = (pair.split("=", 1) for pair in (self.settings.tags or "").split(",") if pair)
        object.__setattr__(self, "tags", dict(pairs))

    def submit(self, ready: Iterable[Ready]) -> Iterator[tuple[list[Ready], "Future[list[str]]"]]:
        """Yield the jobs of each request with a future that has ended: the jobs' ids, in order."""
        alike = arrays.grouped(
            ((naming.label(each.job), each.wanted, each) for each in ready),
            self.settings.array_size,
        )
        pool = ThreadPoolExecutor(max_workers=self.settings.submit_threads)
        try:
            starting = {pool.submit(self._group, group): group for group in alike}
            for future in as_completed(starting):
                yield starting[future], future
        finally:
            # An interrupt must not wait for submits that have not begun.
            pool.shutdown(cancel_futures=True)

    def _group(self, group: list[Ready]) -> list[str]:
        first = group[0]
        if len(group) == 1:
            command = self.bundle.command(self.bundle_uri, first.record)
            return [self._one(first.name, first.wanted, command)]
        # An array's object is there before the array: who finds the array later can read it.
        content, command = self.bundle.array(self.bundle_uri, [each.record for each in group])
        name = naming.array_name(self.prefix, naming.label(first.job), content)
        array_id = self._one(name, arrays.shape(first.wanted), command, len(group))
        return [arrays.child(array_id, index) for index in range(len(group))]

    def _one(self, name: str, wanted: Resources, command: list[str], size: int = 1) -> str:
        request = submit.Request(
            name=name,
            key=name,
            queue=wanted.queue or str(self.settings.job_queue),
            definition=str(self.settings.job_definition),
            command=command,
            resources=wanted,
            attempts=self.settings.attempts,
            environment=self.environment,
            tags=self.tags,
            size=size,
        )
        return submit.submit(self.batch, request, self.settings.patience_seconds, self.sleep)
