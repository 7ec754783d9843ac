"""The common style of all figures: colors of Okabe and Ito, distinguishable by all color vision and in grey
print.
"""

from __future__ import annotations

from typing import Any

from analysis.names import label_of, setting_of

__all__ = ["DPI", "GOLD", "GOLD_INK", "GRID", "INK", "OWN", "QUIET", "REFERENCE", "STYLE", "label", "short"]

OWN, GOLD, GOLD_INK, REFERENCE = "#0072B2", "#E69F00", "#9A6700", "#999999"
INK, QUIET, GRID = "#222222", "#666666", "#E5E5E5"
DPI = 150
_HEAD, _TAIL = 40, 20
"""Characters of a very long name that a figure shows of its beginning and of its end."""
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 13,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    # the same dpi as in the saved file, because the width of hinted text is not proportional to dpi
    "figure.dpi": DPI,
    "pdf.fonttype": 42,
}


def short(name: str) -> str:
    """The name, or the two ends of a name that no figure has room for; tables have all of it."""
    return name if len(name) <= _HEAD + _TAIL else f"{name[:_HEAD]}…{name[-_TAIL:]}"


def label(strategy: str) -> str:
    """The strategy's name with line breaks between layers, at knobs or before its settings; a very long name
    is shortened.
    """
    setting = setting_of(strategy)
    if setting:
        return f"{label(label_of(strategy))}\n@ {short(setting)}"
    strategy = short(strategy)
    if len(strategy) <= 20:
        return strategy
    return strategy.replace("+", " +\n", 1) if "+" in strategy else strategy.replace("[", "\n[", 1)
