"""IMUG-Bench: the benchmark from its official files, and the official layouts of outputs, scores and
summaries.
"""

from imug_tts.benchmarks.imug.benchmark import Imug

__all__ = ["Imug"]
