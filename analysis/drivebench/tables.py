"""Make the tables of `python -m analysis.drivebench`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np

from analysis.drivebench.estimates import CAPABILITIES, Cluster, Questions
from analysis.drivebench.grades import Group, Key
from analysis.inference import Estimate
from analysis.layout import Table, to_text
from analysis.notes import FEW_CLUSTERS
from analysis.phrases import fixed
from analysis.records import StudyError

__all__ = ["compare", "numbers_of", "questions_of", "show", "tables_of"]


def questions_of(
    groups: Sequence[Group], *, cluster: Cluster = "scene", resamples: int = 10_000
) -> Questions:
    """Return the questions of all groups.

    Raises:
        StudyError: groups were graded by different judges, or were asked different questions under one key.
    """
    scorers = {scorer: group.name for group in groups for scorer in group.scorers}
    if len(scorers) > 1:
        said = "; ".join(f"{name} by {scorer}" for scorer, name in scorers.items())
        raise StudyError(f"different judges graded the groups ({said}), so their points are not on one scale")
    _check_questions(groups)
    keys = tuple(sorted({key for group in groups for key in group.keys}))
    return Questions(keys=keys, cluster=cluster, resamples=resamples)


def tables_of(groups: Sequence[Group], questions: Questions, baseline: str | None = None) -> list[Table]:
    """Return the tables of capabilities, of kinds and, for several groups, of differences to the baseline.

    Args:
        baseline: the name of the group that differences are to; None for the first.

    Raises:
        StudyError: no group has the name of the baseline.
    """
    made = [_capabilities(groups, questions), _kinds(groups, questions)]
    return [*made, _differences(groups, questions, baseline)] if len(groups) > 1 else made


def show(
    groups: Sequence[Group],
    *,
    baseline: str | None = None,
    cluster: Cluster = "scene",
    numbers: Path | None = None,
) -> None:
    """Print the tables of the groups; write their numbers to the JSON file `numbers`, if it is given.

    Raises:
        StudyError: the groups cannot be compared, or no group has the name of the baseline.
    """
    questions = questions_of(groups, cluster=cluster)
    tables = tables_of(groups, questions, baseline)
    if numbers is not None:
        found = json.dumps(numbers_of(groups, questions), indent=1, allow_nan=False)
        numbers.write_text(f"{found}\n", encoding="utf-8")
    print("\n\n".join(map(to_text, tables)))


def compare(questions: Questions, group: Group, other: Group) -> dict[str, Estimate]:
    """Return paired differences in points, `group` minus `other`, by kind and as "average".

    Only questions for which both groups have points are used.
    """
    values = questions.of(group, "points") - questions.of(other, "points")
    return questions.means(values, is_bounded=False)


def numbers_of(groups: Sequence[Group], questions: Questions) -> dict[str, Any]:
    """Return points, accuracy, and points minus those of each other group, by group and kind, for JSON."""
    return {
        group.name: {
            "points": _json(questions.means(questions.of(group, "points"))),
            "accuracy": _json(questions.means(questions.of(group, "right"))),
            "less": {
                each.name: _json(compare(questions, group, each)) for each in groups if each is not group
            },
        }
        for group in groups
    }


def _json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: estimate.to_json() for name, estimate in estimates.items()}


def _check_questions(groups: Sequence[Group]) -> None:
    asked: dict[Key, tuple[str, str]] = {}
    for group in groups:
        for run in group.runs:
            for key, grade in run.items():
                there, name = asked.setdefault(key, (grade.asked, group.name)) if grade.asked else ("", "")
                if there != grade.asked:
                    raise StudyError(
                        f"{name} and {group.name} were asked different questions under the name "
                        f"{'/'.join(key)}; compare runs of the same records"
                    )


def _capabilities(groups: Sequence[Group], questions: Questions) -> Table:
    rows = []
    for group in groups:
        means = questions.means(questions.of(group, "points"))
        rows.append(
            (
                group.name,
                str(len(group.runs)),
                *(_cell(means.get(kind)) for kind in (*CAPABILITIES.values(), "average")),
                _spread(group, questions),
                _unscored(group, list(CAPABILITIES.values())),
            )
        )
    notes = [
        "The judge's points, 0 to 100. Reasoning is Drive-KD's name for the behavior questions. Average: the "
        "mean of the three capabilities. SD: standard deviation of the average over the runs of a group; the "
        "intervals do not cover it. In brackets: 95 % intervals, robust to clusters "
        f"({questions.cluster}s): Wilson's for means, CR1 t for differences; --json also writes bootstrap "
        "intervals over the clusters. Unscored answers are left out of all means."
    ]
    if questions.num_clusters < FEW_CLUSTERS:
        notes.append(
            f"Too few clusters ({questions.num_clusters} {questions.cluster}s < {FEW_CLUSTERS}): the "
            "intervals are unreliable."
        )
    notes += [f"{g.name} is the mean of {', '.join(g.folders)}." for g in groups if len(g.folders) > 1]
    benchmarks = sorted({benchmark for group in groups for benchmark in group.benchmarks})
    if len(benchmarks) > 1:
        notes.append(f"The groups answered different data or settings: {', '.join(benchmarks)}.")
    header = ("model", "runs", *CAPABILITIES, "average", "SD", "unscored")
    return Table(name="D1", title="Points by capability", header=header, rows=tuple(rows), notes=tuple(notes))


def _kinds(groups: Sequence[Group], questions: Questions) -> Table:
    rows = tuple(row for group in groups for row in _rows_of_kinds(group, questions))
    notes = (
        "Official: the points that the official code reads in the judge's first reply, and accuracy by its "
        "rule for letters. n/a: the official evaluation would stop with an error, because it cannot read a "
        "total in this number of replies.",
    )
    header = ("model, kind", "questions", "unscored", "points", "official", "accuracy", "official accuracy")
    return Table(name="D2", title="Points and accuracy by kind", header=header, rows=rows, notes=notes)


def _rows_of_kinds(group: Group, questions: Questions) -> Iterator[tuple[str, ...]]:
    points = questions.means(questions.of(group, "points"))
    right = questions.means(questions.of(group, "right"))
    for kind in questions.kinds:
        keys = [key for key in group.keys if key.kind == kind]
        if keys:
            yield (
                f"{group.name}, {kind}",
                str(len(keys)),
                _unscored(group, [kind]),
                _cell(points[kind]),
                _official_points(group, keys),
                _cell(right[kind]),
                _plain_mean([value for key in keys for value in group.values(key, "official_right")]),
            )


def _differences(groups: Sequence[Group], questions: Questions, baseline: str | None) -> Table:
    names = [group.name for group in groups]
    if baseline is not None and baseline not in names:
        raise StudyError(f"there is no group {baseline!r}; the groups are {', '.join(names)}")
    other = groups[names.index(baseline) if baseline is not None else 0]
    rows = []
    for group in groups:
        if group is not other:
            found = compare(questions, group, other)
            kinds = (*CAPABILITIES.values(), "average")
            rows.append((group.name, *(_cell(found.get(kind), sign=True) for kind in kinds)))
    notes = (
        "Paired: only questions for which both groups have points. Intervals as above, clustered by "
        f"{questions.cluster}.",
    )
    return Table(
        name="D3",
        title=f"Points minus those of {other.name}",
        header=("model", *CAPABILITIES, "average"),
        rows=tuple(rows),
        notes=notes,
    )


def _cell(estimate: Estimate | None, *, sign: bool = False) -> str:
    """Return an estimate in points with its interval, e.g. "43.1 [40.2, 46.0]"; "-" if it is undefined."""
    if estimate is None or not estimate.is_defined:
        return "-"
    ends = (estimate.low, estimate.high)
    interval = f" [{', '.join(fixed(100 * end, 1) for end in ends)}]" if all(map(math.isfinite, ends)) else ""
    return f"{fixed(100 * estimate.value, 1, sign=sign)}{interval}"


def _spread(group: Group, questions: Questions) -> str:
    """Return the standard deviation over runs of each run's average; "-" if it is undefined."""
    averages = []
    for run in group.runs:
        by_kind = [
            [g.points for key, g in run.items() if key.kind == kind and g.points is not None]
            for kind in CAPABILITIES.values()
        ]
        averages.append(float(np.mean([np.mean(each) if each else math.nan for each in by_kind])))
    known = [average for average in averages if math.isfinite(average)]
    return fixed(100 * stdev(known), 1) if len(known) == len(averages) > 1 else "-"


def _unscored(group: Group, kinds: Sequence[str]) -> str:
    """Return the number of answers without points, of all planned answers of all runs, e.g. "3/120"."""
    grades = [grade for run in group.runs for key, grade in run.items() if key.kind in kinds]
    return f"{sum(grade.points is None for grade in grades)}/{len(grades)}"


def _official_points(group: Group, keys: Sequence[Key]) -> str:
    values = [value for key in keys for value in group.values(key, "official_points")]
    unread = sum(map(math.isnan, values))
    return f"n/a ({unread} unread)" if unread else _plain_mean(values)


def _plain_mean(values: Sequence[float]) -> str:
    return fixed(100 * sum(values) / len(values), 2) if values else "-"
