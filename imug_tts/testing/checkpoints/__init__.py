"""Small checkpoints with random weights in the layouts of released models, to try things without a download.

Each module `NAME` has a function `write_tiny_NAME(folder, seed)`; `experiments/tiny_checkpoint.py` finds it
by its name.
"""
