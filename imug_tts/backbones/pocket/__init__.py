"""The pocket model: a 1 M-parameter unified multimodal model that ships with its weights.

Importing this package loads neither torch nor weights.
"""

from imug_tts.backbones.pocket.backbone import PocketBackbone

__all__ = ["PocketBackbone"]
