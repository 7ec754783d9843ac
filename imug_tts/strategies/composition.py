"""Nestings as a whole: what they are called, and whether they can work."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Final

from imug_tts.configuration import RUNTIME
from imug_tts.contracts import Capabilities, ConfigurationError, ModelRole, Ranker, Strategy
from imug_tts.dialogue import Modality
from imug_tts.prompts import load
from imug_tts.strategies.chain_of_thought import ChainOfThought
from imug_tts.strategies.direct import Direct
from imug_tts.strategies.majority_vote import MajorityVote
from imug_tts.strategies.self_verification import SelfVerification

__all__ = ["MAX_LAYERS", "check_composition", "is_oracle", "label", "layers"]

MAX_LAYERS: Final = 8
"""Every layer multiplies the calls of a turn; more layers than this are a mistake."""


def layers(strategy: Strategy) -> Iterator[Strategy]:
    """The layers of a nesting, outer to inner."""
    layer: Strategy | None = strategy
    while layer is not None:
        yield layer
        layer = getattr(layer, "inner", None)


def label(strategy: Strategy) -> str:
    """What tables and records call a nesting: "best_of_4+self_verify[max_rounds=5]+cot".

    Layers outer to inner, each with the knobs that differ from their defaults. "direct" is left
    out below other layers unless it has such knobs.
    """
    texts = [_layer_label(layer) for layer in layers(strategy)]
    return "+".join([text for text in texts if text != "direct"] or texts)


def is_oracle(strategy: Strategy) -> bool:
    """Whether any layer selects by the scorer itself."""
    judges = (getattr(layer, "judge", None) for layer in layers(strategy))
    return any(judge is not None and judge.oracle for judge in judges)


def check_composition(
    strategy: Strategy,
    capabilities: Mapping[ModelRole, Capabilities],
    modalities: Collection[Modality] = ("text", "image"),
) -> None:
    """Refuse a nesting that cannot work on these models and turns, before any compute.

    `capabilities` has every role; `modalities` are those of the turns that will be posed.

    Raises:
        ConfigurationError: with the reason and what to change.
    """
    chain = tuple(layers(strategy))
    if len(chain) > MAX_LAYERS:
        raise ConfigurationError(f"the strategy nests {len(chain)} layers; the most is {MAX_LAYERS}")
    for modality in sorted(modalities):
        _need_output(capabilities, "generator", modality, f"the benchmark poses {modality} turns")
    for depth, layer in enumerate(chain):
        acts_on = [modality for modality in sorted(modalities) if _acts_on(layer, modality)]
        _check_judge(layer, acts_on, capabilities)
        _check_planner(layer, chain[:depth], acts_on, capabilities)
        _check_refinement(layer, acts_on, capabilities)
        _check_variety(layer, chain[depth + 1 :], acts_on)
        if isinstance(layer, MajorityVote) and not acts_on:
            raise ConfigurationError(f"{layer.name} votes on text turns, and none are posed; leave it out")


def _layer_label(layer: Strategy) -> str:
    knobs = [*_changed_knobs(layer), *_judge_knobs(layer)]
    return f"{layer.name}[{','.join(knobs)}]" if knobs else layer.name


def _judge_knobs(layer: Strategy) -> list[str]:
    judge = getattr(layer, "judge", None)
    if judge is None or judge.oracle:
        return []
    named = [] if judge.name == "backbone" else [f"judge={judge.name}"]
    return [*named, *(f"judge.{knob}" for knob in _changed_knobs(judge))]


def _changed_knobs(owner: object) -> list[str]:
    """Knobs of the run's identity that differ from their defaults; `n` is in the layer's name already."""
    if not is_dataclass(owner):
        return []
    knobs = [f for f in fields(owner) if f.default is not MISSING and f.name not in RUNTIME | {"n"}]
    changed = [f for f in knobs if getattr(owner, f.name) != f.default]
    return [f"{f.name}={_plain(getattr(owner, f.name))}" for f in changed]


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return "-".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _acts_on(layer: Strategy, modality: Modality) -> bool:
    if isinstance(layer, MajorityVote):
        return modality == "text"
    return modality in getattr(layer, "applies_to", ())


def _need_output(
    capabilities: Mapping[ModelRole, Capabilities], role: ModelRole, modality: Modality, why: str
) -> None:
    if modality not in capabilities[role].outputs:
        known = " and ".join(sorted(capabilities[role].outputs))
        raise ConfigurationError(
            f"{why}, and the {role} outputs {known} only; choose a backbone that outputs {modality}"
        )


def _check_judge(
    layer: Strategy, acts_on: Sequence[Modality], capabilities: Mapping[ModelRole, Capabilities]
) -> None:
    judge = getattr(layer, "judge", None)
    if isinstance(judge, Ranker) and isinstance(layer, SelfVerification):
        raise ConfigurationError(
            f"{layer.name} checks one answer at a time, and judge={judge.name} only compares several; "
            "set judge@strategy.judge=backbone on that layer"
        )
    # A judge that asks one of the run's models says which by a `role`; others bring their own eyes.
    role: ModelRole | None = getattr(judge, "role", None)
    if role is None or not acts_on:
        return
    _need_output(capabilities, role, "text", f"the judge of {layer.name} asks the {role} questions")
    if "image" in acts_on and not capabilities[role].reads_images:
        raise ConfigurationError(
            f"the judge of {layer.name} checks images, and the {role} cannot read images; "
            "choose another judge, or a backbone that reads images"
        )
    if getattr(judge, "ask", "each") == "together" and capabilities[role].logits:
        raise ConfigurationError(
            f"the judge of {layer.name} asks all questions together, which gives up the P(yes) that "
            f"the {role} has for each; set ask=each on that judge"
        )


def _check_planner(
    layer: Strategy,
    outer: Sequence[Strategy],
    acts_on: Sequence[Modality],
    capabilities: Mapping[ModelRole, Capabilities],
) -> None:
    if not isinstance(layer, ChainOfThought):
        return
    if acts_on:
        _need_output(capabilities, "planner", "text", f"{layer.name} asks for plans")
    if layer.keep_plan and any(isinstance(above, ChainOfThought) for above in outer):
        raise ConfigurationError(
            "cot inside another cot cannot keep its plan, which only the outermost can; "
            "set keep_plan=true on the outermost cot"
        )


def _check_refinement(
    layer: Strategy, acts_on: Sequence[Modality], capabilities: Mapping[ModelRole, Capabilities]
) -> None:
    if not isinstance(layer, SelfVerification) or layer.refine == "fresh" or not acts_on:
        return
    generator = capabilities["generator"]
    if not load(generator.prompts)["feedback"]:
        raise ConfigurationError(
            f"{layer.name} has refine={layer.refine}, and the prompt set {generator.prompts!r} of the "
            "generator has no words for feedback; set refine=fresh"
        )
    if layer.refine == "edit" and "image" in acts_on and not generator.draws_from_images:
        raise ConfigurationError(
            f"{layer.name} has refine=edit, and the generator does not draw from images of the history; "
            "set refine=fresh or refine=feedback"
        )


def _check_variety(layer: Strategy, inner: Sequence[Strategy], acts_on: Sequence[Modality]) -> None:
    """Refuse to draw the same thing several times."""
    draws = getattr(layer, "n", 1)
    if isinstance(layer, SelfVerification) and layer.refine == "fresh":
        draws = layer.max_rounds
    for modality in acts_on:
        if draws > 1 and not any(_varies(below, modality) for below in inner):
            raise ConfigurationError(
                f"{layer.name} would draw {draws} identical answers on {modality} turns, because what it "
                f"wraps is greedy there; set {modality}_temperature of the innermost layer above 0"
            )


def _varies(layer: Strategy, modality: Modality) -> bool:
    """Whether answers of a layer differ between seeds; a leaf that is not ours is trusted to."""
    if isinstance(layer, Direct):
        return layer.temperature(modality) > 0
    if isinstance(layer, ChainOfThought):
        return _acts_on(layer, modality) and layer.plan_temperature > 0
    return not hasattr(layer, "inner")
