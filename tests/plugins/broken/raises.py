"""A module that cannot be imported where its drivers are missing."""

raise RuntimeError("the drivers are missing")
