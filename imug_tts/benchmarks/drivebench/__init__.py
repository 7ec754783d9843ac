"""DriveBench: questions about driving scenes, answered in text and graded by a judge model on rubrics."""

from imug_tts.benchmarks.drivebench.benchmark import DriveBench

__all__ = ["DriveBench"]
