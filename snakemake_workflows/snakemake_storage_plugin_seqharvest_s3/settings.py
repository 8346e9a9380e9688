"""The plugin's settings; their help texts are its manual (`snakemake --help`)."""

from dataclasses import dataclass, field

from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase

#: What a spawned job is given in place of an inventory.
NO_INVENTORY = "-"


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    """Every `--storage-seqharvest-s3-…` option."""

    inventory: str = field(
        default="",  # not None: then Snakemake would give spawned jobs nothing
        metadata={
            "help": "File that says which folders are listed in bulk before the DAG is built, one "
            "`s3://bucket/folder/` a line. What is not found below them is known to be absent, "
            "without a further request. After a tab a line may say what the folder's objects were "
            "made from, `s3://bucket/sources/*.gz`: those that are empty, or older than the newest "
            "of their sources, count as absent while the DAG is built. Without this option a key's "
            "own folder is listed when the key is first asked for. Jobs that Snakemake spawns are "
            f"given `{NO_INVENTORY}` by itself: they take no inventory and trust that nobody else "
            "writes their files.",
            # A worker must not list what its head has listed, nor look for the head's file.
            "unparse": lambda _: NO_INVENTORY,
        },
    )
    transfers: int = field(
        default=8,
        metadata={
            "help": "Files of one job that are fetched or stored at once; each of them is again "
            "transferred in parts when it is large."
        },
    )
