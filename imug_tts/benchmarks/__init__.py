"""Benchmarks: dialogues, their references, and their scorers."""
