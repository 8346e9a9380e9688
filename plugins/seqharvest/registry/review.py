"""People's decisions on projects that wait for review, and when a decision no longer stands."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from seqharvest.errors import InputError, StateConflict
from seqharvest.registry.items import now
from seqharvest.registry.ledger import Ledger, Move
from seqharvest.registry.states import QC_DONE, ProjectState, SampleState, check_move

log = logging.getLogger(__name__)

DECISIONS = (ProjectState.APPROVED, ProjectState.REJECTED)
#: What a person may type into the item in the DynamoDB console.
_SPELLINGS = {
    **dict.fromkeys(("approve", "approved"), ProjectState.APPROVED),
    **dict.fromkeys(("reject", "rejected"), ProjectState.REJECTED),
}
_RECORD = (
    "review_decision",
    "reviewed_by",
    "reviewed_at",
    "review_way",
    "review_comment",
    "reviewed_hash",
    "reviewed_thresholds",
    "reviewed_report",
    "excluded",
    "include",
)
#: How a decision typed into the item by hand is recorded.
BY_HAND = "dynamodb"
_VERDICT_STATES = {
    "pass": SampleState.QC_PASSED,
    "warn": SampleState.QC_WARNED,
    "fail": SampleState.QC_FAILED,
}


class Reviews(Ledger):
    """The ledger with the review gate."""

    def await_review(
        self, project: str, *, by: str, verdicts_hash: str, **fields: Any
    ) -> dict[str, Any]:
        """Move a project whose verdicts are in to `awaiting_review`, or past it.

        A decision that was taken on the same verdicts stands: the project goes straight to it.
        One taken on others is cleared, and must be taken again.
        """
        item = self.project(project)
        check_move(item, ProjectState.AWAITING_REVIEW)
        fields["verdicts_hash"] = verdicts_hash
        decision = item.get("review_decision")
        if decision in DECISIONS and item.get("reviewed_hash") == verdicts_hash:
            why = f"the decision of {item.get('reviewed_by')} stands: the verdicts are the same"
            if decision == ProjectState.REJECTED:
                fields |= {"run_id": None, "last_run_id": item.get("run_id")}
            return self._write(Move(item, decision, why, fields), by)
        why = ""
        if decision in DECISIONS:
            why = f"the verdicts changed: {item.get('reviewed_by')} had {decision} others"
        fields |= self.cleared_decision(item)
        return self._move(item, ProjectState.AWAITING_REVIEW, by, why, fields)

    def decide(
        self,
        project: str,
        decision: Literal["approved", "rejected"] | str,
        *,
        by: str,
        way: str,
        comment: str = "",
        exclude: Iterable[str] = (),
        include: Iterable[str] = (),
        seen: str | None = None,
    ) -> dict[str, Any]:
        """Record a person's decision on a project that awaits review, and return its new item.

        `exclude` keeps samples out of the analysis, `include` brings in ones that failed QC or
        were excluded before; `seen` is the hash of the verdicts the person looked at. The same
        decision by the same person again changes nothing. Raises `StateConflict` naming who was
        first, or when the verdicts are no longer those; `InputError` for samples the project lacks.
        """
        item = self.project(project)
        if item["state"] == ProjectState.AWAITING_REVIEW and item.get("review_decision"):
            self.adopt_decision(project)  # somebody typed one before
            item = self.project(project)
        given = _Given(_spelled(decision), by, way, comment, set(exclude), set(include), seen)
        return self._decide(item, given)

    def _decide(self, item: dict[str, Any], given: _Given) -> dict[str, Any]:
        project, choice, by = item["project"], given.choice, given.by
        if item["state"] != ProjectState.AWAITING_REVIEW:
            if choice == item["state"] and by == item.get("reviewed_by"):
                self.apply_exclusions(item, by=by)
                return item
            raise self._not_awaiting(item, choice)
        if given.seen is not None and given.seen != item.get("verdicts_hash"):
            raise _changed(project, choice)
        record = {
            "review_decision": str(choice),
            "reviewed_by": by,
            "reviewed_at": now(),
            "review_way": given.way,
            "review_comment": given.comment,
            "reviewed_hash": item.get("verdicts_hash"),
            "reviewed_thresholds": item.get("thresholds_version"),
            "reviewed_report": item.get("verdicts_key"),
            **self._chosen(project, choice, given.exclude, given.include),
        }
        fields = {**record, **(self.end_of_round(item) if choice == "rejected" else {})}
        why = given.comment or f"decided through {given.way}"
        move = Move(item, choice, why, fields, details=record, unchanged=("review_decision",))
        try:
            decided = self._write(move, by)
        except StateConflict:
            if given.way != BY_HAND:
                self.adopt_decision(project)
            raise self._not_awaiting(self.project(project), choice) from None
        self.apply_exclusions(decided, by=by)
        return decided

    def adopt_decision(self, project: str) -> dict[str, Any] | None:
        """Turn a `review_decision` typed into the PROJECT item by hand into a decision.

        Returns None when there is none, or none that can be understood (logged).
        """
        item = self.project(project)
        typed = item.get("review_decision")
        if item["state"] != ProjectState.AWAITING_REVIEW or not typed:
            return None
        try:
            given = _Given(
                _spelled(typed),
                by=str(item.get("reviewed_by") or "dynamodb console"),
                way=BY_HAND,
                comment=str(item.get("review_comment") or ""),
                exclude=set(_names(item.get("excluded"))),
                include=set(_names(item.get("include"))),
            )
            return self._decide(item, given)
        except InputError as error:
            log.warning("%s: the decision typed into DynamoDB is not usable: %s", project, error)
            return None
        except StateConflict as error:  # somebody decided, or typed, since we read the item
            log.warning("%s: %s", project, error)
            return None

    def decisions(self, project: str) -> list[dict[str, Any]]:
        """Return every decision that was taken on a project, the newest first.

        `stale` are those on verdicts that have changed since.
        """
        current = self.project(project).get("verdicts_hash")
        taken = [
            {**event["details"], "stale": event["details"].get("reviewed_hash") != current}
            for event in self.events(project)
            if event.get("details", {}).get("review_decision")
        ]
        return sorted(taken, key=lambda record: record["reviewed_at"], reverse=True)

    def apply_exclusions(self, item: Mapping[str, Any], *, by: str) -> None:
        """Bring the samples' states in line with the project's decision; harmless to repeat."""
        exclude, include = set(item.get("excluded") or ()), set(item.get("include") or ())
        if item["state"] == ProjectState.REJECTED or not exclude | include:
            return
        moves = []
        for sample in self.samples(item["project"]):
            if sample["sample"] in exclude and sample["state"] in (*QC_DONE, SampleState.ANALYSED):
                why = f"excluded by {item['reviewed_by']}"
                moves.append(Move(sample, SampleState.EXCLUDED, why))
            elif sample["sample"] in include and sample["state"] == SampleState.EXCLUDED:
                why = f"included again by {item['reviewed_by']}"
                moves.append(Move(sample, _VERDICT_STATES[sample["verdict"]], why))
        self.move_samples(moves, by=by)

    @staticmethod
    def cleared_decision(item: Mapping[str, Any]) -> dict[str, None]:
        """Return the changes that remove a decision's record from a PROJECT item."""
        return {name: None for name in _RECORD if name in item}

    @staticmethod
    def end_of_round(item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the changes that free a project of its run: the next run needs a new run id."""
        last = {"last_run_id": item["run_id"]} if item.get("run_id") else {}
        return {"round": item["round"] + 1, "run_id": None, **last}

    def _chosen(
        self, project: str, choice: str, exclude: set[str], include: set[str]
    ) -> dict[str, list[str]]:
        """Return `excluded` and `include`; samples excluded in earlier rounds stay so."""
        states = {sample["sample"]: sample["state"] for sample in self.samples(project)}
        unknown = sorted((exclude | include) - set(states))
        if unknown:
            raise InputError(
                f"project {project} has no sample {', '.join(unknown)}",
                "name samples as `python -m seqharvest.registry show` lists them",
            )
        if exclude & include:
            raise InputError(
                f"{', '.join(sorted(exclude & include))} of project {project} cannot be both"
                " excluded and included",
                "name each sample once",
            )
        earlier = {name for name, state in states.items() if state == SampleState.EXCLUDED}
        excluded = exclude | (earlier - include)
        if choice == ProjectState.APPROVED and states and excluded >= set(states):
            raise InputError(
                f"every sample of project {project} would be excluded", "reject the project instead"
            )
        return {"excluded": sorted(excluded), "include": sorted(include)}

    @staticmethod
    def _not_awaiting(item: Mapping[str, Any], choice: str) -> StateConflict:
        project = item["project"]
        if item.get("review_decision") in DECISIONS:
            return StateConflict(
                f"project {project} was not {choice}: {item.get('reviewed_by')} was first and"
                f" {item['review_decision']} it at {item.get('reviewed_at')}"
                f" through {item.get('review_way')}",
                f"it is {item['state']} now; clear a QC task to have it reviewed again",
            )
        if item["state"] == ProjectState.AWAITING_REVIEW:
            return _changed(project, choice)
        return StateConflict(
            f"project {project} was not {choice}: it does not await review, it is"
            f" {item['state']} since {item['state_since']}",
            "wait until its QC is done",
        )


@dataclass(frozen=True)
class _Given:
    """A decision as it was given."""

    choice: ProjectState
    by: str
    way: str
    comment: str = ""
    exclude: set[str] = field(default_factory=set)
    include: set[str] = field(default_factory=set)
    seen: str | None = None


def _changed(project: str, choice: str) -> StateConflict:
    return StateConflict(
        f"project {project} was not {choice}: its verdicts changed since you looked at them",
        "look at the new ones, and decide again",
    )


def _spelled(decision: Any) -> ProjectState:
    choice = _SPELLINGS.get(str(decision).strip().lower())
    if choice is None:
        raise InputError(f"{decision!r} is not a decision", "use 'approved' or 'rejected'")
    return choice


def _names(value: Any) -> list[str]:
    """Read samples as a person may have typed them: a list, a set, or text with commas."""
    if isinstance(value, str):
        return [name for name in value.replace(",", " ").split() if name]
    return [str(name) for name in value or ()]
