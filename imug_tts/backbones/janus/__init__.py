"""Janus and Janus-Pro of DeepSeek, in transformers' layout (deepseek-community/Janus-Pro-1B and -7B).

Importing this package loads neither torch nor weights.
"""

from imug_tts.backbones.janus.backbone import JanusBackbone

__all__ = ["JanusBackbone"]
