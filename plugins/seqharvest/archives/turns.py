"""Turns at a source: so many downloads at a time from it, over all hosts and projects."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from seqharvest import aws
from seqharvest.archives.limits import Limits
from seqharvest.errors import ArchiveError, InputError, SeqharvestError
from seqharvest.registry.items import from_item, to_item, to_value
from seqharvest.settings import settings

log = logging.getLogger(__name__)


@contextmanager
def turn(source: str, limits: Limits) -> Iterator[None]:
    """Hold one of the source's turns; waits while all are taken.

    Raises `ArchiveError` when none became free in time, `SeqharvestError` when DynamoDB, which
    keeps them, does not answer: a limit that is not kept would be none.
    """
    most = at_most(source)
    if most is None:
        yield
        return
    mine = _Turn(source, limits)
    mine.wait(most)
    ended = threading.Event()
    renewal = threading.Thread(target=mine.renew_until, args=(ended,), name="turn", daemon=True)
    renewal.start()
    try:
        yield
    finally:
        ended.set()
        renewal.join()
        mine.release()


def at_most(source: str) -> int | None:
    """Return how many downloads a source may have at a time, None for as many as there are.

    Raises `InputError` when the setting is not `source=number` with commas.
    """
    limits: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in settings().fetch_limits.split(","))):
        name, _, number = part.partition("=")
        if not number.strip().isdecimal() or int(number) == 0:
            raise InputError(
                f"fetch limit {part!r} is not source=number",
                "set SEQHARVEST_FETCH_LIMITS as in 'ena=50,prefetch=20'",
            )
        limits[name.strip()] = int(number)
    return limits.get(source)


class _Turn:
    """One attribute of the source's item, which names its holder and runs out by itself."""

    def __init__(self, source: str, limits: Limits) -> None:
        self.source, self.limits = source, limits
        self.holder, self.name = uuid.uuid4().hex, ""

    def wait(self, most: int) -> None:
        """Take a turn as soon as one is free."""
        deadline = time.monotonic() + self.limits.turn_patience
        while not self._take(most):
            if time.monotonic() >= deadline:
                raise ArchiveError(
                    f"{self.source} had {most} downloads for {self.limits.turn_patience:g} s, as"
                    " many as it may have",
                    "raise its number in SEQHARVEST_FETCH_LIMITS, or fetch less at a time",
                )
            log.info("%s has %d downloads, as many as it may have: waiting", self.source, most)
            time.sleep(random.uniform(0.5, 1.5) * self.limits.turn_wait)

    def renew_until(self, ended: threading.Event) -> None:
        """Keep the turn from running out."""
        while not ended.wait(self.limits.turn_seconds / 5):
            try:
                # Who was stopped for so long that another took the turn ends what it has begun.
                if not self._update("SET #turn.#until = :until", "#turn.#holder = :holder"):
                    log.warning("%s: this download's turn ran out", self.source)
                    return
            except (ClientError, BotoCoreError) as error:
                log.warning("%s: the turn was not renewed: %s", self.source, error)

    def release(self) -> None:
        """Give the turn back; one that cannot be given back runs out."""
        try:
            self._update("REMOVE #turn", "#turn.#holder = :holder")
        except (ClientError, BotoCoreError) as error:
            log.warning("%s: the turn was not given back: %s", self.source, error)

    def _take(self, most: int) -> bool:
        try:
            taken = self._taken()
            free = [name for n in range(most) if (name := f"turn{n}") not in taken]
            if not free:
                return False
            self.name = random.choice(free)
            is_free = "attribute_not_exists(#turn) OR #turn.#until < :now"
            return self._update("SET #turn = :turn", is_free)
        except (ClientError, BotoCoreError) as error:
            raise SeqharvestError(
                f"a turn at {self.source} cannot be taken: {error}",
                "let fetch jobs get and update items of the registry's table, or take the source"
                " out of SEQHARVEST_FETCH_LIMITS",
            ) from error

    def _taken(self) -> set[str]:
        answer = aws.client("dynamodb").get_item(
            TableName=settings().table, Key=self._key(), ConsistentRead=True
        )
        held = from_item(answer.get("Item", {}))
        now = time.time()
        return {
            name for name, one in held.items() if name.startswith("turn") and one["until"] >= now
        }

    def _update(self, what: str, condition: str) -> bool:
        """Change the turn if the condition holds; whether it did."""
        now = time.time()
        until = now + self.limits.turn_seconds
        values: dict[str, Any] = {
            ":turn": {"holder": self.holder, "until": until},
            ":holder": self.holder,
            ":until": until,
            ":now": now,
        }
        names = {"#turn": self.name, "#until": "until", "#holder": "holder"}
        said = f"{what} {condition}"
        client = aws.client("dynamodb")
        try:
            client.update_item(
                TableName=settings().table,
                Key=self._key(),
                UpdateExpression=what,
                ConditionExpression=condition,
                # DynamoDB refuses what an expression does not use.
                ExpressionAttributeNames={n: name for n, name in names.items() if n in said},
                ExpressionAttributeValues={
                    n: to_value(value) for n, value in values.items() if n in said.split()
                },
            )
        except client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _key(self) -> dict[str, Any]:
        return to_item({"pk": f"SOURCE#{self.source}", "sk": "TURNS"})
