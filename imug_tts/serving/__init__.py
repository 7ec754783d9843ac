"""A backbone and a strategy behind the official /infer protocol."""

from imug_tts.serving.app import Service, ServiceSettings, create_app, serve
from imug_tts.serving.desk import Desk, Served
from imug_tts.serving.reading import Limits

__all__ = ["Desk", "Limits", "Served", "Service", "ServiceSettings", "create_app", "serve"]
