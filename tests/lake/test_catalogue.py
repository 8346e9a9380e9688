"""Glue agrees with the schemas, however often and from whatever state it is asked to."""

from __future__ import annotations

from typing import Any

import pytest

from seqharvest.errors import LoadError
from seqharvest.lake import catalogue
from seqharvest.lake.schemas import PARTITION_KEYS, TABLES

TABLE = TABLES["junctions"]


@pytest.fixture
def glue(aws: Any) -> Any:
    return aws.client("glue")


def table_of(glue: Any, database: str) -> dict[str, Any]:
    return glue.get_table(DatabaseName=database, Name=TABLE.name)["Table"]


def test_every_table_has_comments_parquet_and_partitions_and_a_second_time_changes_nothing(
    aws: Any, glue: Any
) -> None:
    catalogue.ensure_tables("bucket", "twice")
    first = table_of(glue, "twice")
    catalogue.ensure_tables("bucket", "twice")

    assert table_of(glue, "twice") == first
    names = {table["Name"] for table in glue.get_tables(DatabaseName="twice")["TableList"]}
    assert names == set(TABLES)
    storage = first["StorageDescriptor"]
    assert storage["Columns"] == TABLE.glue_columns
    assert storage["Location"] == "s3://bucket/lake/junctions/"
    assert storage["SerdeInfo"]["SerializationLibrary"].endswith("ParquetHiveSerDe")
    assert [key["Name"] for key in first["PartitionKeys"]] == list(PARTITION_KEYS)
    # Glue takes comments of 255 characters.
    assert all(0 < len(c["Comment"]) <= 255 for t in TABLES.values() for c in t.glue_columns)


def test_a_table_of_an_older_version_gets_the_new_columns_and_keeps_newer_ones(glue: Any) -> None:
    catalogue.ensure_tables("bucket", "grown")
    columns = [*TABLE.glue_columns[:3], {"Name": "later", "Type": "double", "Comment": "new"}]
    old = catalogue._table_input(TABLE, columns, "bucket")
    glue.update_table(DatabaseName="grown", TableInput=old)

    catalogue.ensure_tables("bucket", "grown")

    names = [column["Name"] for column in table_of(glue, "grown")["StorageDescriptor"]["Columns"]]
    assert names == [*TABLE.arrow.names, "later"]


def test_a_column_of_another_type_is_refused(glue: Any) -> None:
    catalogue.ensure_tables("bucket", "typed")
    columns = [{**column, "Type": "string"} for column in TABLE.glue_columns]
    wrong = catalogue._table_input(TABLE, columns, "bucket")
    glue.update_table(DatabaseName="typed", TableInput=wrong)

    with pytest.raises(LoadError, match=r"junctions\.intron_start is string in Glue and bigint"):
        catalogue.ensure_tables("bucket", "typed")


def test_a_partition_is_made_once_and_follows_the_bucket(glue: Any) -> None:
    catalogue.ensure_tables("bucket", "parted")
    for bucket in ("bucket", "bucket", "moved"):
        catalogue.ensure_partition(TABLE, "r1", "GSE1", bucket, "parted")

    found = glue.get_partitions(DatabaseName="parted", TableName=TABLE.name)["Partitions"]
    assert [part["Values"] for part in found] == [["r1", "GSE1"]]
    location = found[0]["StorageDescriptor"]["Location"]
    assert location == "s3://moved/lake/junctions/release=r1/project=GSE1/"
