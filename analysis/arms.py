"""The arms of a study: which runs count, and the name of each arm.

An arm is a strategy together with its whole configuration, except history, seed and the choice of dialogues.
Runs of one arm on different dialogues are parts of that arm.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations, takewhile
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from analysis.names import arm_name, swapped
from imug_tts.records import Manifest, digest

__all__ = ["arm_names", "history_names", "runs_left_out"]

_T = TypeVar("_T")
_Path = tuple[str, ...]
_Leaves = Mapping[_Path, Any]

_MOST_SETTINGS = 4
"""If arms of one label differ in more settings than this, their names show the arm's hash instead of the
settings.
"""

_NONE_BY_DEFAULT = ("budget", "roles")
"""Sections of a configuration whose knobs default to none: no limit, no other model."""
_SCORERS = (("roles", "scorer"), ("scorer",))
"""Places in a configuration that name the scoring model; the second is the place in version 0.1."""


class _Arm(NamedTuple):
    """The runs that are parts of one arm, and the configuration leaves that these runs share."""

    runs: list[Manifest]
    leaves: _Leaves


def runs_left_out(runs: Sequence[Manifest], outcomes: Mapping[Path, Counter[str]]) -> dict[Path, str]:
    """Find the runs that are not counted, because another run holds the same turns.

    Args:
        outcomes: how many turns of each run ended with each outcome, by the run's folder.

    Returns:
        A sentence with the reason, by the run's folder.
    """
    told = {run.folder: sentence for run, sentence in _repeated(runs, outcomes)}
    others = [run for run in runs if run.folder not in told]
    return told | {run.folder: sentence for run, sentence in _unscored_twins(others, outcomes)}


def arm_names(runs: Iterable[Manifest]) -> dict[Path, str]:
    """The name of each run's arm, by the run's folder.

    The name is the strategy's label. The settings follow in which arms of that label differ, and those in
    which any arms of the study differ although scores depend on them whatever the strategy is.
    """
    by_label: dict[str, list[_Arm]] = defaultdict(list)
    for same in _grouped(runs, lambda run: run.arm).values():
        by_label[same[0].strategy] += _arms(same)
    every = [arm.leaves for arms in by_label.values() for arm in arms]
    shared = [path for path in _paths(every) if _is_shared(path) and _differs(path, every)]
    names: dict[Path, str] = {}
    for label, arms in by_label.items():
        for arm, settings in zip(arms, _settings(arms, shared, every), strict=True):
            names |= {run.folder: arm_name(label, settings) for run in arm.runs}
    return names


def history_names(runs: Iterable[Manifest], names: Mapping[Path, str]) -> dict[Path, str]:
    """The name of each run's history, by the run's folder.

    A swapped history is named after the arm that produced it. If an arm answered the same dialogues on
    several runs of that producing arm, the run whose seed equals its own keeps the plain name; the names of
    the others also state the producing run.
    """
    known = list(runs)
    sources = {run.run: run for run in known}
    found = {run.folder: str(run.history) for run in known}
    by_arm: dict[tuple[str, int, str], list[Manifest]] = defaultdict(list)
    for run in known:
        if run.history == "swap":
            source = sources.get(_source(run))
            found[run.folder] = swapped(_source(run) if source is None else names[source.folder])
            by_arm[names[run.folder], run.seed, found[run.folder]].append(run)
    for rivals in by_arm.values():
        for run in _without_plain_name(rivals, sources):
            found[run.folder] = f"{found[run.folder]} ({_source(run)})"
    return found


def _source(run: Manifest) -> str:
    """The name of the run whose outputs form a swapped history. In `history_from` that run's identity follows
    a colon.
    """
    return Path(run.history_from.partition(":")[0]).name


def _without_plain_name(rivals: Sequence[Manifest], sources: Mapping[str, Manifest]) -> Iterator[Manifest]:
    def is_stranger(run: Manifest) -> bool:
        source = sources.get(_source(run))
        return source is None or source.seed != run.seed

    taken: list[Manifest] = []
    for run in sorted(rivals, key=is_stranger):
        if any(_share_dialogues(run, other) for other in taken):
            yield run
        else:
            taken.append(run)


def _repeated(
    runs: Sequence[Manifest], outcomes: Mapping[Path, Counter[str]]
) -> Iterator[tuple[Manifest, str]]:
    """Pairs (run, reason) of runs that duplicate another run in every part of its identity."""
    for same in _grouped(runs, _identity).values():
        first, *others = sorted(same, key=lambda run: _answered(outcomes[run.folder]), reverse=True)
        for run in others:
            yield run, f"{run.folder} and {first.folder} hold the same run; only the latter is counted"


def _identity(run: Manifest) -> Any:
    return (
        *(run.arm, digest(run.models), digest(run.selection), run.history, run.history_from, run.seed),
        *(run.benchmark, run.backbone, run.planned),
    )


def _answered(outcomes: Counter[str]) -> tuple[int, int]:
    return outcomes["scored"], outcomes["unscored"]


def _unscored_twins(
    runs: Sequence[Manifest], outcomes: Mapping[Path, Counter[str]]
) -> Iterator[tuple[Manifest, str]]:
    """Pairs (run, reason) of runs with unscored turns, if another run holds the same answers with scores."""
    for same in _grouped(runs, _apart_from_scorer).values():
        for run in same:
            waiting = outcomes[run.folder]["unscored"]
            better = (
                r
                for r in same
                if outcomes[r.folder]["unscored"] < waiting
                and outcomes[r.folder]["scored"]
                and _share_dialogues(r, run)
            )
            if twin := next(better, None):
                yield (
                    run,
                    f"{run.folder}: {waiting} turns have no score yet; {twin.folder} holds the same run "
                    "with scores and is counted instead",
                )


def _apart_from_scorer(run: Manifest) -> Any:
    leaves = {
        path: value
        for path, value in _leaves(run.arm_identity).items()
        if not any(path[: len(place)] == place for place in _SCORERS)
    }
    return run.strategy, run.history, run.history_from, run.seed, repr(sorted(leaves.items()))


def _share_dialogues(run: Manifest, other: Manifest) -> bool:
    return not set(run.planned).isdisjoint(other.planned)


def _arms(runs: Sequence[Manifest]) -> Iterator[_Arm]:
    """The arms among runs of one configuration. They differ in model weights or in the selected dialogues.

    Runs on different dialogues are parts of one arm, unless runs with equal history and seed share dialogues.
    """
    by_models = _grouped(runs, lambda run: digest(run.models)).values()
    for same in by_models:
        models = same[0].models if len(by_models) > 1 else {}
        by_place = _grouped(same, lambda run: (run.history, run.history_from, run.seed)).values()
        rivals = [pair for place in by_place for pair in combinations(place, 2) if _share_dialogues(*pair)]
        keys = _telling_keys([_differing(*pair) for pair in rivals])
        more: dict[_Path, Any] = {("models", place): model for place, model in models.items()}
        for picked, parts in _grouped(same, partial(_picked, keys)).items():
            yield _Arm(parts, _leaves(parts[0].arm_identity) | more | dict(picked))


def _picked(keys: Sequence[str], run: Manifest) -> tuple[tuple[_Path, str], ...]:
    return tuple((("selection", key), _shown(run.selection.get(key), "default")) for key in keys)


def _differing(run: Manifest, other: Manifest) -> set[str]:
    keys = run.selection.keys() | other.selection.keys()
    return {key for key in keys if run.selection.get(key) != other.selection.get(key)}


def _telling_keys(differences: Sequence[set[str]]) -> list[str]:
    """A small set of keys that hits every nonempty set in `differences` (greedy hitting set), sorted."""
    chosen: list[str] = []
    left = [keys for keys in differences if keys]
    while left:
        counts = Counter(sorted(key for keys in left for key in keys))
        chosen.append(counts.most_common(1)[0][0])
        left = [keys for keys in left if chosen[-1] not in keys]
    return sorted(chosen)


def _settings(
    arms: Sequence[_Arm], shared: Sequence[_Path], every: Sequence[_Leaves]
) -> Iterator[list[tuple[str, str]]]:
    """The (name, value) pairs of the settings that the names of arms of one label state, a list for each arm.

    They are those in which these arms differ, and `shared` ones, in which arms of the whole study differ.
    """
    own = [arm.leaves for arm in arms]
    differing = [path for path in _paths(own) if _differs(path, own)]
    paths = sorted({*differing, *shared}, key=_name_first)
    short, values = _short_names(paths), {path: _short_values(path, every) for path in paths}
    for arm in arms:
        if len(paths) > _MOST_SETTINGS:
            yield [("arm", arm.runs[0].arm.rpartition("#")[2])]
        else:
            applying = [path for path in paths if _applies(path, arm.leaves, every)]
            yield [
                (short[path], values[path].get(repr(arm.leaves.get(path)), _default(path)))
                for path in applying
            ]


def _paths(arms: Sequence[_Leaves]) -> list[_Path]:
    return sorted({path for leaves in arms for path in leaves}, key=_name_first)


def _is_shared(path: _Path) -> bool:
    """Whether every arm has the setting, whatever its strategy is, and scores depend on it."""
    return path[0] in ("backbone", "benchmark", "budget") or any(
        path[: len(place)] == place for place in _SCORERS
    )


def _short_values(path: _Path, arms: Sequence[_Leaves]) -> dict[str, str]:
    """Return how each value of a leaf is shown. Of file paths, parts that all share at start or end are left
    out.
    """
    values = {repr(leaves[path]): leaves[path] for leaves in arms if path in leaves}
    pieces = [str(value).split("/") for value in values.values() if isinstance(value, str)]
    if len(pieces) != len(values) or len(values) < 2 or min(map(len, pieces)) < 2:
        return {key: _shown(value, _default(path)) for key, value in values.items()}
    start = _num_shared(pieces)
    rest = {key: str(value).split("/")[start:] for key, value in values.items()}
    end = _num_shared([parts[::-1] for parts in rest.values()])
    return {key: _shown("/".join(parts[: len(parts) - end]), "") for key, parts in rest.items()}


def _num_shared(lists: Sequence[Sequence[str]]) -> int:
    """Return how many leading items all lists share; the last item of a list never counts."""
    columns = zip(*(items[:-1] for items in lists), strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _name_first(path: _Path) -> tuple[_Path, bool, str]:
    """A sort key that puts a component's name before its knobs."""
    return path[:-1], path[-1] != "name", path[-1]


def _differs(path: _Path, arms: Sequence[_Leaves]) -> bool:
    """Return whether two arms with the same components around a leaf have different values of it.

    Arms with different components are not compared, because the names of the components already differ.
    """
    by_place = _grouped(arms, lambda leaves: _components(path, leaves)).values()
    return any(len({repr(leaves.get(path)) for leaves in same}) > 1 for same in by_place)


def _applies(path: _Path, leaves: _Leaves, arms: Sequence[_Leaves]) -> bool:
    """Return whether a configuration leaf (`path`) applies to the arm whose leaves are `leaves`.

    It applies if the arm sets it, or if the arm has the same component as another arm that sets it; the arm
    then has its default.
    """
    if path in leaves or path[0] in ("models", "selection"):
        return path in leaves
    place = _components(path, leaves)
    return any(path in other and _components(path, other) == place for other in arms)


def _components(path: _Path, leaves: _Leaves) -> tuple[Any, ...]:
    """The names of the components that contain the leaf, outermost first."""
    names = ((*path[:depth], "name") for depth in range(len(path)))
    return tuple(leaves.get(name) for name in names if name != path)


def _short_names(paths: Sequence[_Path]) -> dict[_Path, str]:
    """A short name for each path: its last two keys, or all keys if two paths have the same last two."""
    whole = {path: _spoken(path) for path in paths}
    counts = Counter(keys[-2:] for keys in whole.values())
    return {path: ".".join(keys[-2:] if counts[keys[-2:]] == 1 else keys) for path, keys in whole.items()}


def _spoken(path: _Path) -> _Path:
    """The path without the key "name" of a component and without the leading key "selection"."""
    keys = path[:-1] if path[-1] == "name" else path
    return keys[1:] if keys[0] == "selection" else keys


def _leaves(value: Any, path: _Path = ()) -> dict[_Path, Any]:
    """The leaf values of nested mappings, by path. Null values are dropped because null means unset."""
    if isinstance(value, Mapping):
        nested = value.items()
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        nested = dict(enumerate(value)).items()
    else:
        return {} if value is None else {path: value}
    return {p: leaf for key, item in nested for p, leaf in _leaves(item, (*path, str(key))).items()}


def _default(path: _Path) -> str:
    return "none" if path[0] in _NONE_BY_DEFAULT else "default"


def _shown(value: Any, missing: str) -> str:
    if value is None:
        return missing
    if isinstance(value, list):
        return "-".join(_shown(item, missing) for item in value) or "none"
    return str(value).lower() if isinstance(value, bool) else re.sub(r"\s+", "_", str(value))


def _grouped(items: Iterable[_T], key: Callable[[_T], Any]) -> dict[Any, list[_T]]:
    """The items grouped by key, in order of first appearance."""
    found: dict[Any, list[_T]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found
