"""Separate models for understanding and for generation: a text backbone and a pipeline of diffusers.

Importing this package loads neither torch nor weights.
"""

from imug_tts.backbones.composite.backbone import CompositeBackbone

__all__ = ["CompositeBackbone"]
