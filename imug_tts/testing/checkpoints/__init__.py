"""Small checkpoints with random weights in the layouts of released models, for trials without a download.

Each module `NAME` has a function `write_tiny_NAME(folder, seed)`, which `experiments/tiny_checkpoint.py`
finds by name.
"""
