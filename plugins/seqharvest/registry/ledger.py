"""Reads and conditional moves of registry items, each with its audit event."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from botocore.exceptions import ClientError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

from seqharvest import aws
from seqharvest.errors import InputError, StateConflict
from seqharvest.layout import check_project_id, check_sample_id
from seqharvest.registry.items import from_item, now, to_item, to_value
from seqharvest.registry.states import ProjectState, SampleState, check_move, goes_back
from seqharvest.settings import settings

log = logging.getLogger(__name__)

#: TransactWriteItems takes at most 100 actions, a move is two: its update and its event.
MOVES_PER_TRANSACTION = 50
#: Reasons for a cancelled transaction that say nothing about our conditions.
_TRANSIENT = {
    "TransactionConflict",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
}
_SEE = "see `python -m seqharvest.registry show {project}`"


class CancelledError(Exception):
    """A transaction whose conditions did not hold; `failed` are the indexes of its actions."""

    def __init__(self, failed: list[int]) -> None:
        super().__init__(f"conditions {failed} failed")
        self.failed = failed


class _BusyError(Exception):
    """Another transaction is writing the same items at this moment."""


@dataclass
class Move:
    """One item's way to a state, with the attributes that change with it (None removes one)."""

    item: Mapping[str, Any]
    to: str
    why: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)  # kept in the event only
    unchanged: tuple[str, ...] = ()  # attributes that people edit by hand, without a version
    event: str = field(default_factory=lambda: uuid.uuid4().hex)


class Ledger:
    """DynamoDB's view of projects and samples; every change leaves an event."""

    def __init__(self, table: str | None = None, client: Any = None) -> None:
        self.table = table or settings().table
        self._given = client

    @property
    def client(self) -> Any:
        """The DynamoDB client; made on first use, anew after a fork."""
        return self._given or aws.client("dynamodb")

    # ---- reads

    def project(self, project: str) -> dict[str, Any]:
        """Return the PROJECT item; raise `InputError` when there is none."""
        item = self._get(check_project_id(project), "PROJECT")
        if item is None:
            raise InputError(
                f"project {project} is not registered", "register it first, or check the id"
            )
        return item

    def sample(self, project: str, sample: str) -> dict[str, Any]:
        """Return the SAMPLE item; raise `InputError` when there is none."""
        item = self._get(check_project_id(project), f"SAMPLE#{check_sample_id(sample)}")
        if item is None:
            raise InputError(
                f"project {project} has no sample {sample}", _SEE.format(project=project)
            )
        return item

    def samples(self, project: str) -> list[dict[str, Any]]:
        """Return the project's SAMPLE items in the order of their ids."""
        return list(self._children(check_project_id(project), "SAMPLE#"))

    def events(self, project: str) -> list[dict[str, Any]]:
        """Return the project's events, oldest first: who, when, from, to, why, version."""
        return list(self._children(check_project_id(project), "EVENT#"))

    def in_state(self, state: str, kind: Literal["PROJECT", "SAMPLE"]) -> Iterator[dict[str, Any]]:
        """Yield the projects or samples in a state, longest waiting first (index, not locked)."""
        is_kind = "attribute_not_exists" if kind == "PROJECT" else "attribute_exists"
        yield from self._query(
            IndexName="by_state",
            KeyConditionExpression="#state = :state",
            FilterExpression=f"{is_kind}(#sample)",
            ExpressionAttributeNames={"#state": "state", "#sample": "sample"},
            ExpressionAttributeValues={":state": to_value(str(state))},
        )

    def _get(self, pk: str, sk: str) -> dict[str, Any] | None:
        key = to_item({"pk": pk, "sk": sk})
        answer = self.client.get_item(TableName=self.table, Key=key, ConsistentRead=True)
        return from_item(answer["Item"]) if answer.get("Item") else None

    def _children(self, project: str, prefix: str) -> Iterator[dict[str, Any]]:
        yield from self._query(
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues={":pk": to_value(project), ":prefix": to_value(prefix)},
        )

    def _query(self, **question: Any) -> Iterator[dict[str, Any]]:
        pages = self.client.get_paginator("query").paginate(TableName=self.table, **question)
        for page in pages:
            yield from map(from_item, page["Items"])

    # ---- moves

    def move_project(
        self, project: str, to: str, *, by: str, why: str = "", **fields: Any
    ) -> dict[str, Any]:
        """Move a project along the transition map and return its new item.

        Already there is not an error. Raises `StateConflict` for a move the map lacks, or when
        somebody else moved it in between. Decisions go through `decide`.
        """
        item = self.project(project)
        to = ProjectState(to)
        if to in (ProjectState.APPROVED, ProjectState.REJECTED) and item["state"] != to:
            raise StateConflict(
                f"project {project} cannot be moved to {to} without a decision",
                "record the decision with Registry.decide",
            )
        return self._move(item, to, by, why, fields)

    def move_sample(
        self, project: str, sample: str, to: str, *, by: str, why: str = "", **fields: Any
    ) -> dict[str, Any]:
        """Move a sample along the transition map and return its new item; like `move_project`."""
        return self._move(self.sample(project, sample), SampleState(to), by, why, fields)

    def move_samples(self, moves: Sequence[Move], *, by: str) -> None:
        """Make many samples' moves, 50 a transaction, from items that were read before.

        Raises `StateConflict` for a move the map lacks before anything is written. A sample
        that changed since it was read is read again and moved by itself.
        """
        moves = [move for move in moves if not _done(move)]
        for move in moves:
            check_move(move.item, move.to)
        for start in range(0, len(moves), MOVES_PER_TRANSACTION):
            batch = moves[start : start + MOVES_PER_TRANSACTION]
            try:
                self._transact([action for move in batch for action in self._actions(move, by)])
            except CancelledError:
                for move in batch:
                    project, sample = move.item["project"], move.item["sample"]
                    fresh = self.sample(project, sample)
                    if fresh.get("last_event") != move.event:
                        self._move(fresh, move.to, by, move.why, move.fields)

    def _move(
        self, item: Mapping[str, Any], to: str, by: str, why: str, fields: dict[str, Any]
    ) -> dict[str, Any]:
        move = Move(item, to, why, fields)
        if _done(move):
            return dict(item)
        check_move(item, to)
        return self._write(move, by)

    def _write(self, move: Move, by: str) -> dict[str, Any]:
        """Write one move that the caller has found to be allowed; `StateConflict` if it lost."""
        try:
            self._transact(self._actions(move, by))
        except CancelledError:
            current = self._get(move.item["pk"], move.item["sk"])
            if current is None or current.get("last_event") != move.event:
                raise self._lost(move, current) from None
            return current  # our own write, whose answer got lost on its way
        name = f"{move.item['project']} {move.item.get('sample', '')}".rstrip()
        log.info("%s: %s → %s by %s %s", name, move.item["state"], move.to, by, move.why)
        written = self._get(move.item["pk"], move.item["sk"])
        assert written is not None  # items are never deleted
        return written

    def _lost(self, move: Move, current: Mapping[str, Any] | None) -> StateConflict:
        name = f"{move.item['project']} {move.item.get('sample', '')}".rstrip()
        remedy = _SEE.format(project=move.item["project"])
        if current is None:
            return StateConflict(f"{name} is no longer registered", remedy)
        return StateConflict(
            f"{name} was not moved to {move.to}: {current.get('moved_by', 'somebody')} was first"
            f" and moved it to {current['state']} at {current['moved_at']}",
            remedy,
        )

    def _actions(self, move: Move, by: str) -> list[dict[str, Any]]:
        """Return the update on state and version, and the put of its event."""
        at = now()
        item, why = move.item, _why(move)
        changes = {**move.fields, "state": str(move.to), "version": item["version"] + 1}
        changes |= {"moved_by": by, "moved_at": at, "last_event": move.event}
        if move.to != item["state"]:
            changes["state_since"] = at
            changes["reason"] = why if move.to == "failed" else None
            changes["failed_from"] = item["state"] if move.to == "failed" else None
            if move.to != "failed" and "failed_round" in item:
                changes["failed_round"] = None
        update = _update_expression(changes)
        values = {
            ":was_state": to_value(item["state"]),
            ":was_version": to_value(item["version"]),
            **update.pop("ExpressionAttributeValues"),
        }
        names = {"#s": "state", "#v": "version"}
        condition = "#s = :was_state AND #v = :was_version"
        for n, name in enumerate(move.unchanged):
            names[f"#u{n}"] = name
            if item.get(name) is None:
                condition += f" AND attribute_not_exists(#u{n})"
            else:
                condition += f" AND #u{n} = :u{n}"
                values[f":u{n}"] = to_value(item[name])
        return [
            {
                "Update": {
                    "TableName": self.table,
                    "Key": to_item({"pk": item["pk"], "sk": item["sk"]}),
                    "ConditionExpression": condition,
                    "UpdateExpression": update["UpdateExpression"],
                    "ExpressionAttributeNames": {**names, **update["ExpressionAttributeNames"]},
                    "ExpressionAttributeValues": values,
                }
            },
            self._event(move, by, at),
        ]

    def _event(self, move: Move, by: str, at: str) -> dict[str, Any]:
        event = {
            "pk": move.item["project"],
            "sk": f"EVENT#{at}#{move.event}",
            "project": move.item["project"],
            "sample": move.item.get("sample"),
            "who": by,
            "when": at,
            "from": move.item.get("state"),
            "to": str(move.to),
            "why": _why(move),
            "version": move.item.get("version", 0) + 1,
            "details": move.details or None,
        }
        return {"Put": {"TableName": self.table, "Item": to_item(event)}}

    @retry(
        retry=retry_if_exception_type(_BusyError),
        wait=wait_random_exponential(multiplier=0.05, max=5),
        stop=stop_after_delay(90),
        reraise=True,
    )
    def _transact(self, actions: Iterable[dict[str, Any]]) -> None:
        """Write all or nothing; raise `CancelledError` when a condition does not hold."""
        try:
            self.client.transact_write_items(TransactItems=list(actions))
        except self.client.exceptions.TransactionCanceledException as error:
            codes = [reason.get("Code") for reason in error.response["CancellationReasons"]]
            failed = [n for n, code in enumerate(codes) if code == "ConditionalCheckFailed"]
            if failed:
                raise CancelledError(failed) from error
            if _TRANSIENT & set(codes):
                raise _BusyError(str(error)) from error
            raise
        except ClientError as error:
            if error.response["Error"]["Code"] == "TransactionInProgressException":
                raise _BusyError(str(error)) from error
            raise


def _done(move: Move) -> bool:
    """Whether the item is there already, with the attributes the move would set."""
    same = all(move.item.get(name) == value for name, value in move.fields.items())
    return move.item["state"] == move.to and same


def _why(move: Move) -> str:
    was = move.item.get("state")
    if not move.why and was and goes_back(was, move.to):
        return f"run again: it was {was}"
    return move.why


def _update_expression(changes: Mapping[str, Any]) -> dict[str, Any]:
    names = {f"#f{n}": name for n, name in enumerate(changes)}
    values = {
        f":f{n}": to_value(value) for n, value in enumerate(changes.values()) if value is not None
    }
    assign = ", ".join(f"{name} = :{name[1:]}" for name in names if f":{name[1:]}" in values)
    remove = ", ".join(name for name in names if f":{name[1:]}" not in values)
    return {
        "UpdateExpression": f"SET {assign}" + (f" REMOVE {remove}" if remove else ""),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
