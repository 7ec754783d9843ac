"""The pocket model: a 1 M-parameter unified multimodal model whose weights are part of the package.

Importing this package loads neither torch nor weights.
"""

from imug_tts.backbones.pocket.backbone import PocketBackbone

__all__ = ["PocketBackbone"]
