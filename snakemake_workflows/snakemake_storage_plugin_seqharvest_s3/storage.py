"""The provider and its objects, as Snakemake wants them; both must be in one module."""

import asyncio
import os
import posixpath
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_storage_plugins.common import Operation
from snakemake_interface_storage_plugins.io import IOCacheStorageInterface, get_constant_prefix
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectGlob,
    StorageObjectRead,
    StorageObjectWrite,
)
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    QueryType,
    StorageProviderBase,
    StorageQueryValidationResult,
)

from snakemake_storage_plugin_seqharvest_s3 import inventory, transfer
from snakemake_storage_plugin_seqharvest_s3.inventory import SCHEME, Address
from snakemake_storage_plugin_seqharvest_s3.settings import (
    NO_INVENTORY,
    StorageProviderSettings,
)

if TYPE_CHECKING:
    from snakemake_storage_plugin_seqharvest_s3.snapshot import Found, Snapshot


class StoreFailure(RuntimeError):
    """S3 did not answer while the DAG was built.

    Not a `WorkflowError`: Snakemake takes that, from a job above a file that exists, for a job
    that need not be looked at (dag.py, update_), and would go on with too few jobs.
    """


class StorageProvider(StorageProviderBase):
    """S3 as the workflow sees it: what is known of it, and how to reach it."""

    settings: StorageProviderSettings

    def __post_init__(self) -> None:
        """Read the inventory file; S3 itself is asked when the DAG is built."""
        given = self.settings.inventory
        self.spawned = given == NO_INVENTORY
        self._inventory = inventory.read(given) if given and not self.spawned else []
        self._cache: Any = None

    @cached_property
    def s3(self) -> Any:
        """Return the client; region, credentials and endpoint are boto3's own business."""
        # Late: Snakemake imports every plugin it can find, used or not.
        import boto3
        from botocore.config import Config

        from seqharvest import aws

        # Checks on arrival would cost each download a HEAD first (s3transfer/download.py).
        plain = Config(response_checksum_validation="when_required")
        return boto3.client("s3", config=aws.PATIENT.merge(plain))

    @cached_property
    def snapshot(self) -> "Snapshot":
        """Return what is known of S3."""
        from snakemake_storage_plugin_seqharvest_s3.snapshot import Snapshot

        return Snapshot(self.s3)

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """Return the threads of the transfers."""
        return ThreadPoolExecutor(self.settings.transfers, thread_name_prefix="s3")

    @property
    def building(self) -> bool:
        """Whether the DAG is being built: Snakemake's own cache is switched off after that."""
        return self._cache is not None and self._cache.active

    def begin(self, cache: IOCacheStorageInterface) -> None:
        """Take the inventory, once, when Snakemake begins to look at files."""
        self._cache = cache
        if self._inventory:
            try:
                self.snapshot.take(self._inventory)
            except Exception as error:
                raise WorkflowError("the inventory of the S3 storage failed", error) from error
            self._inventory = []

    def find(self, where: Address) -> "Found | None":
        """Return what is at an address, or None."""
        return self.snapshot.find(where, settled=self.building or self.spawned)

    def look_again(self, queries: Iterable[str]) -> None:
        """Learn anew, in bulk, which of these objects (`s3://…`) exist.

        For an executor that is about to ask for the outputs of many jobs.
        """
        self.snapshot.look_again(_address(query) for query in queries)

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        """Return an example for Snakemake's messages."""
        return [ExampleQuery("s3://bucket/folder/file.txt", "An object in S3", QueryType.ANY)]

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        """Accept `s3://bucket/key`; wildcards are not resolved yet."""
        valid = inventory.address(query) is not None
        reason = None if valid else "is not s3://bucket/key"
        return StorageQueryValidationResult(query, valid, reason)

    def use_rate_limiter(self) -> bool:
        """Leave it to boto3, which slows down when S3 asks it to."""
        return False

    def default_max_requests_per_second(self) -> float:
        """Return nothing of use: there is no limit."""
        return 0.0

    def rate_limiter_key(self, query: str, operation: Operation) -> None:
        """Return nothing of use: there is no limit."""


class StorageObject(StorageObjectRead, StorageObjectWrite, StorageObjectGlob):
    """One object, or the folder of objects that a `directory()` is kept as."""

    provider: StorageProvider

    def __post_init__(self) -> None:
        """Take the query apart."""
        if self.is_valid_query():
            self.where = _address(self.query)

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        """Let the provider take its inventory; Snakemake's cache fills from its answers."""
        self.provider.begin(cache)

    def get_inventory_parent(self) -> str | None:
        """Return nothing: what is absent is told by the provider, not by Snakemake's cache."""
        return None

    def local_suffix(self) -> str:
        """Return the path of the local copy, as the stock plugin has it."""
        return f"{self.where.bucket}/{self.where.key}"

    def cleanup(self) -> None:
        """Nothing is left open."""

    def exists(self) -> bool:
        """Whether there is such an object, or a folder of that name with objects."""
        return self.provider.find(self.where) is not None

    def mtime(self) -> float:
        """Return when it was last written, in whole seconds as S3 tells them."""
        return self._found().modified

    def size(self) -> int:
        """Return its size in bytes; of a folder that of all its objects."""
        return self._found().size

    def retrieve_object(self) -> None:
        """Fetch it, and give the copy the time of the object: clocks may differ."""
        modified = self._found().modified
        path, snapshot = self.local_path(), self.provider.snapshot
        if snapshot.is_folder(self.where):
            keys = snapshot.below(self.where)
            transfer.fetch_folder(self.provider.s3, self.where, keys, path)
        else:
            transfer.fetch(self.provider.s3, self.where, path)
        os.utime(path, (modified, modified))

    def store_object(self) -> None:
        """Store the local file or directory."""
        try:
            transfer.store(self.provider.s3, self.local_path(), self.where)
        finally:
            self.provider.snapshot.changed(self.where)

    def remove(self) -> None:
        """Remove it from S3, whatever the bucket is left with."""
        snapshot = self.provider.snapshot
        keys = snapshot.below(self.where) if snapshot.is_folder(self.where) else [self.where.key]
        transfer.remove(self.provider.s3, self.where.bucket, keys)
        snapshot.removed(self.where)

    def list_candidate_matches(self) -> Iterable[str]:
        """Yield every object that `glob_wildcards` may match."""
        from seqharvest import listing

        prefix = inventory.address(get_constant_prefix(self.query))
        if prefix is None or "/" not in get_constant_prefix(self.query).removeprefix(SCHEME):
            raise WorkflowError(f"{self.query}: the name of the bucket must not have a wildcard")
        found = listing.entries(prefix.bucket, prefix.key, s3=self.provider.s3)
        return (f"{SCHEME}{prefix.bucket}/{entry.key}" for entry in found)

    async def managed_exists(self) -> bool:
        """Answer `exists`; an S3 that does not answer is never taken for an absent object."""
        try:
            return self.exists()
        except Exception as error:
            told = f"{self.query} could not be looked up"
            if self.provider.building:
                raise StoreFailure(f"{told}: {error}") from error
            raise WorkflowError(told, error) from error

    async def managed_retrieve(self) -> None:
        """Fetch it beside others: Snakemake awaits them all, but calls them one after another."""
        await self._beside_others(super().managed_retrieve)

    async def managed_store(self) -> None:
        """Store it beside others."""
        await self._beside_others(super().managed_store)

    async def _beside_others(self, transfer: Callable[[], Any]) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.provider.pool, lambda: asyncio.run(transfer()))

    def _found(self) -> "Found":
        found = self.provider.find(self.where)
        if found is None:
            raise FileNotFoundError(f"{self.query} does not exist")
        return found


def _address(query: str) -> Address:
    """Return the address of a valid query, the key without `.`, `..` and doubled slashes."""
    found = inventory.address(query)
    if found is None:
        raise WorkflowError(f"{query!r} is not s3://bucket/key")
    return found._replace(key=posixpath.normpath(found.key.lstrip("/")))
