"""Waiting, with a limit, for what a running stack is expected to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from seqharvest.registry import Registry


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 420) -> Any:
    """Poll until the condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)
    return value


def wait_for_state(project: str, state: str) -> None:
    """Wait until a project is in a state; fail at once when the project fails."""

    def there() -> bool:
        item = Registry().project(project)
        assert item["state"] != "failed", item.get("reason")
        return bool(item["state"] == state)

    wait_until(there, f"{project} {state}")
