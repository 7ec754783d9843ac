"""Shared parts of the backbones that run in this process: sampling, prefill, placement, checkpoints, images.

`placement` and `checkpoint` import no torch. The other modules do: import them only where weights are loaded.
"""
