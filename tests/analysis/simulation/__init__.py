"""Studies whose truth is known, and how often intervals and claims of the analysis agree with it.

Every generator is a function of a world (its parameters) and a seed, so other worlds and seeds are easy to
try. `python -m tests.analysis.simulation --studies 1000` runs all of it at length.
"""
