"""The report of `python -m analysis` as plain text of at most 120 columns."""

from __future__ import annotations

import textwrap

from analysis.ablation import Ablation
from analysis.layout import WIDTH, to_text
from analysis.names import short_name
from analysis.tables import caption, tables

__all__ = ["to_terminal"]

_FILES_ONLY = ("T1c", "T2b", "T4", "T7b", "T7c")
"""Tables that are too long for a screen; they are only in the folder of tables."""


def to_terminal(result: Ablation) -> str:
    """The report: headline, caption, notes, tables, and the finding of each strategy."""
    head = f"Ablation: {short_name(result.backbone)} on {short_name(result.benchmark)}"
    lines = [head, "=" * min(len(head), WIDTH), *textwrap.wrap(caption(result), WIDTH)]
    lines += [line for warning in result.warnings for line in textwrap.wrap(f"Note: {warning}", WIDTH)]
    for table in tables(result):
        if not table.name.startswith(_FILES_ONLY):
            lines += ["", to_text(table)]
    lines += ["", "Findings"]
    for arm in result.arms:
        lines += textwrap.wrap(f"{arm.strategy}: {arm.finding.sentence}", WIDTH, subsequent_indent="  ")
    return "\n".join(lines)
