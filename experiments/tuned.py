"""Selects the best temperature from stored runs, and writes the study with the selected temperatures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.cells import difference, score
from analysis.inference import Estimate, holm
from analysis.panel import Panel
from analysis.records import load_study
from analysis.statistic import level, mean
from imug_tts.contracts import ConfigurationError

__all__ = ["Best", "Rung", "Tuned", "best", "write_study"]

_SHOWN = 0.05
_TIE = 1e-12
"""Smaller differences of means are rounding errors."""


class Rung(NamedTuple):
    """The results of one temperature of an arm."""

    temperature: float
    mean: Estimate
    """The mean image score."""
    lead: Estimate | None
    """The best temperature's score minus this one's, paired by turn; None for the best temperature itself."""

    def __str__(self) -> str:
        text = f"  {self.temperature:g}: image score {score(self.mean)}"
        if self.lead is None:
            return f"{text}, the best"
        shown = self.lead.value > 0 and self.lead.p_adjusted < _SHOWN
        return f"{text}; the best is {difference(self.lead)} from it, {'shown' if shown else 'not shown'}"


class Best(NamedTuple):
    """The best temperature of an arm, among all that were tried."""

    temperature: float
    rungs: tuple[Rung, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.rungs))


@dataclass(frozen=True)
class Tuned:
    """An arm and its temperature."""

    arm: str
    """The arm as a choice of strategy=."""
    places: tuple[str, ...]
    """The paths of the temperature in the strategy."""
    temperature: float


def best(runs: Mapping[float, Path]) -> Best:
    """The temperature with the highest mean image score; the lowest one in case of a tie.

    Only turns that all runs scored are compared. A lead is "shown" if its p-value is below .05 after Holm
    adjustment over the temperatures of the arm; clusters are dialogues.

    Args:
        runs: the folder of the run at each temperature.

    Raises:
        StudyError: the records cannot be used.
        ConfigurationError: no image turn is scored in all runs.
    """
    panels = {temperature: Panel.of(load_study(folder)) for temperature, folder in sorted(runs.items())}
    grids = {temperature: panel.scores(panel.strategies[0]) for temperature, panel in panels.items()}
    scored = np.isfinite(np.stack(list(grids.values()))).all(axis=0)
    if not scored.any():
        raise ConfigurationError("no image turn has a score at every temperature, so none can be chosen")
    means = {temperature: float(grid[scored].mean()) for temperature, grid in grids.items()}
    chosen = min(t for t, value in means.items() if value >= max(means.values()) - _TIE)
    common = {temperature: np.where(scored, grid, np.nan) for temperature, grid in grids.items()}
    return Best(chosen, tuple(_rungs(panels[chosen], common, chosen)))


def _rungs(panel: Panel, grids: Mapping[float, npt.NDArray[np.float64]], chosen: float) -> Iterator[Rung]:
    others = [temperature for temperature in grids if temperature != chosen]
    levels = {f"mean {temperature}": level(grid) for temperature, grid in grids.items()}
    leads = {f"lead {temperature}": mean(grids[chosen] - grids[temperature]) for temperature in others}
    found = panel.inference("sample", 10_000, 0).estimates({**levels, **leads})
    adjusted = holm([found[f"lead {temperature}"] for temperature in others])
    lead = dict(zip(others, adjusted, strict=True))
    return (Rung(temperature, found[f"mean {temperature}"], lead.get(temperature)) for temperature in grids)


def write_study(conf: Path, tuned: Sequence[Tuned], command: str) -> Iterator[Path]:
    """Write each arm at its temperature, and the study of all of them, into a folder of configurations.

    Args:
        command: the command that selected the temperatures.

    Returns:
        The paths of the written files, one at a time.
    """
    for each in tuned:
        yield _write(conf / "strategy" / "tuned" / f"{each.arm}.yaml", _arm_text(each))
    yield _write(conf / "experiment" / "study_tuned.yaml", _study_text(tuned, command))


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)
    return path


def _arm_text(tuned: Tuned) -> str:
    lines = [
        f"# {tuned.arm} at its image temperature of experiment=study_tuned.",
        "defaults:",
        f"  - /strategy/{tuned.arm}@_here_",
        "  - _self_",
    ]
    for place in tuned.places:
        names = place.split(".")
        lines += [f"{'  ' * depth}{name}:" for depth, name in enumerate(names)]
        lines[-1] += f" {tuned.temperature}"
    return "\n".join(lines) + "\n"


def _study_text(tuned: Sequence[Tuned], command: str) -> str:
    choices = ", ".join(f"{each.arm} {each.temperature:g}" for each in tuned)
    arms = ",".join(f"tuned/{each.arm}" for each in tuned)
    return f"""# @package _global_
# Every strategy at the image temperature that is best for it on validation dialogues:
# {choices}. Chosen and written by
#   {command}
study: study_tuned
hydra:
  sweeper:
    params:
      strategy: {arms}
      history: own,gold
"""
