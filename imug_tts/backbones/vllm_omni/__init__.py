"""Unified models behind vLLM-Omni servers."""

from imug_tts.backbones.vllm_omni.backbone import VllmOmniBackbone

__all__ = ["VllmOmniBackbone"]
