"""Tables of DriveBench: points by capability and kind, official readings, and paired differences."""

from analysis.drivebench.grades import Group, read_group
from analysis.drivebench.tables import compare, questions_of, show, tables_of

__all__ = ["Group", "compare", "questions_of", "read_group", "show", "tables_of"]
