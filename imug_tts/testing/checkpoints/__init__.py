"""Writers of small checkpoints with random weights, in the layouts in which models are released."""
