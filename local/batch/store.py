"""The endpoint's memory: one SQLite file that outlives its process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.batch.jobs import FINISHED, UNFINISHED, Job, Status

SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    kind TEXT NOT NULL, key TEXT NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (kind, key)
);
CREATE TABLE IF NOT EXISTS jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, name_key TEXT NOT NULL, queue TEXT NOT NULL,
    definition TEXT NOT NULL, status TEXT NOT NULL, created_at INTEGER NOT NULL,
    parent TEXT, idx INTEGER, size INTEGER,
    spec TEXT, -- NULL in an array's child: its parent's
    state TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_queue ON jobs (queue, status, seq);
CREATE INDEX IF NOT EXISTS by_name ON jobs (queue, name_key) WHERE parent IS NULL;
CREATE INDEX IF NOT EXISTS by_parent ON jobs (parent, status, idx);
CREATE TABLE IF NOT EXISTS waits (
    on_job TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (on_job, job)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS waits_by_job ON waits (job);
CREATE TABLE IF NOT EXISTS spool (
    stream TEXT PRIMARY KEY, path TEXT NOT NULL, offset INTEGER NOT NULL, ended INTEGER NOT NULL
);
"""
# An array's child keeps no spec of its own: 10,000 children would hold 10,000 equal copies.
SELECT = """
SELECT j.seq, j.id, j.name, j.queue, j.definition, j.status, j.created_at, j.parent, j.idx, j.size,
       COALESCE(j.spec, p.spec) AS spec, j.state
FROM jobs j LEFT JOIN jobs p ON p.id = j.parent AND j.spec IS NULL
"""
INSERT = """
INSERT INTO jobs (id, name, name_key, queue, definition, status, created_at, parent, idx, size,
                  spec, state)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Store:
    """Resources, jobs, dependencies and unsent logs; used from the event loop's thread only."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._depth = 0
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make everything inside happen as one; may be nested."""
        if self._depth:
            yield
            return
        self._depth += 1
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        else:
            self._db.execute("COMMIT")
        finally:
            self._depth -= 1

    # Resources: compute environments, queues, definitions

    def put(self, kind: str, key: str, doc: dict[str, Any]) -> None:
        """Create or replace a resource."""
        sql = "INSERT OR REPLACE INTO resources (kind, key, doc) VALUES (?, ?, ?)"
        self._db.execute(sql, (kind, key, json.dumps(doc)))

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """Return a resource, or None."""
        sql = "SELECT doc FROM resources WHERE kind = ? AND key = ?"
        row = self._db.execute(sql, (kind, key)).fetchone()
        return json.loads(row["doc"]) if row else None

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return all resources of a kind, by key."""
        sql = "SELECT doc FROM resources WHERE kind = ? ORDER BY key"
        return [json.loads(row["doc"]) for row in self._db.execute(sql, (kind,))]

    def remove(self, kind: str, key: str) -> None:
        """Forget a resource."""
        self._db.execute("DELETE FROM resources WHERE kind = ? AND key = ?", (kind, key))

    # Jobs

    def add_jobs(self, jobs: Iterable[Job]) -> None:
        """Add new jobs, in the order in which they will be placed."""
        self._db.executemany(
            INSERT,
            (
                (
                    *(job.id, job.name, job.name.lower(), job.queue, job.definition, job.status),
                    *(job.created_at, job.parent, job.index, job.size),
                    None if job.parent else json.dumps(job.spec),
                    json.dumps(job.state),
                )
                for job in jobs
            ),
        )

    def save(self, job: Job) -> None:
        """Keep a job's status and what happened to it."""
        sql = "UPDATE jobs SET status = ?, state = ? WHERE id = ?"
        self._db.execute(sql, (job.status, json.dumps(job.state), job.id))

    def save_spec(self, job: Job) -> None:
        """Keep a changed spec: tags are all of it that may change."""
        self._db.execute("UPDATE jobs SET spec = ? WHERE id = ?", (json.dumps(job.spec), job.id))

    def job(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        return next(self.select("j.id = ?", (job_id,)), None)

    def select(self, where: str, values: Sequence[Any], tail: str = "") -> Iterator[Job]:
        """Yield the jobs (as `j`) that satisfy an SQL condition."""
        for row in self._db.execute(f"{SELECT} WHERE {where} {tail}", values):
            yield _job(row)

    def children(self, parent: str, statuses: Sequence[str]) -> Iterator[Job]:
        """Yield an array's children that are in one of some states."""
        marks = ", ".join("?" * len(statuses))
        where = f"j.parent = ? AND j.status IN ({marks})"
        return self.select(where, (parent, *statuses), "ORDER BY j.idx")

    def runnable(self, queue: str) -> Iterator[Job]:
        """Yield a queue's RUNNABLE jobs, oldest first; they may be saved meanwhile."""
        last = 0
        where = "j.queue = ? AND j.status = 'RUNNABLE' AND j.seq > ?"
        # By small pages: of thousands that wait, usually only the first few are looked at.
        while page := list(self.select(where, (queue, last), "ORDER BY j.seq LIMIT 8")):
            yield from page
            last = page[-1].seq

    def count_by_status(self, parent: str | None = None) -> dict[str, int]:
        """Count all jobs, or an array's children, by status."""
        where, values = ("WHERE parent = ?", (parent,)) if parent else ("", ())
        sql = f"SELECT status, COUNT(*) AS n FROM jobs {where} GROUP BY status"
        return {row["status"]: row["n"] for row in self._db.execute(sql, values)}

    def has_unfinished_children(self, parent: str) -> bool:
        """Whether any child of an array has not ended."""
        sql = "SELECT 1 FROM jobs WHERE parent = ? AND status = ? LIMIT 1"
        return any(self._db.execute(sql, (parent, s)).fetchone() for s in UNFINISHED)

    def admit(self, job_id: str | None = None) -> None:
        """Move SUBMITTED jobs (one with its children, or all) on to PENDING and RUNNABLE."""
        which, values = ("AND (id = ? OR parent = ?)", (job_id, job_id)) if job_id else ("", ())
        with self.transaction():
            self._db.execute(
                f"UPDATE jobs SET status = 'PENDING' WHERE status = 'SUBMITTED' {which}", values
            )
            self._db.execute(
                "UPDATE jobs SET status = 'RUNNABLE' WHERE status = 'PENDING' "
                "AND (size IS NULL OR parent IS NOT NULL) "
                f"AND NOT EXISTS (SELECT 1 FROM waits WHERE waits.job = jobs.id) {which}",
                values,
            )

    def forget_finished_before(self, created_at: int) -> None:
        """Forget finished jobs (with their children) that were created before a time."""
        old = "created_at < ? AND status IN (?, ?)"
        with self.transaction():
            self._db.execute(
                f"DELETE FROM jobs WHERE parent IN (SELECT id FROM jobs WHERE {old})",
                (created_at, *FINISHED),
            )
            self._db.execute(
                f"DELETE FROM jobs WHERE parent IS NULL AND {old}", (created_at, *FINISHED)
            )

    # Dependencies

    def add_waits(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Make each job of (job, other) wait for the other."""
        sql = "INSERT OR IGNORE INTO waits (job, on_job) VALUES (?, ?)"
        self._db.executemany(sql, pairs)

    def stop_waiting_for(self, job_id: str) -> list[str]:
        """Drop all waits for a job, and return the ids of those that waited."""
        rows = self._db.execute("SELECT job FROM waits WHERE on_job = ?", (job_id,)).fetchall()
        self._db.execute("DELETE FROM waits WHERE on_job = ?", (job_id,))
        return [row["job"] for row in rows]

    def drop_waits_of(self, job_id: str) -> None:
        """Drop what a job waited for."""
        self._db.execute("DELETE FROM waits WHERE job = ?", (job_id,))

    def ended_dependencies(self) -> list[Job]:
        """Return the jobs that have ended although others still wait for them."""
        ids = "SELECT DISTINCT on_job FROM waits"
        marks = ", ".join("?" * len(FINISHED))
        return list(self.select(f"j.id IN ({ids}) AND j.status IN ({marks})", FINISHED))

    def is_waiting(self, job_id: str) -> bool:
        """Whether a job still waits for another."""
        sql = "SELECT 1 FROM waits WHERE job = ? LIMIT 1"
        return self._db.execute(sql, (job_id,)).fetchone() is not None

    # Unsent logs

    def save_spool(self, stream: str, path: str, offset: int, ended: bool) -> None:
        """Keep how far a stream's spool file has been sent."""
        sql = "INSERT OR REPLACE INTO spool (stream, path, offset, ended) VALUES (?, ?, ?, ?)"
        self._db.execute(sql, (stream, path, offset, int(ended)))

    def spool(self) -> list[tuple[str, str, int, bool]]:
        """Return (stream, path, offset, ended) of all spool files."""
        rows = self._db.execute("SELECT * FROM spool").fetchall()
        return [(r["stream"], r["path"], r["offset"], bool(r["ended"])) for r in rows]

    def drop_spool(self, stream: str) -> None:
        """Forget a stream that has been sent to its end."""
        self._db.execute("DELETE FROM spool WHERE stream = ?", (stream,))


def _job(row: sqlite3.Row) -> Job:
    return Job(
        id=row["id"],
        name=row["name"],
        queue=row["queue"],
        definition=row["definition"],
        status=Status(row["status"]),
        created_at=row["created_at"],
        spec=json.loads(row["spec"]),
        parent=row["parent"],
        index=row["idx"],
        size=row["size"],
        state=json.loads(row["state"]),
        seq=row["seq"],
    )
