"""Google's models through the package `google-genai`, which is imported at the first call."""

from imug_tts.backbones.gemini.backbone import GeminiBackbone

__all__ = ["GeminiBackbone"]
