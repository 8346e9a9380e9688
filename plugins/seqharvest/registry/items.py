"""The registry's table: its definition, and Python values to and from its items."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

#: Arguments of `create_table`, all but the name.
TABLE: dict[str, Any] = {
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": "S"}
        for name in ("pk", "sk", "state", "state_since")
    ],
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": "by_state",
            "KeySchema": [
                {"AttributeName": "state", "KeyType": "HASH"},
                {"AttributeName": "state_since", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ],
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
}

_SERIALIZER = TypeSerializer()
_DESERIALIZER = TypeDeserializer()


def now() -> str:
    """Return the time in UTC, to the microsecond, in a form that sorts as it goes by."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def to_item(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn Python values into a DynamoDB item; values of None are left out."""
    return {name: to_value(value) for name, value in values.items() if value is not None}


def to_value(value: Any) -> dict[str, Any]:
    """Turn one Python value into DynamoDB's typed form."""
    return _SERIALIZER.serialize(_storable(value))


def from_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a DynamoDB item into plain Python values: int, float, list, dict, str, bool."""
    return {name: _plain(_DESERIALIZER.deserialize(value)) for name, value in item.items()}


def _storable(value: Any) -> Any:
    if isinstance(value, float):  # DynamoDB's numbers are decimal
        return Decimal(repr(value))
    if isinstance(value, Mapping):
        return {str(name): _storable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(part) for part in value]
    if isinstance(value, set | frozenset):  # DynamoDB has no empty set
        return sorted(_storable(part) for part in value)
    return str(value) if isinstance(value, str) else value  # a StrEnum is stored as text


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, set):  # a string set, as a person may make one in the console
        return sorted(_plain(part) for part in value)
    return value
