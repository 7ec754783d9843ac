"""OpenAI's models through the package `openai`, which is imported at the first call."""

from imug_tts.backbones.openai.backbone import OpenAIBackbone

__all__ = ["OpenAIBackbone"]
