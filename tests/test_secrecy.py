"""Configurations with values that look like keys or passwords are refused, as they are stored."""

from __future__ import annotations

from typing import Any

import pytest

from imug_tts.contracts import ConfigurationError
from imug_tts.secrecy import refuse_secrets


@pytest.mark.parametrize(
    "config",
    [
        {"judge": {"api_key": "x"}},
        {"judge": {"openai_api_key": "x"}},
        {"backbone": {"token": "x"}},
        {"backbone": {"hf_token": "x"}},
        {"a": {"b": {"password": "x"}}},
        {"judge": {"model": "sk-abcdefghijklmnop"}},
        {"backbone": {"urls": ["http://me:secret@host/infer"]}},
    ],
)
def test_secrets_are_refused_without_being_repeated(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="environment") as error:
        refuse_secrets(config)
    assert "secret@" not in str(error.value)
    assert "abcdefghijklmnop" not in str(error.value)


def test_what_only_sounds_like_a_secret_passes() -> None:
    refuse_secrets({"max_tokens": 3, "api_key": None, "urls": ["http://host:8000/infer"], "keep_plan": True})
