"""Draws every figure that the numbers support, and writes it as PDF and PNG."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.ablation import Ablation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_figures"]


def draw_figures(result: Ablation, folder: Path) -> list[Path]:
    """Write the figures into `folder`; returns their paths. Equal numbers give equal files."""
    import matplotlib

    from analysis.figures.agreement import judge_against_human
    from analysis.figures.composition import parts_of_the_gap
    from analysis.figures.curves import scores_over_turns
    from analysis.figures.effects import gap_over_turns, reductions, scores_by_length
    from analysis.figures.scaling import gain_against_cost, score_over_candidates
    from analysis.figures.style import DPI, STYLE

    makers = (
        scores_over_turns,
        gap_over_turns,
        parts_of_the_gap,
        reductions,
        scores_by_length,
        gain_against_cost,
        score_over_candidates,
        judge_against_human,
    )
    paths = []
    _warn_of_letters([arm.strategy for arm in result.arms])
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # said once above
        for maker in makers:
            if (figure := maker(result)) is None:
                continue
            _lay_out(figure)
            for ending in ("png", "pdf"):
                path = folder / f"{maker.__name__}.{ending}"
                # without a date the same study gives the same file
                figure.savefig(path, dpi=DPI, metadata={"CreationDate": None} if ending == "pdf" else None)
                paths.append(path)
    return paths


def _warn_of_letters(names: Iterable[str]) -> None:
    """Warn of letters in names that the font of the figures lacks."""
    from matplotlib.font_manager import findfont, get_font

    from analysis.figures.style import STYLE

    font = get_font(findfont(STYLE["font.family"]))
    lacking = [letter for letter in dict.fromkeys("".join(names)) if not font.get_char_index(ord(letter))]
    if lacking:
        warnings.warn(
            f"the font of the figures, {STYLE['font.family']}, lacks {''.join(lacking)}: figures show boxes "
            "in their place; tables and report.html show them",
            stacklevel=2,
        )


def _lay_out(figure: Figure) -> None:
    """Compute the layout once, so that both files have the same."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine("none")
