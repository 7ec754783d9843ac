"""The turns of a study, read from manifest.json and turns.jsonl of its runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imug_tts.records import read_turns

Floats = npt.NDArray[np.float64]
Sample = tuple[str, str, str, str]
"""Class, domain, task and id of a dialogue."""


class Turn(NamedTuple):
    """One line of turns.jsonl, or one planned turn, with the arm that it belongs to."""

    strategy: str
    history: str
    seed: int
    sample: Sample
    number: int
    modality: str
    line: dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """The planned and the recorded turns of all runs below a folder."""

    planned: list[Turn]
    recorded: list[Turn]

    @property
    def samples(self) -> list[Sample]:
        return sorted({turn.sample for turn in self.planned})

    @property
    def num_turns(self) -> int:
        return max(turn.number for turn in self.planned)

    @property
    def strategies(self) -> list[str]:
        return sorted({turn.strategy for turn in self.planned})


def read(folder: Path) -> Stored:
    """Read every run below `folder`; arms must differ in their labels."""
    found = Stored([], [])
    configurations: dict[str, str] = {}
    for path in sorted(folder.glob("*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        label = manifest["strategy"]
        known = json.dumps(manifest["arm_identity"], sort_keys=True)
        if configurations.setdefault(label, known) != known:
            raise ValueError(
                f"{path}: several arms are called {label!r}; recompute each in a study of its own"
            )
        found.planned.extend(_planned(manifest))
        found.recorded.extend(_recorded(path.parent))
    if not found.planned:
        raise ValueError(f"{folder}: no runs below it")
    return found


def _planned(manifest: dict[str, Any]) -> Iterator[Turn]:
    for dialogue in manifest["planned"]:
        for number, modality in enumerate(dialogue["modalities"], 1):
            arm = manifest["strategy"], manifest["history"], manifest["seed"]
            yield Turn(*arm, _sample(dialogue), number, modality, {})


def _recorded(path: Path) -> Iterator[Turn]:
    for _, line in read_turns(path):
        arm = line["strategy"], line["history"], line["seed"]
        yield Turn(*arm, _sample(line), line["turn"], line["modality"], line)


def _sample(fields: dict[str, Any]) -> Sample:
    return fields["class"], fields["domain"], fields["task"], str(fields["sample_id"])


class Grids:
    """Scores averaged over seeds, in arrays of shape (samples, turns); NaN where there is none."""

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.samples = stored.samples
        self.shape = len(self.samples), stored.num_turns
        self.row = {sample: index for index, sample in enumerate(self.samples)}

    def counts(self, strategy: str, history: str, modality: str) -> Floats:
        """Planned turns of each cell, one per seed."""
        cells = np.zeros(self.shape)
        for turn in self.stored.planned:
            if (turn.strategy, turn.history, turn.modality) == (strategy, history, modality):
                cells[self.row[turn.sample], turn.number - 1] += 1
        return cells

    def scored(
        self, strategy: str, history: str, modality: str, what: str = "score"
    ) -> tuple[Floats, Floats]:
        """Sums of the scores of each cell, and how many there are."""
        sums, counts = np.zeros(self.shape), np.zeros(self.shape)
        for turn in self.stored.recorded:
            if (turn.strategy, turn.history, turn.modality) == (strategy, history, modality):
                value = _value(turn.line, what)
                if value is not None:
                    cell = self.row[turn.sample], turn.number - 1
                    sums[cell] += value
                    counts[cell] += 1
        return sums, counts

    def mean(self, strategy: str, history: str, modality: str = "image", what: str = "score") -> Floats:
        sums, counts = self.scored(strategy, history, modality, what)
        return np.where(counts > 0, sums / np.where(counts > 0, counts, 1), np.nan)

    def image_design(self, *histories: str) -> npt.NDArray[np.bool_]:
        """Image turns that some arm planned on each of the histories; none of gold at turn 1.

        Those of own history are all image turns of the dialogues.
        """
        planned = {history: np.zeros(self.shape, dtype=bool) for history in ("own", *histories)}
        for turn in self.stored.planned:
            if turn.modality == "image":
                cell = self.row[turn.sample], turn.number - 1
                planned["own"][cell] = True
                if turn.history in planned and turn.number > 1:
                    planned[turn.history][cell] = True
        return np.asarray(np.logical_and.reduce([planned[history] for history in histories]), dtype=bool)

    @property
    def last_image_turn(self) -> npt.NDArray[np.int64]:
        turns = np.arange(1, self.shape[1] + 1)
        return np.asarray((self.image_design("own") * turns).max(axis=1), dtype=np.int64)


def _value(line: dict[str, Any], what: str) -> float | None:
    detail = line["score_detail"] or {}
    if line["score"] is None:
        return None
    if what == "step":
        step: float | None = detail.get("step_score")
        return step
    if what in ("static", "dynamic") and bool(detail.get("dynamic", False)) != (what == "dynamic"):
        return None
    return float(line["score"])
