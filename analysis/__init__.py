"""Statistics of stored runs: the ablation table, exposure bias, and scores over turns.

The package reads `manifest.json` and the turn records of complete or incomplete runs, and nothing else.
"""
