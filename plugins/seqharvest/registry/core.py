"""The registry: projects and samples from registration to the lake, and people's decisions."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from seqharvest.errors import InputError, StateConflict
from seqharvest.layout import check_project_id, check_sample_id
from seqharvest.registry.items import from_item, now, to_item, to_value
from seqharvest.registry.ledger import CancelledError, Move
from seqharvest.registry.review import Reviews
from seqharvest.registry.states import ACTIVE, ProjectState, SampleState

log = logging.getLogger(__name__)

#: Samples the whole world knows by this name: one project may own them.
ARCHIVE_SAMPLE = re.compile(r"[SED]RX\d+|GSM\d+")
_IDLE = (ProjectState.REGISTERED, ProjectState.LOADED, ProjectState.REJECTED)


class Registry(Reviews):
    """Everything Seqharvest knows about projects and samples, in one DynamoDB table."""

    # ---- registration

    def register_project(
        self,
        project: str,
        *,
        by: str,
        source: str,
        title: str = "",
        organism: str = "",
        release: str = "",
        **fields: Any,
    ) -> bool:
        """Register a project; True when it is new, False (and nothing changed) when it is known.

        Raises `InputError` for an id that cannot be part of a key.
        """
        about = {"source": source, "title": title, "organism": organism, "release": release}
        item = {"pk": check_project_id(project), "sk": "PROJECT", "project": project}
        return self._register({**fields, **about, **item, "round": 1}, by, [])

    def register_sample(
        self,
        project: str,
        sample: str,
        *,
        by: str,
        layout: str,
        runs: list[dict[str, Any]],
        private: bool = False,
        **fields: Any,
    ) -> bool:
        """Register a sample of a known project; True when it is new.

        An archive's sample belongs to the project that registers it first; another project gets
        it as `failed`, with the owner as the reason. Raises `InputError` for a bad id or layout,
        or an unknown project.
        """
        check_project_id(project)
        if layout not in ("paired", "single"):
            raise InputError(
                f"sample {sample} of project {project} has layout {layout!r}",
                "use 'paired' or 'single'",
            )
        item = {"pk": project, "sk": f"SAMPLE#{check_sample_id(sample)}", "project": project}
        values = {**fields, **item, "sample": sample, "layout": layout, "runs": runs}
        if private:
            return self._register({**values, "source": "private"}, by, [self._known(project)])
        if not ARCHIVE_SAMPLE.fullmatch(sample):
            return self._register(values, by, [self._known(project)])
        return self._register_claimed(values, by)

    def _register_claimed(self, values: dict[str, Any], by: str) -> bool:
        project, sample = values["project"], values["sample"]
        actions = [self._known(project), self._claim(project, sample)]
        try:
            return self._register(values, by, actions)
        except CancelledError:
            owner = (self._get(f"SAMPLE#{sample}", "OWNER") or {})["project"]
        reason = (
            f"sample {sample} belongs to project {owner}:"
            f" use it there, or register it here as a private sample under another name"
        )
        log.warning("%s %s: %s", project, sample, reason)
        values = {**values, "reason": reason, "owned_by": owner, "failed_from": "registered"}
        return self._register(values, by, [self._known(project)], to="failed")

    def _register(
        self,
        values: Mapping[str, Any],
        by: str,
        conditions: list[dict[str, Any]],
        to: str = "registered",
    ) -> bool:
        """Put an item that must be new, if the conditions hold; `CancelledError` if not."""
        at = now()
        move = Move({name: values.get(name) for name in ("pk", "project", "sample")}, to)
        move.why = values.get("reason", "")
        state = {"state": to, "state_since": at, "version": 1}
        moved = {"moved_by": by, "moved_at": at, "last_event": move.event}
        put = {
            "TableName": self.table,
            "Item": to_item({**values, **state, **moved}),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        try:
            self._transact([{"Put": put}, self._event(move, by, at), *conditions])
        except CancelledError as cancelled:
            if 0 in cancelled.failed:
                present = self._get(values["pk"], values["sk"]) or {}
                return present.get("last_event") == move.event
            if 2 in cancelled.failed:
                self.project(values["project"])  # raises: it is unknown
            raise
        log.info("%s %s: registered as %s", values["project"], values.get("sample", ""), to)
        return True

    def _known(self, project: str) -> dict[str, Any]:
        key = to_item({"pk": project, "sk": "PROJECT"})
        condition = "attribute_exists(pk)"
        check = {"TableName": self.table, "Key": key, "ConditionExpression": condition}
        return {"ConditionCheck": check}

    def _claim(self, project: str, sample: str) -> dict[str, Any]:
        return {
            "Put": {
                "TableName": self.table,
                "Item": to_item({"pk": f"SAMPLE#{sample}", "sk": "OWNER", "project": project}),
                "ConditionExpression": "attribute_not_exists(pk) OR #project = :project",
                "ExpressionAttributeNames": {"#project": "project"},
                "ExpressionAttributeValues": {":project": to_value(project)},
            }
        }

    # ---- rounds: what a DAG run does with a project

    def projects_with_work(self) -> list[dict[str, Any]]:
        """Return `{"project", "round", "samples": n}` of the idle projects a run should start for.

        These have samples in `registered` (after a rejection: registered since), or were put
        back by a retry.
        """
        waiting: dict[str, list[str]] = {}
        for sample in self.in_state(SampleState.REGISTERED, "SAMPLE"):
            waiting.setdefault(sample["project"], []).append(sample["state_since"])
        retried = {
            item["project"]: item
            for item in self.in_state(ProjectState.REGISTERED, "PROJECT")
            if item.get("retried")
        }
        work = []
        for item in self.projects({*waiting, *retried}):
            since = item.get("reviewed_at", "") if item["state"] == "rejected" else ""
            new = [at for at in waiting.get(item["project"], []) if at > since]
            if _idle(item) and (new or item.get("retried")):
                work.append(
                    {"project": item["project"], "round": item["round"], "samples": len(new)}
                )
        return sorted(work, key=lambda row: row["project"])

    def projects(self, projects: Iterable[str]) -> list[dict[str, Any]]:
        """Return PROJECT items in hundreds, as BatchGetItem takes them."""
        keys = [to_item({"pk": project, "sk": "PROJECT"}) for project in sorted(projects)]
        found: list[dict[str, Any]] = []
        while keys:
            ask = {self.table: {"Keys": keys[:100], "ConsistentRead": True}}
            answer = self.client.batch_get_item(RequestItems=ask)
            found += map(from_item, answer["Responses"].get(self.table, []))
            late = answer.get("UnprocessedKeys", {}).get(self.table, {}).get("Keys", [])
            keys = keys[100:] + late
        return found

    def begin(
        self, project: str, *, run_id: str, by: str, take_over: bool = False, **fields: Any
    ) -> dict[str, Any]:
        """Claim a project for a DAG run: to `fetching`, with a new run's old decision cleared.

        A run that claims again what it holds, or held last, keeps the decision; new verdicts
        clear it later. Raises `StateConflict` while another run is at work on the project.
        """
        item = self.project(project)
        if item["state"] in ACTIVE and item.get("run_id") != run_id and not take_over:
            raise StateConflict(
                f"project {project} is {item['state']} in the hands of run"
                f" {item.get('run_id', 'unknown')} since {item['state_since']}",
                "wait for that run, end it, or start this one with take_over",
            )
        ours = run_id in (item.get("run_id"), item.get("last_run_id"))
        cleared = {} if ours or item.get("retried") else self.cleared_decision(item)
        fields |= {**cleared, "run_id": run_id, "retried": None}
        return self._move(item, ProjectState.FETCHING, by, f"run {run_id}", fields)

    def finish(self, project: str, *, by: str, why: str = "") -> dict[str, Any]:
        """Move a project to `loaded`, free it and raise its round; already there is no error."""
        item = self.project(project)
        if item["state"] == ProjectState.LOADED:
            return item
        return self._move(item, ProjectState.LOADED, by, why, self.end_of_round(item))

    def retry(self, project: str, *, by: str) -> dict[str, Any]:
        """Put a project's failed samples, and the project if it failed, back to `registered`.

        Raises `StateConflict` while a run is at work on it and `InputError` when nothing failed.
        """
        item = self.project(project)
        if item["state"] in ACTIVE:
            raise StateConflict(
                f"project {project} is {item['state']} in run {item.get('run_id')}",
                "wait for the run to end, or clear its tasks in Airflow",
            )
        samples = self.retry_samples(project, by=by)
        if item["state"] == ProjectState.FAILED:
            fields = {**self.end_of_round(item), "retried": True}
            item = self._move(item, ProjectState.REGISTERED, by, "retry", fields)
        elif not samples:
            raise InputError(
                f"nothing of project {project} has failed: it is {item['state']}",
                "clear a task in Airflow to run a stage again",
            )
        return {**item, "samples_retried": samples}

    def retry_samples(self, project: str, *, by: str) -> int:
        """Put the failed samples that are this project's own back to `registered`; how many."""
        failed = [item for item in self.samples(project) if item["state"] == SampleState.FAILED]
        moves = [
            Move(item, SampleState.REGISTERED, "retry")
            for item in failed
            if not item.get("owned_by")
        ]
        self.move_samples(moves, by=by)
        return len(moves)

    def counts(self, project: str) -> dict[str, int]:
        """Return how many of the project's samples are in each state."""
        return dict(Counter(item["state"] for item in self.samples(project)))


def _idle(item: Mapping[str, Any]) -> bool:
    """Whether a run may start: also when a sweep could not resolve it, and samples came since."""
    never_ran = item["state"] == "failed" and item.get("failed_from") == "registered"
    return item["state"] in _IDLE or never_ran
