"""A fetch's folder on scratch: begun only when what it may need is free, gone when it ends."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from seqharvest.errors import SeqharvestError
from seqharvest.settings import settings

log = logging.getLogger(__name__)

PREFIX = "fetch-"
PLAN = "planned"  # file in each folder: the bytes it may take; locked while its job lives


def scratch() -> Path:
    """Return the job's own disk: the instance store where there is one, else where it started."""
    disk = Path(settings().scratch)
    return disk if os.access(disk, os.W_OK) else Path.cwd()


@contextmanager
def reserved(root: Path, need: int, patience: float, every: float = 10.0) -> Iterator[Path]:
    """Give an empty folder below a root once `need` bytes are free beside what others planned.

    Jobs of a host share its disk: who comes when it is taken waits, up to `patience` seconds, for
    another's end. Raises `SeqharvestError` when the disk is too small, or stays taken.
    """
    deadline = time.monotonic() + patience
    while (claim := _claim(root, need)) is None:
        if time.monotonic() >= deadline:
            raise SeqharvestError(
                f"scratch {root} has no {need / 1e9:.1f} GB left for this run: disk full",
                "run the job on the large-disk queue, or fewer jobs on a host",
            )
        time.sleep(min(every, max(0.0, deadline - time.monotonic())))
    folder, plan = claim
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        plan.close()


def _claim(root: Path, need: int) -> tuple[Path, IO[str]] | None:
    """Return a folder with its locked plan, or None when there is not enough room for it now."""
    ledger = os.open(root, os.O_RDONLY)  # the folder itself is the lock: nothing is left behind
    try:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        promised = sum(_outstanding(path) for path in root.glob(f"{PREFIX}*"))
        total, _, free = shutil.disk_usage(root)
        if need > total:
            raise SeqharvestError(
                f"scratch {root} has {total / 1e9:.1f} GB in all, the run may need"
                f" {need / 1e9:.1f}: disk full",
                "run the job on the large-disk queue",
            )
        if need > free - promised:
            log.warning(
                "scratch %s: %.1f GB free, %.1f promised to others, %.1f needed: waiting",
                *(root, free / 1e9, promised / 1e9, need / 1e9),
            )
            return None
        folder = root / f"{PREFIX}{uuid.uuid4().hex[:12]}"
        folder.mkdir()
        plan = (folder / PLAN).open("w")
        # Still under the ledger's lock: a folder without a lock is a dead job's.
        fcntl.flock(plan, fcntl.LOCK_EX)
        plan.write(json.dumps(need))
        plan.flush()
        return folder, plan
    finally:
        os.close(ledger)


def _outstanding(folder: Path) -> int:
    """Return what a folder's job may still write; the folder of a dead job is removed."""
    try:
        with (folder / PLAN).open("r+") as plan:
            try:
                fcntl.flock(plan, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                used = sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))
                return max(0, int(json.loads(plan.read())) - used)
    except (OSError, ValueError):  # it is being removed just now
        return 0
    log.warning("scratch: %s is of a job that died, it is removed", folder)
    shutil.rmtree(folder, ignore_errors=True)
    return 0
