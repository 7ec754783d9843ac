"""Two models as one backbone: a text backbone for understanding, and a pipeline of diffusers for image
generation.

Importing this package loads neither torch nor weights.
"""

from imug_tts.backbones.composite.backbone import CompositeBackbone

__all__ = ["CompositeBackbone"]
