"""From responses to scores in [0, 1]."""
