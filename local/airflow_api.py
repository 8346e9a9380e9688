"""The few calls of Airflow's REST API that the demo and the end-to-end tests make."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import httpx

from seqharvest.errors import InputError, SeqharvestError


class Airflow:
    """A signed-in user of one Airflow."""

    def __init__(self, url: str, user: str = "admin", password: str = "admin") -> None:
        self.http = httpx.Client(base_url=url, timeout=90)
        reply = self.http.post("/auth/token", json={"username": user, "password": password})
        if reply.status_code != 201:
            raise InputError(
                f"Airflow at {url} refused {user}: {reply.text}", "check user and password"
            )
        self.http.headers["Authorization"] = f"Bearer {reply.json()['access_token']}"

    def get(self, path: str, **params: Any) -> Any:
        """GET below /api/v2 and return the JSON."""
        return self._json(self.http.get(f"/api/v2/{path}", params=params))

    def trigger(self, dag: str, run_id: str, conf: dict[str, Any]) -> bool:
        """Start a DAG run; False when a run with this id is there already."""
        self._wait_for_dag(dag)
        body = {"logical_date": None, "dag_run_id": run_id, "conf": conf}
        reply = self.http.post(f"/api/v2/dags/{dag}/dagRuns", json=body)
        if reply.status_code == 409:
            return False
        self._json(reply)
        return True

    def run_state(self, dag: str, run_id: str) -> str:
        """State of a DAG run."""
        return str(self.get(f"dags/{dag}/dagRuns/{quote(run_id, safe='')}")["state"])

    def tasks(self, dag: str, run_id: str) -> list[dict[str, Any]]:
        """Every task instance of a DAG run."""
        path = f"dags/{dag}/dagRuns/{quote(run_id, safe='')}/taskInstances"
        instances: list[dict[str, Any]] = self.get(path, limit=1000)["task_instances"]
        return instances

    def ensure(self, dag: str, run_id: str, conf: dict[str, Any], seconds: float = 600) -> None:
        """Run a DAG unless this run has succeeded already; run a failed one again; wait for it."""
        if not self.trigger(dag, run_id, conf) and self.run_state(dag, run_id) == "failed":
            path = f"/api/v2/dags/{dag}/dagRuns/{quote(run_id, safe='')}/clear"
            self._json(self.http.post(path, json={"dry_run": False}))
        self.wait(dag, run_id, seconds)

    def wait(self, dag: str, run_id: str, seconds: float = 600) -> None:
        """Wait until a run has succeeded; raise `SeqharvestError` when it fails or takes longer."""
        deadline = time.monotonic() + seconds
        while (state := self.run_state(dag, run_id)) != "success":
            if state == "failed":
                why = "; ".join(
                    f"{task['task_id']}: {self.error_of(dag, run_id, task)}"
                    for task in self.tasks(dag, run_id)
                    if task["state"] == "failed"
                )
                raise SeqharvestError(
                    f"{dag} {run_id} failed at {why}",
                    f"open {self.http.base_url}/dags/{dag}/runs/{quote(run_id, safe='')}",
                )
            if time.monotonic() > deadline:
                raise SeqharvestError(
                    f"{dag} {run_id} is still {state} after {seconds:.0f} s",
                    f"open {self.http.base_url}/dags/{dag}",
                )
            time.sleep(0.5)

    def error_of(self, dag: str, run_id: str, task: dict[str, Any]) -> str:
        """The message of the exception that ended a task, from its log."""
        path = (
            f"dags/{dag}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task['task_id']}"
            f"/logs/{task['try_number']}"
        )
        reply = self.http.get(f"/api/v2/{path}", params={"map_index": task["map_index"]})
        lines = reply.json().get("content", []) if reply.is_success else []
        errors = [
            detail["exc_value"]
            for line in lines
            if isinstance(line, dict)
            for detail in line.get("error_detail") or []
        ]
        return errors[-1] if errors else "see its log"

    def mark(self, dag: str, run_id: str, task: str, state: str) -> None:
        """Mark a task `success` or `failed`, as the UI's button does."""
        path = f"/api/v2/dags/{dag}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task}"
        self._json(self.http.patch(path, json={"new_state": state}))

    def clear(self, dag: str, run_id: str, tasks: list[str]) -> None:
        """Clear tasks and what is downstream of them, as the UI's button does."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": tasks,
            "only_failed": False,
            "include_downstream": True,
            "reset_dag_runs": True,
        }
        self._json(self.http.post(f"/api/v2/dags/{dag}/clearTaskInstances", json=body))

    def ensure_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool that counts deferred tasks; one that is there stays as it is."""
        if self.http.get(f"/api/v2/pools/{name}").status_code == 200:
            return
        body = {"name": name, "slots": slots, "description": description, "include_deferred": True}
        self._json(self.http.post("/api/v2/pools", json=body))

    def _wait_for_dag(self, dag: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.http.get(f"/api/v2/dags/{dag}").status_code != 200:
            if time.monotonic() > deadline:
                errors = self.get("importErrors")["import_errors"]
                raise SeqharvestError(f"Airflow has no DAG {dag} after {seconds:.0f} s: {errors}")
            time.sleep(0.5)

    @staticmethod
    def _json(reply: httpx.Response) -> Any:
        if reply.is_error:
            raise SeqharvestError(
                f"Airflow answered {reply.status_code} to {reply.request.url}: {reply.text}"
            )
        return reply.json()
