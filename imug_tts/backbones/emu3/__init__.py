"""Emu3 of BAAI, in transformers' layout (BAAI/Emu3-Chat-hf and BAAI/Emu3-Gen-hf).

Importing this package loads neither torch nor weights.
"""

from imug_tts.backbones.emu3.backbone import Emu3Backbone

__all__ = ["Emu3Backbone"]
