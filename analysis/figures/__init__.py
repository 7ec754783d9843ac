"""The figures of a paper, as PDF for print and PNG for a page."""

from analysis.figures.draw import draw_figures

__all__ = ["draw_figures"]
