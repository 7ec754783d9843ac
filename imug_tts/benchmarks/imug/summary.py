"""Summaries of scores in percent: the official one, and ours with missing turns.

Both are means overall, by domain, by class and by turn, over all, text and image turns; every turn has equal
weight. The official summary (https://github.com/ccccEsion/IMUG-Bench) is reproduced to the byte. It contains
scored turns only. Ours adds the number of planned turns to each mean, and the mean's bounds if all missing
turns scored 0 or all 100.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from imug_tts.benchmarks.imug.domains import class_of
from imug_tts.benchmarks.imug.scores import MAX_POINT, Place, Record, as_official, place_of
from imug_tts.dialogue import Sample
from imug_tts.files import write_atomically

__all__ = ["Summary", "official_summary", "summary_with_missing"]

Cell = dict[str, Any]
Group = dict[str, Cell]
"""The cells of a group by modality."""

_MODALITIES: Final = ("all", "text", "image")
_TABLES: Final[Mapping[str, Callable[[Place], Any]]] = {
    "overall": lambda place: "Overall",
    "by_domain": lambda place: place.domain,
    "by_class": lambda place: class_of(place.domain).replace("_", " ").title(),
    "by_turn": lambda place: place.turn,
}


class Summary(NamedTuple):
    """A summary as plain JSON values and as Markdown."""

    content: dict[str, Any]
    markdown: str

    def write(self, folder: Path, name: str = "summary") -> None:
        """Write `name`.json and `name`.md.

        Raises:
            StorageError: a file could not be written.
        """
        write_atomically(folder / f"{name}.json", json.dumps(self.content, indent=2).encode())
        write_atomically(folder / f"{name}.md", self.markdown.encode())


class _Turn(NamedTuple):
    place: Place
    modality: str
    percent: float | None
    """The score in percent; None if it is missing."""


def official_summary(scores: Mapping[str, Sequence[Record]]) -> Summary:
    """The official summary of each model's scored turns."""
    turns = {model: _scored(as_official(scores[model])) for model in sorted(scores)}
    return _summary(turns, _mean_and_count, _two_places)


def summary_with_missing(scores: Mapping[str, Sequence[Record]], samples: Iterable[Sample]) -> Summary:
    """The summary with planned turns, and with the bounds due to missing turns.

    Planned are all turns of `samples`. Scores of other turns are omitted with a warning; of a turn that is
    scored twice, the last score counts.
    """
    planned = [
        _Turn(Place(sample.domain, sample.task, sample.sample_id, question.number), question.modality, None)
        for sample in samples
        for question in sample.questions
    ]
    turns = {model: _with_missing(model, scores[model], planned) for model in sorted(scores)}
    return _summary(turns, _mean_and_bounds, _mean_in_bounds)


def _scored(records: Iterable[Record]) -> list[_Turn]:
    """The scored turns, images first, as the official summary reads them: the last bit of a sum depends on
    the order.
    """
    turns = [
        _Turn(place_of(record), record["modality"], _percent(record))
        for record in records
        if record["outcome"] == "scored"
    ]
    return sorted(turns, key=lambda turn: turn.modality != "image")


def _percent(record: Record) -> float:
    """The score in percent. For images it is computed from the points, so that the last bit is the official
    one.
    """
    if record["modality"] == "text":
        return float(record["score"]) * 100
    points = [float(point) for point in record["score_detail"]["points"]]
    return sum(points) / len(points) * (100 // MAX_POINT)


def _with_missing(model: str, records: Iterable[Record], planned: Iterable[_Turn]) -> list[_Turn]:
    """The scored turns in their order, followed by the planned turns without a score."""
    missing = {(turn.place, turn.modality): turn for turn in planned}
    scored, strange = {}, []
    for turn in _scored(records):
        key = turn.place, turn.modality
        if missing.pop(key, None) or key in scored:
            scored[key] = turn
        else:
            strange.append(turn.place)
    if strange:
        warnings.warn(
            f"scores of {model}: {len(strange)} belong to no turn of this benchmark and are omitted, "
            f"the first one to {strange[0]}",
            stacklevel=4,
        )
    return [*scored.values(), *missing.values()]


def _summary(
    models: Mapping[str, Sequence[_Turn]],
    cell: Callable[[Sequence[_Turn]], Cell],
    show: Callable[[Cell], str],
) -> Summary:
    content: dict[str, Any] = {}
    lines: list[str] = []
    for model, turns in models.items():
        tables = {name: _grouped(turns, group_of, cell) for name, group_of in _TABLES.items()}
        content[model] = {**tables, "overall": tables["overall"].get("Overall", {})}
        lines += [f"# {model}", *(line for name in tables for line in _table(name, tables[name], show)), ""]
    return Summary({"score_unit": "percentage", "models": content}, "\n".join(lines))


def _grouped(
    turns: Iterable[_Turn], group_of: Callable[[Place], Any], cell: Callable[[Sequence[_Turn]], Cell]
) -> dict[Any, Group]:
    groups: dict[Any, dict[str, list[_Turn]]] = {}
    for turn in turns:
        group = groups.setdefault(group_of(turn.place), {modality: [] for modality in _MODALITIES})
        group["all"].append(turn)
        group[turn.modality].append(turn)
    return {
        name: {modality: cell(members) for modality, members in groups[name].items()}
        for name in sorted(groups)
    }


def _mean_and_count(turns: Sequence[_Turn]) -> Cell:
    percents = [turn.percent for turn in turns if turn.percent is not None]
    mean = round(sum(percents) / len(percents), 2) if percents else None
    return {"mean": mean, "count": len(percents)}


def _mean_and_bounds(turns: Sequence[_Turn]) -> Cell:
    total = sum(turn.percent for turn in turns if turn.percent is not None)
    missing = sum(turn.percent is None for turn in turns)
    bounds = [round((total + worst * missing) / len(turns), 2) if turns else None for worst in (0, 100)]
    lowest, highest = bounds
    return {**_mean_and_count(turns), "planned": len(turns), "lowest": lowest, "highest": highest}


def _table(name: str, groups: Mapping[Any, Group], show: Callable[[Cell], str]) -> list[str]:
    rows = [
        f"| {group} | {' | '.join(show(cells[modality]) for modality in _MODALITIES)} |"
        for group, cells in groups.items()
    ]
    title = name.replace("_", " ").title()
    return [f"## {title}", "| Group | All | Text | Image |", "| --- | ---: | ---: | ---: |", *rows]


def _two_places(cell: Cell) -> str:
    return "-" if cell["mean"] is None else f"{cell['mean']:.2f}"


def _mean_in_bounds(cell: Cell) -> str:
    """A cell such as "49.19 [38.26, 60.48] 7/9": without bounds if nothing is missing, "-" without turns."""
    if not cell["planned"]:
        return "-"
    bounds = f" [{cell['lowest']:.2f}, {cell['highest']:.2f}]" if cell["count"] < cell["planned"] else ""
    return f"{_two_places(cell)}{bounds} {cell['count']}/{cell['planned']}"
