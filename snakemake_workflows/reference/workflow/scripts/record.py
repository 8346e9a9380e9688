"""The record a rule leaves of the objects it made: md5 and size, counts, tools."""

import hashlib
import json
from pathlib import Path
from typing import Any


def record(path: Path, objects: list[Path], **facts: Any) -> None:
    """Write a JSON with `objects` (name → md5, size in bytes) and whatever else is known."""
    described = {made.name: {"md5": md5(made), "size": made.stat().st_size} for made in objects}
    path.write_text(json.dumps({"objects": described, **facts}, indent=1) + "\n")


def md5(path: Path) -> str:
    """Hex md5 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "md5").hexdigest()
