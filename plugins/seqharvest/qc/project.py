"""A project's samples held against each other: likeness, outliers, duplicates, structure.

Quick counts are the unstranded fragments on genes of each sample's subsample, as log2 of shares of
the whole with `PRIOR` fragments added, over the genes with `FRAGMENTS` or more in the mean sample:
few genes with many fragments are compared instead of many with one each, whose chance would look
like distance (yeast replicates of 36,000 fragments: 2,000 genes 0.18, those with 10 or more 0.08).

- **correlation**: Pearson's, between samples, of these values.
- **distance**: 1 - the mean correlation with the `NEIGHBOURS` most similar samples. Not with all,
  as in GTEx's D-statistic: in a project of several tissues a rare tissue would be an outlier.
- **deviations**: (distance - median) / (1.4826 * median absolute deviation), the modified z-score
  of Iglewicz and Hoaglin (1993). An outlier is beyond `outlier_deviations` and also by
  `outlier_distance` farther than the median.
- **PCA**: of the `VARIABLE` most variable of these genes, centred (DESeq2's plotPCA).
- **duplicates**: the share of the smaller sample's sketch (see `subsample._Sketch`) that the other
  one has too; more than chance means the same reads under two accessions.
- **structure**: eta squared, the share of a component's variance that lies between the values of
  a property (layout, strandedness, read length, and what is recorded). A technical property that
  explains a component is a batch.

All limits are of `thresholds.yaml`, section `project`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

import numpy as np
import numpy.typing as npt

from seqharvest.qc import sex

#: In the mean sample. Ten are known to within a third; but at least and at most so many genes.
FRAGMENTS = 10
GENES = (200, 2_000)
VARIABLE = 500
NEIGHBOURS = 2
COMPONENTS = 4
#: Fragments added before the logarithm (edgeR's cpm: 2).
PRIOR = 2.0
#: A matrix of more samples is unreadable as a picture, and 1,500 squared are 15 MB as JSON.
MATRIX_SAMPLES = 150
#: Fewer hashes than this tell no share.
LEAST_HASHES = 16
#: A read that so many samples have is an adapter or a spike, not a sign of copying.
COMMON = 20
#: Metrics of which a sample may stand apart from the rest of its project.
COMPARED = {
    "gc_share": "GC",
    "unique_share": "uniquely mapped reads",
    "duplication_share": "duplicates",
    "exonic_share": "exonic bases",
    "coverage_5_to_3": "5' to 3' coverage",
}
#: So much is no difference, however uniform the others are.
LEAST_DIFFERENCE = 0.05

Numbers = npt.NDArray[np.float64]
Samples = Mapping[str, Mapping[str, Any]]


class QuickCounts:
    """Fragments by gene of many samples, kept as numbers: 1,500 human samples take 150 MB."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {}
        self._rows: dict[str, tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]] = {}

    def add(self, sample: str, genes: Iterable[str], counts: npt.ArrayLike) -> None:
        """Keep a sample's counts."""
        number = self._number
        places = np.array([number.setdefault(gene, len(number)) for gene in genes], dtype=np.int32)
        self._rows[sample] = (places, np.asarray(counts, dtype=np.float32))

    def total(self, sample: str) -> int:
        """Fragments of a sample on genes; 0 where nothing is known of it."""
        return int(self._rows[sample][1].sum()) if sample in self._rows else 0

    def expression(self, samples: Sequence[str]) -> Numbers:
        """Samples by genes: log2 of what the sample would have at the median depth."""
        rows = [self._rows[sample] for sample in samples]
        depth = float(np.median([counts.sum() for _, counts in rows]))
        scaled = [(places, depth * counts / counts.sum()) for places, counts in rows]
        mean = np.zeros(len(self._number))
        for places, values in scaled:
            mean[places] += values / len(rows)
        number = int(np.clip((mean >= FRAGMENTS).sum(), *GENES))
        chosen = np.sort(np.argsort(-mean, kind="stable")[:number])
        chosen = chosen[mean[chosen] > 0]
        column = np.full(len(self._number), -1)
        column[chosen] = np.arange(len(chosen))
        table = np.zeros((len(rows), len(chosen)))
        for i, (places, values) in enumerate(scaled):
            kept = column[places] >= 0
            table[i, column[places[kept]]] = values[kept]
        return np.asarray(np.log2(table + PRIOR))


@dataclass
class Findings:
    """What comparing a project's samples found."""

    warnings: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    exclude: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    comparison: dict[str, Any] = field(default_factory=dict)


def compare(
    samples: Samples,
    counts: QuickCounts,
    sketches: Mapping[str, frozenset[str]],
    recorded: Samples,
    limits: Mapping[str, float],
) -> Findings:
    """Compare a project's judged samples.

    `samples` are verdicts by sample, `sketches` hashes of reads, `recorded` what metadata say (sex,
    and any property to look for structure by).
    """
    found = Findings()
    _likeness(found, samples, counts, recorded, limits)
    _metrics(found, samples, limits)
    _strandedness(found, samples)
    _sex(found, samples, recorded)
    found.comparison["duplicates"] = _duplicates(found, sketches, limits)
    return found


def judge(
    samples: Samples, missing: Sequence[str], found: Findings, limits: Mapping[str, float]
) -> dict[str, Any]:
    """Verdict of the project and its reasons, from its samples' verdicts and the comparison."""
    failed = [name for name, row in samples.items() if row["verdict"] == "fail"]
    reasons = []
    verdict = "pass"
    if len(failed) > limits["failed_share"] * len(samples):
        verdict = "fail"
        reasons.append(
            f"{len(failed)} of {len(samples)} samples fail "
            f"(fail above {100 * limits['failed_share']:g} %): wrong reference for this series?"
        )
    elif failed:
        reasons.append(f"{len(failed)} of {len(samples)} samples fail")
    told = found.comparison
    for number, what in (
        (len(missing), "without QC"),
        (len(told["outliers"]), "unlike the others by expression"),
        (len(told["duplicates"]), "with the same reads under two accessions"),
        (len(told["strandedness"]["differ"]), "of another strandedness than most"),
        (len(told["sex"]["differ"]), "whose sex is not the recorded one"),
    ):
        if number:
            noun = "pair" if what.startswith("with the") else "sample"
            reasons.append(f"{number} {noun}{'s' if number > 1 else ''} {what}")
    for row in told["structure"]:
        if row["technical"]:
            reasons.append(
                f"{row['property'].replace('_', ' ')} explains {100 * row['share']:.0f} % of "
                f"component {row['component']}: a batch?"
            )
    if verdict == "pass" and reasons:
        verdict = "warn"
    return {"verdict": verdict, "reasons": reasons}


def _likeness(
    found: Findings,
    samples: Samples,
    counts: QuickCounts,
    recorded: Samples,
    limits: Mapping[str, float],
) -> None:
    totals = {name: counts.total(name) for name in samples}
    few = limits["least_fragments"]
    names = [
        name
        for name, row in samples.items()
        if row["verdict"] != "fail" and totals[name] >= few and totals[name] > 0
    ]
    left_out = {
        name: "failed by itself"
        if row["verdict"] == "fail"
        else f"{totals[name]:,} fragments on genes (at least {few:,.0f})"
        for name, row in samples.items()
        if name not in set(names)
    }
    told: dict[str, Any] = {
        "compared": len(names),
        "left_out": left_out,
        "genes": 0,
        "pca": {"explained": [], "points": {}},
        "distance": {},
        "outliers": [],
        "correlation": {"samples": [], "values": []},
        "structure": [],
    }
    found.comparison.update(told)
    if len(names) < NEIGHBOURS + 1:
        return
    values = counts.expression(names)
    correlation = _correlation(values)
    points, explained = principal_components(values)
    distance, nearest = distances(correlation)
    deviations = robust_deviations(distance)
    told["genes"] = values.shape[1]
    told["pca"] = {
        "explained": [round(float(share), 4) for share in explained],
        "points": {
            name: [round(float(x), 3) for x in row] for name, row in zip(names, points, strict=True)
        },
    }
    told["distance"] = {
        name: {
            "distance": round(float(distance[i]), 4),
            "deviations": round(float(deviations[i]), 2),
            "nearest": names[nearest[i]],
        }
        for i, name in enumerate(names)
    }
    median = float(np.median(distance))
    if len(names) >= limits["least_samples"]:
        for i in np.argsort(-distance):
            if (
                deviations[i] > limits["outlier_deviations"]
                and distance[i] - median > limits["outlier_distance"]
            ):
                _outlier(found, told, names[i], distance[i], median, deviations[i])
    told["correlation"] = _matrix(names, correlation, distance)
    told["structure"] = _structure(names, samples, recorded, points, explained, limits)
    found.comparison.update(told)


def _outlier(
    found: Findings,
    told: dict[str, Any],
    name: str,
    distance: float,
    median: float,
    deviations: float,
) -> None:
    # Identical replicates have no spread to measure by.
    much = f"{deviations:.0f} robust deviations" if deviations < 1_000 else "far"
    reason = (
        f"expression correlates {1 - distance:.2f} with its nearest samples, where the project's "
        f"median is {1 - median:.2f} ({much} beyond): swapped, or another tissue or treatment?"
    )
    told["outliers"].append(
        {
            "sample": name,
            "distance": round(float(distance), 4),
            "deviations": round(min(float(deviations), 1e6), 2),
        }
    )
    found.warnings[name].append(reason)
    found.exclude[name].append(reason)


def _correlation(values: Numbers) -> Numbers:
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.where(length > 0, length, 1)
    return np.asarray(np.clip(unit @ unit.T, -1, 1))


def distances(correlation: Numbers) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """Distance of each sample to its nearest ones, and the nearest one's number."""
    others = correlation.copy()
    np.fill_diagonal(others, -np.inf)
    nearest = np.argmax(others, axis=1)
    best = np.sort(others, axis=1)[:, -NEIGHBOURS:]
    return 1 - best.mean(axis=1), nearest


def robust_deviations(values: Numbers) -> Numbers:
    """How many robust standard deviations each value lies above the median."""
    median = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - median))
    return np.asarray((values - median) / max(float(spread), 1e-9))


def principal_components(values: Numbers) -> tuple[Numbers, Numbers]:
    """Coordinates of the samples on the first components, and the share each explains."""
    variance = values.var(axis=0)
    chosen = np.argsort(-variance, kind="stable")[:VARIABLE]
    centred = values[:, chosen] - values[:, chosen].mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    total = float((s**2).sum())
    points = (u * s)[:, :COMPONENTS]
    # The sign of a component is arbitrary: make it the same whenever it is computed.
    sign = np.sign(points[np.abs(points).argmax(axis=0), np.arange(points.shape[1])])
    points = points * np.where(sign == 0, 1, sign)
    return points, (s[:COMPONENTS] ** 2) / total if total else np.zeros(points.shape[1])


def _matrix(names: Sequence[str], correlation: Numbers, distance: Numbers) -> dict[str, Any]:
    """The correlations, ordered by likeness; above a limit the samples most apart and some more."""
    chosen = np.arange(len(names))
    if len(names) > MATRIX_SAMPLES:
        apart = np.argsort(-distance, kind="stable")
        half = MATRIX_SAMPLES // 2
        rest = apart[half:]
        spread = rest[np.linspace(0, len(rest) - 1, MATRIX_SAMPLES - half).astype(int)]
        chosen = np.sort(np.concatenate((apart[:half], spread)))
    part = correlation[np.ix_(chosen, chosen)]
    order = _chain(part)
    return {
        "samples": [names[chosen[i]] for i in order],
        "values": [[round(float(x), 3) for x in row] for row in part[np.ix_(order, order)]],
    }


def _chain(correlation: Numbers) -> list[int]:
    """An order in which each sample is followed by the most like it of those that are left."""
    left = correlation.copy()
    at = int(np.argmin(correlation.mean(axis=1)))  # from the edge, not from the middle
    order = [at]
    while len(order) < len(left):
        left[:, at] = -np.inf
        at = int(np.argmax(left[at]))
        order.append(at)
    return order


def _structure(
    names: Sequence[str],
    samples: Samples,
    recorded: Samples,
    points: Numbers,
    explained: Numbers,
    limits: Mapping[str, float],
) -> list[dict[str, Any]]:
    """Properties that explain a component that itself explains a tenth or more."""
    technical = {
        "layout": [str(samples[n].get("layout", "")) for n in names],
        "strandedness": [str(samples[n].get("strandedness", "")) for n in names],
        "read_length": [_length(samples[n]) for n in names],
    }
    fields = sorted({key for name in names for key in recorded.get(name, {})})
    given = {key: [str(recorded.get(n, {}).get(key, "")) for n in names] for key in fields}
    found = []
    for is_technical, properties in ((True, technical), (False, given)):
        for prop, values in properties.items():
            groups = Counter(values)
            # Groups of one explain everything and mean nothing.
            if len(groups) < 2 or min(groups.values()) < 2 or len(names) < limits["least_samples"]:
                continue
            for component in range(points.shape[1]):
                share = eta_squared(points[:, component], values)
                if explained[component] >= 0.1 and share >= limits["structure_share"]:
                    found.append(
                        {
                            "property": prop,
                            "component": component + 1,
                            "share": round(share, 3),
                            "technical": is_technical,
                            "groups": dict(groups),
                        }
                    )
    return found


def _length(row: Mapping[str, Any]) -> str:
    """The read length before trimming, near enough to call two libraries the same."""
    length = row["metrics"].get("read_length")
    return "" if length is None else f"{5 * round(length / 5)} nt"


def eta_squared(values: Numbers, groups: Sequence[str]) -> float:
    """Share of the variance that lies between the groups."""
    total = float(((values - values.mean()) ** 2).sum())
    if not total:
        return 0.0
    members = np.array(groups)
    between = 0.0
    for group in set(groups):
        own = values[members == group]
        between += len(own) * float(own.mean() - values.mean()) ** 2
    return between / total


def _metrics(found: Findings, samples: Samples, limits: Mapping[str, float]) -> None:
    """Warn of samples whose metric lies far from the median of their project and layout.

    Within a layout, because duplicates are found by one mate's start or by both.
    """
    judged = {n: row["metrics"] for n, row in samples.items() if row["verdict"] != "fail"}
    told: list[dict[str, Any]] = []
    layouts = sorted({samples[name].get("layout", "") for name in judged})
    for layout, metric in product(layouts, COMPARED):
        title = COMPARED[metric]
        names = [
            name
            for name, metrics in judged.items()
            if metrics.get(metric) is not None and samples[name].get("layout", "") == layout
        ]
        if len(names) < limits["least_samples"]:
            continue
        values = np.array([judged[n][metric] for n in names])
        median = float(np.median(values))
        deviations = robust_deviations(values)
        for name, value, deviation in zip(names, values, deviations, strict=True):
            apart = abs(value - median)
            if abs(deviation) > limits["metric_deviations"] and apart > LEAST_DIFFERENCE:
                shown = _shown(metric, value), _shown(metric, median)
                found.warnings[name].append(
                    f"{title}: {shown[0]}, where the project's median is {shown[1]} "
                    f"({_many(abs(deviation))} robust deviations)"
                )
                told.append(
                    {
                        "sample": name,
                        "metric": metric,
                        "deviations": round(float(np.clip(deviation, -1e6, 1e6)), 1),
                    }
                )
    found.comparison["metric_outliers"] = told


def _many(deviations: float) -> str:
    return f"{deviations:.0f}" if deviations < 1_000 else "over 1,000"


def _shown(metric: str, value: float) -> str:
    return f"{100 * value:.1f} %" if metric.endswith("_share") else f"{value:.2f}"


def _strandedness(found: Findings, samples: Samples) -> None:
    """Warn of samples whose strandedness differs from that of most."""
    known = {
        name: row["strandedness"]
        for name, row in samples.items()
        if row["metrics"].get("forward_share") is not None and row["verdict"] != "fail"
    }
    counts = Counter(known.values())
    most = counts.most_common(1)[0] if counts else ("", 0)
    differ: list[str] = []
    if len(known) > 2 and most[1] > len(known) / 2:
        for name, strand in known.items():
            if strand == most[0]:
                continue
            differ.append(name)
            share = samples[name]["metrics"]["forward_share"]
            found.warnings[name].append(
                f"{_library(strand)} ({100 * share:.0f} % of fragments on the gene's strand), "
                f"where {most[1]} of the project's {len(known)} samples are {_library(most[0])}: "
                "another library preparation?"
            )
    found.comparison["strandedness"] = {"counts": dict(counts), "differ": differ}


def _library(strand: str) -> str:
    return strand if strand == "unstranded" else f"{strand}-stranded"


def _sex(found: Findings, samples: Samples, recorded: Samples) -> None:
    """Warn of samples that express the genes of another sex than the recorded one."""
    differ = []
    for name, row in samples.items():
        said = sex.disagreement(row.get("sex"), str(recorded.get(name, {}).get("sex", "")))
        if said:
            differ.append(name)
            found.warnings[name].append(said)
    counts = Counter(row["sex"]["sex"] for row in samples.values() if row.get("sex"))
    found.comparison["sex"] = {"counts": dict(counts), "differ": differ}


def _duplicates(
    found: Findings, sketches: Mapping[str, frozenset[str]], limits: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Pairs of samples that have the same reads; the later one by name may be left out."""
    holders: dict[str, list[str]] = defaultdict(list)
    for name in sorted(sketches):
        for number in sketches[name]:
            holders[number].append(name)
    shared: Counter[tuple[str, str]] = Counter()
    own: Counter[str] = Counter()
    for names in holders.values():
        if len(names) <= COMMON:
            own.update(names)
            shared.update(combinations(names, 2))
    pairs = []
    for (first, second), common in sorted(shared.items()):
        smaller = min(own[first], own[second])
        share = common / smaller
        if smaller >= LEAST_HASHES and share > limits["duplicate_share"]:
            pairs.append({"samples": [first, second], "share": round(share, 3)})
            reason = f"has {100 * share:.0f} % of its reads in common with {{}}: the same sample?"
            found.warnings[first].append(reason.format(second))
            found.warnings[second].append(reason.format(first))
            found.exclude[second].append(reason.format(first))
    return pairs
