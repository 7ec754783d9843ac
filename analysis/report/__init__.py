"""`report.html`: what a study found, and its dialogues to look at, on one page that needs no network."""

from analysis.report.writer import write

__all__ = ["write"]
