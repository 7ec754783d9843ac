"""IMUG-Bench: its official files as a benchmark, and the official layouts of outputs, scores and summary."""

from imug_tts.benchmarks.imug.benchmark import Imug

__all__ = ["Imug"]
