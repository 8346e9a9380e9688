"""Decides whether a failed attempt is tried again, as a job's retryStrategy asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local.batch.protocol import ClientError

MAX_ATTEMPTS = 10
MAX_RULES = 5


def check_strategy(strategy: Mapping[str, Any]) -> None:
    """Raise `ClientError` for a retry strategy that AWS would refuse."""
    attempts = strategy.get("attempts")
    rules = strategy.get("evaluateOnExit", [])
    if attempts is not None and not 1 <= attempts <= MAX_ATTEMPTS:
        raise ClientError(f"Retry attempts must be between 1 and {MAX_ATTEMPTS}, not {attempts}")
    if rules and attempts is None:
        raise ClientError("retryStrategy.attempts must be given together with evaluateOnExit")
    if len(rules) > MAX_RULES:
        raise ClientError(f"evaluateOnExit has {len(rules)} rules; at most {MAX_RULES} are allowed")
    for rule in rules:
        if rule["action"].upper() not in ("RETRY", "EXIT"):
            raise ClientError(f"evaluateOnExit.action: {rule['action']!r} is not RETRY or EXIT")
        if not any(key in rule for key in ("onStatusReason", "onReason", "onExitCode")):
            raise ClientError("An evaluateOnExit rule needs onStatusReason, onReason or onExitCode")


def should_retry(
    strategy: Mapping[str, Any],
    ended_attempts: int,
    *,
    status_reason: str,
    reason: str | None,
    exit_code: int | None,
) -> bool:
    """Whether another attempt follows: the first rule that matches decides, and none retries."""
    if ended_attempts >= strategy.get("attempts", 1):
        return False
    values = {
        "onStatusReason": status_reason,
        # A container without a reason still matches "*": AWS's own example ends with that rule.
        "onReason": reason or "",
        "onExitCode": None if exit_code is None else str(exit_code),
    }
    for rule in strategy.get("evaluateOnExit", []):
        if all(_matches(rule[key], values[key]) for key in values if key in rule):
            return bool(rule["action"].upper() == "RETRY")
    return True


def _matches(pattern: str, value: str | None) -> bool:
    """Only a `*` at the end is a wildcard; AWS takes everything else literally."""
    if value is None:
        return False
    if pattern.endswith("*"):
        return value.startswith(pattern[:-1])
    return value == pattern
