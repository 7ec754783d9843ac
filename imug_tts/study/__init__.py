"""Studies from Python: add arms, run them, get records and analysis. Folders are those of the command
line.
"""

from imug_tts.study.study import ArmsFailed, Executed, Study

__all__ = ["ArmsFailed", "Executed", "Study"]
