"""`report.html`: the findings of a study and its dialogues, on one page that works offline."""

from analysis.report.writer import write

__all__ = ["write"]
