"""A head job's progress as an object in S3, for the page of its run in Airflow."""

from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from seqharvest import aws
from seqharvest.progress import counts

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0  # a page is looked at by people
MOST_FAILURES = 100  # in a record; the outcome at the end has them all


class Recorder(AbstractContextManager["Recorder"]):
    """Writes the record at the start, when counts have changed (at most so often), and at the end.

    It writes from a thread of its own and never raises: the work matters more than its picture.
    """

    def __init__(
        self, bucket: str, key: str, failures: Path, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self.bucket = bucket
        self.key = key
        self.failures = failures
        self.every_seconds = every_seconds
        self.counts: dict[str, int] = {}
        self._changed = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="progress", daemon=True)

    def __enter__(self) -> Recorder:
        """Replace what an earlier try left, and write on in the background."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write the last counts."""
        self._ended.set()
        self._thread.join()
        self._write("ended")

    def see(self, line: str) -> None:
        """Take the counts of a progress line; any other line is left alone."""
        if found := counts.parse(line):
            self.counts = found
            self._changed = True

    def _write_on(self) -> None:
        self._write("starting")
        while not self._ended.wait(self.every_seconds):
            if self._changed:
                self._changed = False
                self._write("running")

    def _write(self, state: str) -> None:
        try:
            content = {
                "state": state,
                "updated": round(time.time()),
                "counts": self.counts,
                "failures": self._final_failures(),
            }
            aws.brief_client("s3").put_object(
                Bucket=self.bucket,
                Key=self.key,
                Body=json.dumps(content).encode(),
                ContentType="application/json",
            )
        except Exception as error:
            log.warning("progress was not recorded: %s", error)

    def _final_failures(self) -> dict[str, dict[str, Any]]:
        """Return by sample, or by job, the failures that the executor does not try again."""
        if not self.failures.exists():
            return {}
        found = {}
        whole = self.failures.read_text().rpartition("\n")[0]  # the last line may be half written
        for line in whole.splitlines():
            failure = json.loads(line)
            if not failure.get("will_retry"):
                name = failure["wildcards"].get("sample", failure["job"])
                found[name] = {"kind": failure["kind"], "reason": failure["summary"]}
        return dict(list(found.items())[:MOST_FAILURES])
