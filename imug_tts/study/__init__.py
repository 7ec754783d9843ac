"""A study from Python: arms in, records and an analysis out; the same folders as the command line's."""

from imug_tts.study.study import ArmsFailed, Executed, Study

__all__ = ["ArmsFailed", "Executed", "Study"]
