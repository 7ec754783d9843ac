"""Distillation of attention from large teachers into a small student, after Drive-KD (arXiv 2601.21288)."""
