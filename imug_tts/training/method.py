"""The method of a distillation as knobs: hard labels, signals of teachers, and how gradients are combined.

This module and `settings` import no torch, so that the help of a command is quick.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

from imug_tts.contracts import ConfigurationError
from imug_tts.knobs import Several, component, knob
from imug_tts.training.data import Capability

__all__ = [
    "CAPABILITIES",
    "KL",
    "LABELS",
    "Key",
    "Layers",
    "Method",
    "Part",
    "Projection",
    "Signal",
    "layers_of",
    "wanted",
]

Part = Literal["text_to_vision", "full", "hidden"]
"""What is recorded of a layer: the block of its map where text attends to images, the map, or the output."""
Key = tuple[Part, int]
"""What is recorded, and the index of its layer, from 0."""
Projection = Literal["both", "anchor", "shuffled", "none"]
"""The stages of the gradient projection that run: both, only the anchor stage, only the shuffled symmetric
stage, or none.
"""
Layers = Literal["first", "first_to_penultimate", "second_to_antepenultimate", "penultimate"]
CAPABILITIES: Final[tuple[Capability, ...]] = get_args(Capability)
LABELS: Final = "labels"
KL: Final = "kl"


@component
class Signal:
    """What a student imitates for one capability."""

    weight: float = knob("Weight of its loss; 0 leaves it out.", default=0.0, ge=0, allow_inf_nan=False)
    of: Part = knob(
        "text_to_vision: the attention of text to images; full: all attention; hidden: the layers' outputs, "
        "projected to the teacher's width.",
        default="full",
    )
    layers: Layers = knob("Layers of the student, and those of the teacher.", default="first_to_penultimate")
    distance: Literal["squared_error", "cosine"] = knob("How two maps are compared.", default="squared_error")

    def __post_init__(self) -> None:
        if self.of == "hidden" and self.distance == "cosine":
            raise ConfigurationError("distance is cosine, but hidden states take squared_error alone")


def _perception() -> Signal:
    return Signal(weight=1.0, of="text_to_vision", layers="first")


def _reasoning() -> Signal:
    return Signal(weight=1.0, of="full", layers="first_to_penultimate")


def _planning() -> Signal:
    return Signal(weight=1.0, of="text_to_vision", layers="penultimate")


@component
class Method:
    """The losses of training and how their gradients are combined; the defaults are Drive-KD."""

    title: str = knob("What the method is called in tables.", default="drive_kd", min_length=1, runtime=True)
    records: Several[Capability] = knob(
        "Train on records of these capabilities.", default=CAPABILITIES, min_length=1
    )
    labels: float = knob("Weight of the answers' cross-entropy.", default=1.0, gt=0, allow_inf_nan=False)
    perception: Signal = knob("What is imitated for perception.", default_factory=_perception)
    reasoning: Signal = knob("What is imitated for reasoning.", default_factory=_reasoning)
    planning: Signal = knob("What is imitated for planning.", default_factory=_planning)
    kl: float = knob(
        "Weight of KL(teacher || student) of the answers' tokens; 0 leaves it out. The teacher is that of "
        "the record's capability.",
        default=0.0,
        ge=0,
        allow_inf_nan=False,
    )
    kl_temperature: float = knob("Temperature of both distributions.", default=1.0, gt=0)
    own_share: float = knob(
        "Share of the record's own capability among its signals; the others share the rest evenly.",
        default=0.8,
        ge=0,
        le=1,
    )
    projection: Projection = knob(
        "Stages of the asymmetric gradient projection: anchor (nothing goes against the hard labels), "
        "shuffled (nothing goes against another capability), both, or none.",
        default="both",
    )
    reweight: bool = knob(
        "Move the weights of losses so that their gradients keep the shares of the start.", default=True
    )
    reweight_rate: float = knob("How fast weights move: AdamW's learning rate.", default=3e-4, gt=0)
    reweight_alpha: float = knob(
        "How far a loss that falls slowly is given more weight.", default=0.0, ge=0, allow_inf_nan=False
    )
    least_labels: float = knob("The least weight of the hard labels.", default=0.6, ge=0)
    as_released: bool = knob(
        "Compute as the released trainer of Drive-KD: the last incomplete batch divided by the full size, "
        "targets of the loss weights not detached, no projection where a loss reaches no parameter, and the "
        "chat template's words around an answer as labels.",
        default=False,
    )

    @property
    def signals(self) -> Mapping[Capability, Signal]:
        """The signals with a weight above 0, by capability."""
        own = {name: getattr(self, name) for name in CAPABILITIES}
        return {name: signal for name, signal in own.items() if signal.weight > 0}

    @property
    def needs_teacher(self) -> bool:
        return bool(self.signals) or self.kl > 0

    @property
    def weights(self) -> Mapping[str, float]:
        """The weight of each loss at the start."""
        own = {LABELS: self.labels} | ({KL: self.kl} if self.kl > 0 else {})
        return own | {name: signal.weight for name, signal in self.signals.items()}

    @property
    def separates(self) -> bool:
        """Whether the gradient of each loss is computed separately."""
        return len(self.weights) > 1 and (self.reweight or self.projection != "none")

    def shares(self, capability: Capability) -> dict[str, float]:
        """Return the share of each loss for a record of a capability. The shares of the signals sum to 1, or
        all are 0.
        """
        rest = (1 - self.own_share) / (len(CAPABILITIES) - 1)
        given: dict[str, float] = {
            name: self.own_share if name == capability else rest for name in self.signals
        }
        total = sum(given.values())
        mixed = {name: share / total if total else 0.0 for name, share in given.items()}
        return {LABELS: 1.0, KL: 1.0, **mixed}


def layers_of(layers: Layers, count: int) -> list[int]:
    """Return the indices, from 0, of the chosen layers of a model that has `count` layers.

    Raises:
        ValueError: the model has too few layers.
    """
    ranges = {
        "first": range(1),
        "first_to_penultimate": range(count - 1),
        "second_to_antepenultimate": range(1, count - 2),
        "penultimate": range(count - 2, count - 1),
    }
    found = list(ranges[layers])
    if count < 2 or not found:
        raise ValueError(f"a model of {count} layers has no layers {layers!r}")
    return found


def wanted(signals: Mapping[Capability, Signal], count: int) -> frozenset[Key]:
    """Return what has to be recorded of a model with `count` layers, for all signals."""
    return frozenset(
        (signal.of, layer) for signal in signals.values() for layer in layers_of(signal.layers, count)
    )
