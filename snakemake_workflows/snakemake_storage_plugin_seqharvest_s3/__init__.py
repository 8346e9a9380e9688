"""Snakemake storage plugin `seqharvest-s3`: S3 answered from bulk LISTs, not key by key."""

from snakemake_storage_plugin_seqharvest_s3.settings import StorageProviderSettings
from snakemake_storage_plugin_seqharvest_s3.storage import StorageObject, StorageProvider

__all__ = ["StorageObject", "StorageProvider", "StorageProviderSettings"]
