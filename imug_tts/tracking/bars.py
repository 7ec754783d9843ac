"""Progress bars on a terminal: one for each run in progress and one for all runs, drawn by rich."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from imug_tts.tracking.progress import Progress, RunProgress

__all__ = ["Bars"]

_REDRAWS_PER_S: Final = 2
"""A redraw of 25 bars takes about 3 ms of CPU time: at this rate, less than 1 % of it."""
_LINES_BESIDE_RUNS: Final = 7
"""Lines of the terminal that are not for runs in progress: the total, its details and an empty line."""
_GAP: Final = "  "
"""Space between columns."""
_WIDE: Final = 120
"""Width of a terminal, in characters, from which on each run's problems are shown beside its bar."""


class Bars:
    """Bars at the bottom of the terminal; other output to standard error is printed above them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._console = Console(stderr=True)
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=_REDRAWS_PER_S,
            transient=True,
            # Standard output to a file or pipe must not be redirected to the terminal.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()
        # A hidden cursor would stay hidden after a kill.
        self._console.show_cursor(True)

    def update(self) -> None:
        """Do nothing: a thread of rich redraws the bars."""

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(Text(text), soft_wrap=True)

    def close(self) -> None:
        """Remove the bars from the terminal."""
        self._live.stop()

    def _draw(self) -> RenderableType:
        progress = self._progress
        under_way = progress.under_way if len(progress.runs) > 1 else list(progress.runs.values())
        shown = under_way[: max(1, self._console.height - _LINES_BESIDE_RUNS)]
        rows = [_row_of(run, progress.head(run.plan)) for run in shown]
        if len(progress.runs) > 1:
            rows.append(_Row(f"all {len(progress.runs)} runs", progress.counts.turns, progress.planned))
        more = [f"{len(under_way) - len(shown)} more runs under way"] if len(shown) < len(under_way) else []
        lines = _lines(rows, self._console.width, _signs(self._console.encoding))
        # The cursor is in an empty line, so that output after a kill stays readable.
        return Group(lines, _listed([*more, *progress.details()]), Text(""))


class _Row(NamedTuple):
    """The values of a line with a bar."""

    title: str
    done: int
    planned: int
    """Planned turns."""
    problems: Sequence[str] = ()


def _row_of(run: RunProgress, head: str) -> _Row:
    return _Row(head, run.counts.turns, run.plan.planned, list(run.counts.problems()))


def _lines(rows: Sequence[_Row], width: int, signs: tuple[str, str]) -> Text:
    """Return titles, bars, turns and, if wide, problems as text; a rich table takes three times as long."""
    counts = [f"{row.done:,}/{row.planned:,}" for row in rows]
    bar, most = max(8, min(40, width // 5)), max(map(len, counts), default=0)
    room = max(8, width - bar - most - 2 * len(_GAP) - (width // 5 if width >= _WIDE else 0))
    titles = [_fit(row.title, room) for row in rows]
    longest = max(map(len, titles), default=0)
    text = Text(no_wrap=True, overflow="ellipsis")
    for row, title, count in zip(rows, titles, counts, strict=True):
        full = round(bar * min(1.0, row.done / max(1, row.planned)))
        text.append(f"{title:{longest}}{_GAP}")
        text.append(signs[0] * full, "green").append(signs[1] * (bar - full), "dim")
        text.append(f"{_GAP}{count:>{most}}")
        if width >= _WIDE:
            text.append(_GAP).append_text(_listed(row.problems))
        text.append("\n")
    text.right_crop(1)
    return text


def _signs(encoding: str) -> tuple[str, str]:
    """Return the characters of full and empty parts of a bar; they differ without colours too."""
    return ("━", "─") if encoding.lower().startswith("utf") else ("#", "-")


def _fit(title: str, width: int) -> str:
    """Return the title in at most `width` characters; its middle is cut, as titles differ at the ends."""
    if len(title) <= width:
        return title
    head = width // 2
    return f"{title[:head]}…{title[head + 1 - width :]}"


def _listed(parts: Sequence[str]) -> Text:
    """Return the parts as one text, with warnings in colour."""
    styles = ("bold yellow" if part.startswith("WARNING") else "" for part in parts)
    return Text(", ").join(Text(part, style=style) for part, style in zip(parts, styles, strict=True))
