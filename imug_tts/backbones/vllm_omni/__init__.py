"""Unified models behind vLLM-Omni."""

from imug_tts.backbones.vllm_omni.backbone import VllmOmniBackbone

__all__ = ["VllmOmniBackbone"]
