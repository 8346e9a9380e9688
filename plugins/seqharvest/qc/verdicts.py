"""Verdicts: a sample's metrics held against the versioned thresholds, with reasons in words."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import yaml

from seqharvest.errors import InputError
from seqharvest.settings import settings

THRESHOLDS = "snakemake_workflows/qc/config/thresholds.yaml"


class Verdict(IntEnum):
    """Ordered, so that the worst of several is their maximum."""

    PASS = 0
    WARN = 1
    FAIL = 2

    @property
    def word(self) -> str:
        """`pass`, `warn` or `fail`."""
        return self.name.lower()


@dataclass(frozen=True)
class Threshold:
    """Limits of one metric and the sentence a person reads when it is beyond them."""

    metric: str
    sentence: str  # with {value} and {release}
    hint: str
    unit: str  # "share" is shown as per cent
    required: bool
    warn_below: float | None = None
    fail_below: float | None = None
    warn_above: float | None = None
    fail_above: float | None = None

    def judge(self, value: float | None) -> tuple[Verdict, str]:
        """Verdict of a value and the limit it crossed, in words."""
        if value is None:
            return (
                (Verdict.FAIL, "it could not be measured") if self.required else (Verdict.PASS, "")
            )
        for verdict in (Verdict.FAIL, Verdict.WARN):
            below = getattr(self, f"{verdict.word}_below")
            above = getattr(self, f"{verdict.word}_above")
            if below is not None and value < below:
                return verdict, f"{verdict.word} below {self.show(below, limit=True)}"
            if above is not None and value > above:
                return verdict, f"{verdict.word} above {self.show(above, limit=True)}"
        return Verdict.PASS, ""

    def show(self, value: float, limit: bool = False) -> str:
        """Write a value with its unit: `7.1 %`, `101 nt`, `12,345`."""
        if self.unit == "share":
            return f"{100 * value:g} %" if limit else f"{_digits(100 * value)} %"
        if self.unit == "ratio":
            return f"{value:.2g}"
        text = f"{value:,.0f}"
        return f"{text} {self.unit}" if self.unit else text


@dataclass(frozen=True)
class Thresholds:
    """A version of the thresholds file.

    `project` are the limits of what is compared between samples; `assays` hold, by assay and
    metric, the limits that differ from the general ones.
    """

    version: str
    metrics: tuple[Threshold, ...]
    project: Mapping[str, float] = field(default_factory=dict)
    assays: Mapping[str, Mapping[str, Mapping[str, float | None]]] = field(default_factory=dict)

    def of_assay(self, assay: str) -> Thresholds:
        """The thresholds of an assay; those of all, where it has none of its own."""
        own = self.assays.get(assay, {})
        changed = (replace(t, **cast(Any, own.get(t.metric, {}))) for t in self.metrics)
        return replace(self, metrics=tuple(changed))

    def judge(
        self,
        metrics: Mapping[str, float | None],
        release: str,
        unmeasured: Collection[str] = (),
    ) -> Judgement:
        """Judge a sample: the worst verdict of its metrics, reasons worst first.

        Metrics that are `unmeasured` for a good reason are not judged, though they be required.
        """
        found = []
        for threshold in self.metrics:
            value = metrics.get(threshold.metric)
            if value is None and threshold.metric in unmeasured:
                continue
            verdict, limit = threshold.judge(value)
            found.append((verdict, threshold.metric, _reason(threshold, value, limit, release)))
        beyond = sorted((f for f in found if f[0] > Verdict.PASS), key=lambda f: -f[0])
        return Judgement(
            verdict=max((verdict for verdict, _, _ in found), default=Verdict.PASS),
            reasons=[reason for _, _, reason in beyond],
            by_metric={metric: verdict.word for verdict, metric, _ in found},
        )


@dataclass(frozen=True)
class Judgement:
    """What a sample is told."""

    verdict: Verdict
    reasons: list[str]
    by_metric: dict[str, str]


def load(path: Path | None = None) -> Thresholds:
    """Read a thresholds file; raise `InputError` naming the entry that its schema refuses."""
    path = path or default_path()
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"thresholds {path} cannot be read: {error}") from error
    _check(path, document)
    return Thresholds(
        version=document["version"],
        metrics=tuple(
            Threshold(
                metric=name,
                sentence=entry["sentence"],
                hint=entry.get("hint", ""),
                unit=entry.get("unit", ""),
                required=entry.get("required", False),
                **{limit: entry.get(limit) for limit in LIMITS},
            )
            for name, entry in document["metrics"].items()
        ),
        project={name: entry["value"] for name, entry in document["project"].items()},
        assays={
            assay: {
                metric: {limit: entry[limit] for limit in LIMITS if limit in entry}
                for metric, entry in metrics.items()
            }
            for assay, metrics in document.get("assays", {}).items()
        },
    )


LIMITS = ("warn_below", "fail_below", "warn_above", "fail_above")


def default_path() -> Path:
    """The file beside the QC workflow of this installation."""
    here = Path(__file__).parents[3] / THRESHOLDS
    return (
        here
        if here.exists()
        else Path(os.environ.get("SEQHARVEST_HOME", settings().home)) / THRESHOLDS
    )


def _check(path: Path, document: Any) -> None:
    from jsonschema import Draft202012Validator

    schema_path = path.parents[1] / "workflow/schemas/thresholds.schema.yaml"
    if not schema_path.exists():  # a deployment's own file, kept elsewhere
        schema_path = default_path().parents[1] / "workflow/schemas/thresholds.schema.yaml"
    validator = Draft202012Validator(yaml.safe_load(schema_path.read_text()))
    error = next(iter(validator.iter_errors(document)), None)
    if error is not None:
        where = ".".join(str(part) for part in error.path) or "the file"
        raise InputError(f"thresholds {path}, {where}: {error.message}")
    entries = {f"metrics.{name}": entry for name, entry in document["metrics"].items()}
    for assay, metrics in document.get("assays", {}).items():
        for name, entry in metrics.items():
            if name not in document["metrics"]:
                raise InputError(f"thresholds {path}, assays.{assay}.{name}: no such metric")
            entries[f"assays.{assay}.{name}"] = {**document["metrics"][name], **entry}
    for where, entry in entries.items():
        if not _ordered(entry):
            raise InputError(
                f"thresholds {path}, {where}: its limits are not in order",
                "order fail_below ≤ warn_below ≤ warn_above ≤ fail_above",
            )


def _ordered(entry: dict[str, Any]) -> bool:
    order = ("fail_below", "warn_below", "warn_above", "fail_above")
    limits = [entry[name] for name in order if entry.get(name) is not None]
    return limits == sorted(limits)


def _reason(threshold: Threshold, value: float | None, limit: str, release: str) -> str:
    if not limit:
        return ""
    shown = "unknown" if value is None else threshold.show(value)
    sentence = threshold.sentence.format(value=shown, release=release)
    hint = f": {threshold.hint}" if threshold.hint else ""
    return f"{sentence} ({limit}){hint}"


def _digits(percent: float) -> str:
    return f"{percent:.1f}" if percent >= 0.1 or percent == 0 else f"{percent:.2g}"
