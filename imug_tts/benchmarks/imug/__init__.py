"""IMUG-Bench: its official files as a benchmark, and the official layouts of outputs, scores and summary."""
