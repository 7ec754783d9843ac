"""BAGEL-7B-MoT in this process. `backbone` imports no torch; the other modules are imported when the weights
are loaded.
"""

from imug_tts.backbones.bagel.backbone import BagelBackbone
from imug_tts.backbones.bagel.settings import PRESETS, BagelSettings

__all__ = ["PRESETS", "BagelBackbone", "BagelSettings"]
