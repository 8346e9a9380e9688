"""A notifier that writes to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk.bases.notifier import BaseNotifier


class Notes(BaseNotifier):
    """Append what is told to a file."""

    template_fields = ("message",)

    def __init__(self, path: str, message: str = "{{ review.text }}") -> None:
        super().__init__()
        self.path = path
        self.message = message

    def notify(self, context: Any) -> None:
        with Path(self.path).open("a") as file:
            file.write(f"{self.message}\n")
