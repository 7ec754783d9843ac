"""Every number of an analysis computed a second time, from the files of a study alone.

Nothing here imports `analysis` or `imug_tts`: the files are parsed anew, regressions and tests are those of
statsmodels, and influences are written out by hand. docs/concepts/statistics.md is what both sides share.
"""
