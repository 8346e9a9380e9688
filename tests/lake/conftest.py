"""A study to load, in the session's ministack."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.lake.study import Study

_NUMBERS = count(1)


@pytest.fixture
def study(aws: Any, tmp_path: Path) -> Study:
    """A fresh project with two samples: four genes each, two junctions."""
    made = Study(aws.client("s3"), aws.bucket, tmp_path, f"GSE{next(_NUMBERS)}")
    made.analysed("ctrl-1", counts=[10, 0, 2.5, 7])
    made.analysed("treat-1", counts=[1, 20, 0.25, 3])
    return made
