"""Serves a backbone and a strategy over the official /infer protocol; `app` needs FastAPI, an extra."""

from imug_tts.serving.desk import Desk, Served
from imug_tts.serving.reading import Limits
from imug_tts.serving.settings import Service, ServiceSettings

__all__ = ["Desk", "Limits", "Served", "Service", "ServiceSettings"]
