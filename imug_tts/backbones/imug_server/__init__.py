"""Any model behind the official /infer protocol, on one or several servers."""

from imug_tts.backbones.imug_server.backbone import ImugServerBackbone

__all__ = ["ImugServerBackbone"]
