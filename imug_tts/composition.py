"""Nested strategies as a whole: their labels, their models, and the check that they can work in a run."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from imug_tts.contracts import (
    Backbone,
    Capabilities,
    ConfigurationError,
    Judge,
    JudgeUse,
    ModelRole,
    Models,
    Strategy,
)
from imug_tts.dialogue import Modality
from imug_tts.knobs import knobs_of, parts, places
from imug_tts.prompts import load
from imug_tts.registry import name_of

__all__ = [
    "MAX_LAYERS",
    "ORACLE",
    "JudgePlace",
    "all_models",
    "at_temperature",
    "check_composition",
    "check_judge",
    "is_oracle",
    "judges",
    "label",
    "layers",
    "roles_asked",
    "with_members",
]

ORACLE: Final = "oracle_"
"""Prefix of the name of a layer whose judge is the benchmark's scorer."""

MAX_LAYERS: Final = 8
"""Most layers of a nesting: each layer multiplies the calls of a turn, so a deeper one is a mistake."""


class JudgePlace(NamedTuple):
    """A judge of a nesting, and its position."""

    path: str
    """The path in a configuration, e.g. "strategy.inner.judge"."""
    layer: Strategy
    judge: Judge

    @property
    def use(self) -> JudgeUse:
        return self.layer.judge_use


def layers(strategy: Strategy) -> Iterator[Strategy]:
    """Return the layers of a nesting, each before its parts, in the order of its fields."""
    return (layer for _, layer in _layers(strategy, "strategy"))


def judges(strategy: Strategy, path: str = "strategy") -> Iterator[JudgePlace]:
    """Yield the judges of all layers, and the judges that are members of these."""
    for place, part in places(strategy):
        here = f"{path}.{place}"
        if isinstance(part, Judge):
            yield from (JudgePlace(where, strategy, judge) for where, judge in with_members(part, here))
        elif isinstance(part, Strategy):
            yield from judges(part, here)


def label(strategy: Strategy) -> str:
    """Return the label of a nesting in tables and records: "best_of_4+self_verify[max_rounds=5]+cot".

    Layers are listed outer to inner, each with its knobs that are not at their defaults. An inner "direct" is
    left out unless it has such knobs. Judges are named if one of them is not the backbone judge. Members of
    a judge and models of its own have their knobs in brackets too: "judge.verifier=openai_chat[model=m]".
    Several inner strategies of one layer are listed in brackets: "debate[draft=cot,critic=self_verify]".
    """
    named = any(
        _judge_name(place.judge) != "backbone" for place in judges(strategy) if not place.judge.oracle
    )
    return _label(strategy, named)


def is_oracle(strategy: Strategy) -> bool:
    """Return whether the judge of any layer is the benchmark's scorer."""
    return any(place.judge.oracle for place in judges(strategy))


def roles_asked(strategy: Strategy) -> frozenset[ModelRole]:
    """Return the roles in which the run's own models are called."""
    asked = [*(layer.models for layer in layers(strategy)), *(p.judge.models for p in judges(strategy))]
    return frozenset(role for models in asked for role, model in models.items() if model is None)


def at_temperature(strategy: Strategy, temperature: float) -> Strategy:
    """Return the nesting with text answers sampled at `temperature`, in every layer that samples them."""

    def changed(value: Any) -> Any:
        if isinstance(value, Strategy):
            return at_temperature(value, temperature)
        return tuple(map(changed, value)) if isinstance(value, tuple) else value

    own: Any = strategy.at_temperature(temperature)
    fields = [knob.name for knob in knobs_of(type(own)).values() if knob.part is Strategy]
    nesting: Strategy = (
        replace(own, **{name: changed(getattr(own, name)) for name in fields}) if fields else own
    )
    return nesting


def all_models(strategy: Strategy, models: Mapping[ModelRole, Backbone]) -> dict[str, Backbone]:
    """Return every model that may be called, by role or by the path of the judge or layer that owns it.

    `models` are the run's own, by role.
    """
    asked = {"generator", "scorer", *roles_asked(strategy)}
    by_role = {str(role): model for role, model in models.items() if role in asked}
    return {**by_role, **dict(_models_asked(strategy))}


def _models_asked(strategy: Strategy) -> Iterator[tuple[str, Backbone]]:
    """Yield the models that layers and judges own, each with its path, e.g. "strategy.judge"."""
    for path, layer in _layers(strategy, "strategy"):
        yield from _own_models(path, layer.models)
    for place in judges(strategy):
        yield from _own_models(place.path, place.judge.models)


def check_composition(
    strategy: Strategy,
    models: Mapping[ModelRole, Backbone],
    modalities: Collection[Modality] = ("text", "image"),
) -> None:
    """Check that a nesting can work with these models and turns, before any compute.

    `models` has every role; `modalities` are those of the benchmark's turns.

    Raises:
        ConfigurationError: the nesting cannot; the message gives the reason and what to change.
    """
    setting = _Setting(models, tuple(sorted(modalities)))
    depth = _depth(strategy)
    if depth > MAX_LAYERS:
        raise ConfigurationError(f"the strategy nests {depth} layers; the most is {MAX_LAYERS}")
    for modality in setting.posed:
        known = models["generator"].capabilities.outputs
        if modality not in known:
            outputs = " and ".join(sorted(known))
            raise ConfigurationError(
                f"the benchmark has {modality} turns, and the generator outputs {outputs} only; choose a "
                f"backbone that outputs {modality}"
            )
    _check(strategy, setting)


def check_judge(judge: Judge, models: Mapping[ModelRole, Backbone], modalities: Sequence[Modality]) -> None:
    """Check that a judge can judge answers of these modalities with these models.

    Raises:
        ConfigurationError: the judge cannot; the message gives the reason and what to change.
    """
    for path, each in with_members(judge):
        each.check(_Setting(models, modalities), modalities, path)


@dataclass(frozen=True)
class _Setting:
    """The run against which a composition is checked. Implements `imug_tts.contracts.Setting`."""

    models: Mapping[ModelRole, Backbone]
    posed: Sequence[Modality]
    around: tuple[Strategy, ...] = field(default=())

    def capabilities(self, role: ModelRole, model: Backbone | None = None) -> Capabilities:
        return (model or self.models[role]).capabilities

    def has(self, role: ModelRole) -> bool:
        return role in self.models

    def settings(self, role: ModelRole) -> type | None:
        return self.models[role].settings

    def prompts(self, role: ModelRole, model: Backbone | None = None) -> Mapping[str, str]:
        return load(self.capabilities(role, model).prompts)

    def is_inside(self, kind: type[Strategy]) -> bool:
        return any(isinstance(layer, kind) for layer in self.around)


def _check(layer: Strategy, setting: _Setting) -> None:
    acts_on = [modality for modality in setting.posed if layer.acts_on(modality)]
    layer.check(setting)
    for _, part in parts(layer):
        if isinstance(part, Judge):
            for _, judge in with_members(part, ""):
                judge.check(setting, acts_on, layer.name)
    for modality in acts_on:
        _check_variety(layer, modality, setting)
    inside = _Setting(setting.models, setting.posed, (*setting.around, layer))
    for part in _inner(layer):
        _check(part, inside)


def _check_variety(layer: Strategy, modality: Modality, setting: _Setting) -> None:
    """Raise ConfigurationError for a layer that would sample identical answers several times."""
    draws = layer.draws(modality)
    if draws > 1 and modality == "image" and not setting.capabilities("generator").seeds_change_images:
        raise ConfigurationError(
            f"{layer.name} would sample {draws} candidate images, and every seed gives the same image on "
            "a server of the generator; serve a model that reads seeds, or choose a strategy of one candidate"
        )
    if draws > 1 and not any(_varies(part, modality) for part in _inner(layer)):
        raise ConfigurationError(
            f"{layer.name} would sample {draws} identical answers on {modality} turns, because what it "
            f"wraps is greedy there; set {modality}_temperature of the innermost layer above 0"
        )


def _varies(layer: Strategy, modality: Modality) -> bool:
    """Return whether answers differ between seeds; True for an innermost layer that does not declare it."""
    own = layer.varies(modality) if layer.acts_on(modality) else None
    if own is not None:
        return own
    inner = _inner(layer)
    return not inner or any(_varies(part, modality) for part in inner)


def _inner(layer: Strategy) -> list[Strategy]:
    return [part for _, part in parts(layer) if isinstance(part, Strategy)]


def _depth(strategy: Strategy) -> int:
    return 1 + max((_depth(part) for part in _inner(strategy)), default=0)


def _layers(strategy: Strategy, path: str) -> Iterator[tuple[str, Strategy]]:
    yield path, strategy
    for place, part in places(strategy):
        if isinstance(part, Strategy):
            yield from _layers(part, f"{path}.{place}")


def _own_models(path: str, models: Models) -> Iterator[tuple[str, Backbone]]:
    """Yield a component's own models with its path, and with their roles if it owns several."""
    own = {role: model for role, model in models.items() if model is not None}
    yield from ((path if len(own) == 1 else f"{path}.{role}", model) for role, model in own.items())


def with_members(judge: Judge, path: str = "judge") -> Iterator[tuple[str, Judge]]:
    """Yield a judge and, recursively, its member judges, each with its path."""
    yield path, judge
    for place, part in places(judge):
        if isinstance(part, Judge):
            yield from with_members(part, f"{path}.{place}")


def _label(layer: Strategy, with_judges: bool) -> str:
    own = [part for _, part in parts(layer) if isinstance(part, Judge)]
    has_oracle = any(judge.oracle for part in own for _, judge in with_members(part, ""))
    name = layer.name if not has_oracle or layer.name.startswith(ORACLE) else f"{ORACLE}{layer.name}"
    knobs = [*_changed_knobs(layer), *(knob for text in _judge_labels(layer, with_judges) for knob in text)]
    inner = [(field, _label(part, with_judges)) for field, part in parts(layer) if isinstance(part, Strategy)]
    if len(inner) > 1:
        knobs += [f"{field}={text}" for field, text in inner]
        inner = []
    return "+".join([_with_knobs(name, knobs), *(text for _, text in inner if text != "direct")])


def _judge_labels(layer: Strategy, with_judges: bool) -> Iterator[list[str]]:
    for name, part in parts(layer):
        if isinstance(part, Judge) and not part.oracle:
            named = [f"{name}={_judge_name(part)}"] if with_judges else []
            yield [*named, *(f"{name}.{knob}" for knob in _changed_knobs(part))]


def _judge_name(judge: Judge) -> str:
    members = [
        _with_knobs(_judge_name(part), _changed_knobs(part))
        for _, part in parts(judge)
        if isinstance(part, Judge)
    ]
    return f"{judge.name}({'-'.join(members)})" if members else judge.name


def _with_knobs(name: str, knobs: Sequence[str]) -> str:
    return f"{name}[{','.join(knobs)}]" if knobs else name


def _changed_knobs(owner: Strategy | Judge | Backbone) -> list[str]:
    """Return the knobs that change results, are not at their defaults, and are not part of the name."""
    own_name = "" if isinstance(owner, Backbone) else owner.name
    shown = []
    for knob in knobs_of(type(owner)).values():
        value = getattr(owner, knob.name)
        if knob.part is None and not knob.runtime and (knob.default is MISSING or value != knob.default):
            text = _plain(value)
            shown += [] if not text or (knob.named and _tells(own_name, text)) else [f"{knob.name}={text}"]
    models = [
        f"{name}={_with_knobs(name_of(type(part)), _changed_knobs(part))}"
        for name, part in parts(owner)
        if isinstance(part, Backbone)
    ]
    return [*shown, *models]


def _tells(name: str, text: str) -> bool:
    """Return whether a name contains the text as a word: "best_of_8" contains 8, "openai" not "a"."""
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(text)}(?![A-Za-z0-9])", name) is not None


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    if isinstance(value, Mapping):
        return "-".join(f"{key}:{item}" for key, item in value.items())
    if isinstance(value, Path):
        return value.name
    return str(value).lower() if isinstance(value, bool) else str(value)
