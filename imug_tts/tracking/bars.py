"""Progress on a terminal: a bar for each run under way and one for all, drawn by rich."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from imug_tts.tracking.progress import Progress

__all__ = ["Bars"]

_REDRAWS_PER_S: Final = 4
"""A redraw takes some milliseconds of the interpreter; four in a second look lively enough."""
_LINES_BESIDE_RUNS: Final = 7
"""Lines of the terminal that are not for runs under way: the total, its details and an empty one."""
_WIDE: Final = 100
"""Columns of a terminal on which the problems of each run have room beside its bar."""


class Bars:
    """Bars at the bottom of the terminal. What is written to standard error meanwhile comes above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=_REDRAWS_PER_S,
            transient=True,
            # Standard output that goes to a file or pipe stays there.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()
        # A process that is killed could not bring the cursor back.
        self._console.show_cursor(True)

    def update(self) -> None:
        """Nothing to do: a thread of rich redraws the bars."""

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Remove the bars."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        progress, width = self._progress, self._console.width
        under_way = progress.under_way
        shown = under_way[: max(1, self._console.height - _LINES_BESIDE_RUNS)]
        bars = self._table(width)
        for run in shown:
            problems = Text(", ".join(run.counts.problems()), style="yellow")
            bars.add_row(progress.head(run.plan), *_bar(run.counts.turns, run.plan.planned, width), problems)
        if len(shown) < len(under_way):
            bars.add_row(f"and {len(under_way) - len(shown)} more runs")
        if len(progress.runs) > 1:
            total = f"all {len(progress.runs)} runs"
            bars.add_row(total, *_bar(progress.counts.turns, progress.planned, width))
        # The cursor waits in an empty line: what a killed process leaves there stays readable.
        return Group(bars, _details(progress.details()), Text(""))

    def _table(self, width: int) -> Table:
        """Columns of title, bar, turns and, on a wide terminal, problems."""
        most = len(_count(self._progress.planned, self._progress.planned))
        bars = Table.grid(padding=(0, 2, 0, 0))
        bars.add_column(no_wrap=True, overflow="ellipsis", max_width=width - _bar_width(width) - most - 6)
        bars.add_column(width=_bar_width(width))
        bars.add_column(no_wrap=True, justify="right")
        if width >= _WIDE:
            bars.add_column(no_wrap=True, overflow="ellipsis")
        return bars


def _bar(done: int, planned: int, width: int) -> tuple[ProgressBar, str]:
    bar = ProgressBar(total=planned, completed=done, width=_bar_width(width))
    return bar, _count(done, planned)


def _bar_width(width: int) -> int:
    return max(8, min(40, width // 5))


def _count(done: int, planned: int) -> str:
    return f"{done:,}/{planned:,}"


def _details(parts: Sequence[str]) -> Text:
    styled = [Text(part, style="bold yellow" if part.startswith("WARNING") else "") for part in parts]
    return Text(", ").join(styled)
