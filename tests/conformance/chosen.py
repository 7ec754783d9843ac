"""The backbone that a user names on the command line, as a subject."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from imug_tts.assemble import build_backbone
from imug_tts.contracts import Backbone, ConfigurationError
from imug_tts.testing.conformance import Subject
from tests.conformance.subjects import SUBJECTS, Make

__all__ = ["chosen"]


def chosen(named: str, knobs: Sequence[str], settings: Sequence[str]) -> Make:
    """How to make the subject that the options name. One of ours keeps the words in which it is asked."""

    @contextmanager
    def make(folder: Path) -> Iterator[Subject]:
        with SUBJECTS[named](folder) if named in SUBJECTS else nullcontext() as ours:
            subject = subject_of(named, dict(map(_assigned, knobs)), ours)
            yield replace(subject, settings={**subject.settings, **dict(map(_assigned, settings))})

    return make


def subject_of(named: str, knobs: dict[str, Any], ours: Subject | None = None) -> Subject:
    """A subject from a backbone's name, or from MODULE:NAME of a class, an object or a subject.

    Raises:
        ConfigurationError: it is none of these, or a knob is not allowed; says what to do.
    """
    if ":" not in named:
        if ours is not None and not knobs:
            return ours
        backbone = build_backbone({"name": named, **knobs})
        return replace(ours, backbone=backbone) if ours else Subject(backbone=backbone)
    module, _, attribute = named.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"--backbone {named}: {error}; name it as MODULE:CLASS") from error
    made = found(**knobs) if isinstance(found, type) else found
    if isinstance(made, Backbone):
        return Subject(backbone=made)
    if isinstance(made, Subject):
        return made
    raise ConfigurationError(f"--backbone {named}: {made!r} is no Backbone and no Subject")


def _assigned(text: str) -> tuple[str, Any]:
    name, is_given, value = text.partition("=")
    if not is_given:
        raise ConfigurationError(f"{text}: write it as NAME=VALUE")
    return name, yaml.safe_load(value)
