"""Serves a backbone and a strategy over the official /infer protocol; `app` needs FastAPI (extra "serve")."""

from imug_tts.serving.handler import RequestHandler, Served
from imug_tts.serving.reading import InferRequest, Limits
from imug_tts.serving.settings import Service, ServiceSettings

__all__ = ["InferRequest", "Limits", "RequestHandler", "Served", "Service", "ServiceSettings"]
