"""One progress bar for all runs of a study, drawn by tqdm: a widget in a notebook, a line on a terminal."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from imug_tts.contracts import PlannedRun, Record, Summary, Tracker
from imug_tts.knobs import component
from imug_tts.tracking.progress import Progress

__all__ = ["BarTracker"]


@component
class BarTracker(Tracker):
    """A progress bar over the turns of all runs, with the latest run and problems."""

    def __post_init__(self) -> None:
        self._show(_Bar([]))

    def start(self, runs: Sequence[PlannedRun]) -> None:
        self._show(_Bar(runs))

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self._bar.turn(run, record, replayed)

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        self._bar.progress.finish(run)

    def close(self) -> None:
        self._bar.close()

    @property
    def _bar(self) -> _Bar:
        bar: _Bar = vars(self)["_shown"]
        return bar

    def _show(self, bar: _Bar) -> None:
        object.__setattr__(self, "_shown", bar)  # the class is frozen


class _Bar:
    """The progress of the runs in execution, and their bar; no bar without runs."""

    def __init__(self, runs: Sequence[PlannedRun]) -> None:
        self.progress = Progress(runs)
        self._drawn: Any = _tqdm(self.progress.planned) if runs else None

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self.progress.turn(run, record, replayed)
        bar = self._drawn
        bar.initial += replayed  # turns of earlier invocations must not count for the speed
        bar.set_description_str(self.progress.head(run), refresh=False)
        bar.set_postfix_str(", ".join(self.progress.counts.problems()), refresh=False)
        bar.update()

    def close(self) -> None:
        if self._drawn is not None:
            self._drawn.close()


def _tqdm(turns: int) -> Any:
    with warnings.catch_warnings():
        # Without ipywidgets the bar in a notebook is text, which needs no warning.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm

        return tqdm(total=turns, unit=" turns", dynamic_ncols=True)
