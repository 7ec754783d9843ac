"""The losses of one record: hard labels, KL divergence, and the signal of each capability."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor
from torch.nn import functional

from imug_tts.training.method import Key, Method, Signal, layers_of
from imug_tts.training.signals import (
    Distance,
    cosine_distance,
    grouped,
    hidden_distance,
    squared_error,
    token_kl,
)

__all__ = ["Seen", "label_kl", "label_loss", "signal_loss"]


@dataclass(frozen=True)
class Seen:
    """Outputs of one model for one record."""

    layers: int
    """The number of layers of the model."""
    kept: Mapping[Key, Tensor] = field(default_factory=dict)
    """The recorded attention maps and hidden states."""
    logits: Tensor | None = None
    """The logits that predict the labelled tokens, (labelled tokens, vocabulary); None if not computed."""


def label_loss(student: Seen, answers: Tensor) -> Tensor:
    """Return the student's cross-entropy on `answers` (labelled tokens), in nats, the mean over tokens."""
    assert student.logits is not None
    return functional.cross_entropy(_wide(student.logits), answers)


def label_kl(student: Seen, teacher: Seen, method: Method) -> Tensor:
    """Return KL(teacher || student) on the labelled tokens, over the part of the vocabulary that both
    have.
    """
    assert student.logits is not None
    assert teacher.logits is not None
    words = min(student.logits.shape[-1], teacher.logits.shape[-1])
    own, other = (_wide(logits[:, :words])[None] for logits in (student.logits, teacher.logits))
    everywhere = own.new_ones(own.shape[:2]).bool()
    return token_kl(own, other, everywhere, method.kl_temperature)


def signal_loss(signal: Signal, student: Seen, teacher: Seen, projection: Tensor | None) -> Tensor | None:
    """Return the unweighted distance between student and teacher for a signal.

    Args:
        projection: (student width, teacher width), for a signal of hidden states; else None.

    Returns:
        None if the signal is text to vision and the record has no images.

    Raises:
        ValueError: the teacher has fewer of the signal's layers than the student, or shapes differ.
    """
    own, others = (
        [seen.kept[signal.of, layer] for layer in layers_of(signal.layers, seen.layers)]
        for seen in (student, teacher)
    )
    if own[0].numel() == 0:  # text to vision, of a record without images
        return None
    return grouped([_wide(one) for one in own], [_wide(one) for one in others], _distance(signal, projection))


def _distance(signal: Signal, projection: Tensor | None) -> Distance:
    if projection is not None:
        return lambda student, teacher: hidden_distance(student, teacher, projection)
    return squared_error if signal.distance == "squared_error" else cosine_distance


def _wide(tensor: Tensor) -> Tensor:
    """Return the tensor in float32, or unchanged if its type is at least as wide."""
    return tensor if tensor.dtype.itemsize >= 4 else tensor.float()
