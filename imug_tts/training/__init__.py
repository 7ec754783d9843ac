"""Training remedies: distillation of attention from large teachers into a small student.

The recipe is Drive-KD (arXiv 2601.21288). Each module holds one part of it; none needs transformers.
"""
