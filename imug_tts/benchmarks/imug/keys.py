"""Answer keys of turns from three more sources than benchmark.jsonl: image references, dynamic references,
grid truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from imug_tts.benchmarks.imug.datafiles import DataFiles, Place
from imug_tts.benchmarks.imug.records import (
    Cell,
    DynamicReference,
    GridTruth,
    ImageReferences,
    Reference,
    SampleName,
    SampleRecord,
    Task,
)
from imug_tts.dialogue import Modality
from imug_tts.scoring.mcq import DYNAMIC

__all__ = ["GRID_DOMAIN", "GRID_TASKS", "AnswerKeys", "grid_file"]

GRID_DOMAIN: Final = "Geometric_Coloring"
GRID_TASKS: Final = ("cubes_coloring", "cubes_completion", "cubes_synthesis")
"""The tasks of that domain whose drawings are scored by rule."""


class TurnName(NamedTuple):
    sample: SampleName
    turn: int

    def __str__(self) -> str:
        return f"turn {self.turn} of {self.sample}"


def grid_file(name: SampleName) -> str:
    """The file with a sample's grid truth, relative to the data folder."""
    return f"grid_gt/{name.domain}__{name.subdomain}__{name.sample_id}.jsonl"


@dataclass(frozen=True)
class AnswerKeys:
    """References and grid truth by turn."""

    references: Mapping[TurnName, list[Reference]]
    dynamic: Mapping[TurnName, list[int]]
    grids: Mapping[TurnName, list[list[Cell]]]

    @classmethod
    def read(cls, files: DataFiles, samples: Mapping[SampleName, SampleRecord], complete: bool) -> AnswerKeys:
        """Read the answer keys and collect problems.

        A reference to an unknown turn is a problem only if the samples are `complete`, i.e. all could be
        read.
        """
        tasks = {TurnName(name, task.turn): task for name, record in samples.items() for task in record.tasks}
        reader = _Reader(files, samples, tasks, complete)
        return cls(reader.references(), reader.dynamic(), reader.grids())

    def of(self, name: SampleName, task: Task) -> dict[str, Any]:
        """The answer key of a question, in plain values."""
        turn = TurnName(name, task.turn)
        if task.modality == "text":
            return {"answer": task.output.answer, "ref_turns": self.dynamic.get(turn, [])}
        key: dict[str, Any] = {
            "evaluation_points": task.output.evaluation_points,
            "references": [reference.model_dump() for reference in self.references.get(turn, [])],
        }
        return key | {"grid": self.grids[turn]} if turn in self.grids else key


@dataclass(frozen=True)
class _Reader:
    files: DataFiles
    samples: Mapping[SampleName, SampleRecord]
    tasks: Mapping[TurnName, Task]
    complete: bool

    def references(self) -> dict[TurnName, list[Reference]]:
        found: dict[TurnName, list[Reference]] = {}
        records = self.files.read_by_sample("image_references.jsonl", ImageReferences)
        for place, record in records.values():
            for index, link in enumerate(record.reference_links):
                turn, key = TurnName(record.name, link.turn_idx), f"reference_links[{index}]"
                if self._fits(place, f"{key}.turn_idx", turn, "image", found):
                    found[turn] = link.refs
                    for number, reference in enumerate(link.refs):
                        self._check(place, f"{key}.refs[{number}].ref_turn", turn, reference)
        return found

    def dynamic(self) -> dict[TurnName, list[int]]:
        found: dict[TurnName, list[int]] = {}
        posed = {turn for turn, task in self.tasks.items() if DYNAMIC in (task.output.answer or "")}
        for place, record in self.files.read("dynamic_references.jsonl", DynamicReference):
            turn = TurnName(record.name, record.turn_idx)
            if not self._fits(place, "turn_idx", turn, "text", found):
                continue
            found[turn] = sorted(record.ref_turn_idxs)
            if turn not in posed:
                self.files.say(place, "turn_idx", f"the answer of {turn} has no {DYNAMIC}")
            for index, number in enumerate(record.ref_turn_idxs):
                if number >= turn.turn:
                    self.files.say(
                        place, f"ref_turn_idxs[{index}]", f"is {number}; it must come before {turn}"
                    )
        self.files.problems.extend(
            f"dynamic_references.jsonl: no line for {turn}, whose answer in benchmark.jsonl is {DYNAMIC}"
            for turn in sorted(posed - found.keys())
        )
        return found

    def grids(self) -> dict[TurnName, list[list[Cell]]]:
        found: dict[TurnName, list[list[Cell]]] = {}
        for name in self._grid_samples():
            for place, truth in self.files.read(grid_file(name), GridTruth):
                turn = TurnName(name, truth.turn)
                if self._fits(place, "turn", turn, "image", found):
                    found[turn] = truth.grid
        return found

    def _grid_samples(self) -> list[SampleName]:
        """The samples that need a file of grid truth. Superfluous files are added to the problems."""
        files = {
            grid_file(n): n for n in self.samples if n.domain == GRID_DOMAIN and n.subdomain in GRID_TASKS
        }
        present = {f"grid_gt/{path.name}" for path in (self.files.folder / "grid_gt").glob("[!.]*.jsonl")}
        if self.complete:
            self.files.problems.extend(
                f"{file}: it belongs to no sample of benchmark.jsonl"
                for file in sorted(present - files.keys())
            )
        return [name for _, name in sorted(files.items())]

    def _fits(
        self, place: Place, key: str, turn: TurnName, modality: Modality, found: Mapping[TurnName, object]
    ) -> bool:
        """Whether a record can be about this turn; if not, the reason is added to the problems."""
        complaint = ""
        if turn in found:
            complaint = f"{turn} occurs twice"
        elif turn in self.tasks:
            given = self.tasks[turn].modality
            complaint = "" if given == modality else f"{turn} is answered by {given}, not by {modality}"
        elif self.complete:
            known = turn.sample in self.samples
            complaint = f"there is no {turn}" if known else f"{turn.sample} is not in benchmark.jsonl"
        if complaint:
            self.files.say(place, key, complaint)
        return turn in self.tasks and not complaint

    def _check(self, place: Place, key: str, turn: TurnName, reference: Reference) -> None:
        """Add a problem if the judge of this turn cannot be shown the referenced image."""
        kind, shown = reference.ref_type, TurnName(turn.sample, reference.ref_turn)
        task = self.tasks.get(shown)
        if shown.turn > turn.turn or (shown.turn == turn.turn and kind == "output"):
            self.files.say(place, key, f"is {shown.turn}; the {kind} of that turn comes after {turn}")
        elif task is not None and not _has_image(task, kind):
            self.files.say(place, key, f"is {shown.turn}; the {kind} of that turn has no image")


def _has_image(task: Task, kind: str) -> bool:
    return task.modality == "image" if kind == "output" else any("image" in part for part in task.input)
