"""Statistics of stored runs: the ablation table, exposure bias, and scores over turns.

Reads `manifest.json` and `turns.jsonl` of finished or unfinished runs, and nothing else.
"""
