"""The Glue catalogue of the lake: database, tables and partitions made from the schemas."""

from __future__ import annotations

import logging
from typing import Any

from botocore.exceptions import ClientError

from seqharvest.aws import client
from seqharvest.errors import LoadError
from seqharvest.lake.schemas import PARTITION_KEYS, TABLES, Table
from seqharvest.layout import lake_prefix, uri
from seqharvest.settings import settings

log = logging.getLogger(__name__)

_FORMATS = "org.apache.hadoop.hive.ql.io.parquet"


def ensure_tables(bucket: str, database: str | None = None, glue: Any = None) -> None:
    """Make the database and all tables what the schemas say; harmless when they are already.

    Columns that only Glue knows (added by newer code) stay. Raises `LoadError` when a column
    has another type in Glue.
    """
    glue = glue or client("glue")
    database = database or settings().database
    _ensure_database(glue, database)
    for table in TABLES.values():
        _ensure_table(glue, database, table, bucket)


def ensure_partition(
    table: Table,
    release: str,
    project: str,
    bucket: str,
    database: str | None = None,
    glue: Any = None,
) -> None:
    """Make the partition of a release and project known to Glue, at its place in the bucket."""
    glue = glue or client("glue")
    names = {"DatabaseName": database or settings().database, "TableName": table.name}
    values = [release, project]
    storage = _storage(table.glue_columns, uri(bucket, lake_prefix(table.name, release, project)))
    partition = {"Values": values, "StorageDescriptor": storage}
    known = _found(glue.get_partition, **names, PartitionValues=values)
    if known is None and _created(glue.create_partition, **names, PartitionInput=partition):
        log.info("project %s: new partition of %s, release %s", project, table.name, release)
        return
    known = known or glue.get_partition(**names, PartitionValues=values)
    if _differs(known["Partition"].get("StorageDescriptor", {}), storage):
        _update_partition(glue, names, partition)
        log.info("project %s: updated partition of %s, release %s", project, table.name, release)


def _update_partition(glue: Any, names: dict[str, str], partition: dict[str, Any]) -> None:
    # The batch call, because ministack lacks UpdatePartition.
    entry = {"PartitionValueList": partition["Values"], "PartitionInput": partition}
    errors = glue.batch_update_partition(**names, Entries=[entry]).get("Errors")
    if errors:
        raise LoadError(
            f"Glue cannot update partition {partition['Values']} of {names['TableName']}: "
            f"{errors[0]['ErrorDetail'].get('ErrorMessage')}",
            "load again",
        )


def _ensure_database(glue: Any, database: str) -> None:
    if _found(glue.get_database, Name=database) is None:
        description = "Seqharvest: splicing and expression, one partition per release and project"
        _created(glue.create_database, DatabaseInput={"Name": database, "Description": description})


def _ensure_table(glue: Any, database: str, table: Table, bucket: str) -> None:
    known = _found(glue.get_table, DatabaseName=database, Name=table.name)
    if known is None:
        wanted = _table_input(table, table.glue_columns, bucket)
        if _created(glue.create_table, DatabaseName=database, TableInput=wanted):
            log.info("new table %s.%s", database, table.name)
            return
        known = glue.get_table(DatabaseName=database, Name=table.name)
    there = known["Table"]
    columns = _merged_columns(table, there["StorageDescriptor"].get("Columns", []))
    wanted = _table_input(table, columns, bucket)
    same = there.get("Description") == table.description and not _differs(
        there["StorageDescriptor"], wanted["StorageDescriptor"]
    )
    if not same:
        glue.update_table(DatabaseName=database, TableInput=wanted)
        log.info("updated table %s.%s", database, table.name)


def _merged_columns(table: Table, there: list[dict[str, str]]) -> list[dict[str, str]]:
    wanted = {column["Name"]: column for column in table.glue_columns}
    for column in there:
        ours = wanted.get(column["Name"])
        if ours and ours["Type"] != column["Type"]:
            raise LoadError(
                f"column {table.name}.{column['Name']} is {column['Type']} in Glue "
                f"and {ours['Type']} in the schema",
                "schemas only grow: add a column with a new name instead",
            )
    newer = [column for column in there if column["Name"] not in wanted]
    return [*wanted.values(), *newer]


def _table_input(table: Table, columns: list[dict[str, str]], bucket: str) -> dict[str, Any]:
    return {
        "Name": table.name,
        "Description": table.description,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {
            "EXTERNAL": "TRUE",
            "classification": "parquet",
            "parquet.compression": "SNAPPY",
        },
        "PartitionKeys": [
            {"Name": name, "Type": "string", "Comment": comment}
            for name, comment in PARTITION_KEYS.items()
        ],
        "StorageDescriptor": _storage(columns, uri(bucket, lake_prefix(table.name))),
    }


def _storage(columns: list[dict[str, str]], location: str) -> dict[str, Any]:
    return {
        "Columns": columns,
        "Location": location,
        "InputFormat": f"{_FORMATS}.MapredParquetInputFormat",
        "OutputFormat": f"{_FORMATS}.MapredParquetOutputFormat",
        "Compressed": True,
        "SerdeInfo": {
            "SerializationLibrary": f"{_FORMATS}.serde.ParquetHiveSerDe",
            "Parameters": {"serialization.format": "1"},
        },
    }


def _differs(there: dict[str, Any], wanted: dict[str, Any]) -> bool:
    # Glue adds fields of its own, so only ours are compared.
    return any(there.get(name) != value for name, value in wanted.items())


def _found(get: Any, **arguments: Any) -> dict[str, Any] | None:
    try:
        return get(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] == "EntityNotFoundException":
            return None
        raise


def _created(create: Any, **arguments: Any) -> bool:
    """Create something; False when another load was faster."""
    try:
        create(**arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] == "AlreadyExistsException":
            return False
        raise
    return True
