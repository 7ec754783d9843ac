"""The gradient of one record, from the losses between a student and its teachers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from imug_tts.training.data import Capability
from imug_tts.training.encoding import Sample
from imug_tts.training.losses import label_kl, label_loss, signal_loss
from imug_tts.training.method import KL, LABELS, Method
from imug_tts.training.models import Reader, autocast
from imug_tts.training.projection import combine
from imug_tts.training.teachers import see_all

__all__ = ["Distiller", "Report", "hidden_projections"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Losses, gradient norms and angles of one record, as plain numbers."""

    losses: Mapping[str, float]
    """Each loss, unweighted."""
    weighted: Mapping[str, float]
    """Each loss times its weight and the share of its capability."""
    norms: Mapping[str, float] = field(default_factory=dict)
    """The gradient norm of each unweighted loss; empty if the method computes only the gradient of the
    sum.
    """
    cosines: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """The cosine between the gradients of each pair of losses, before any projection."""


@dataclass(frozen=True, eq=False)
class Distiller:
    """Computes the gradient of a record for a student, its teachers and a method."""

    method: Method
    student: Reader
    teachers: Mapping[Capability, Reader] = field(default_factory=dict)
    projections: Mapping[Capability, nn.Parameter] = field(default_factory=dict)
    """For each signal of hidden states, the trained matrix (student width, teacher width)."""
    precision: str = "float32"

    def trained(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by name; a parameter that two modules share is listed once."""
        own = {name: p for name, p in self.student.model.named_parameters() if p.requires_grad}
        return own | {f"projection.{name}": p for name, p in self.projections.items()}

    def gradient(
        self,
        sample: Sample,
        capability: Capability,
        weights: Mapping[str, float],
        shuffle: random.Random,
    ) -> tuple[list[Tensor | None], Report]:
        """Compute the combined gradient of a sample.

        Args:
            sample: the encoded record.
            capability: the capability of the record.
            weights: the weight of each loss; this method multiplies it by the share of the capability.
            shuffle: draws the order of the symmetric stage of the projection.

        Returns:
            The gradient for every trained parameter, in the order of `trained()`, and the numbers to log.

        Raises:
            FloatingPointError: a loss is not a finite number.
        """
        shares = self.method.shares(capability)
        with self.student.recorder.recording(sample.is_image) as kept:
            losses = self._losses(sample, capability, kept, shares)
            total = {name: weights[name] * shares[name] for name in losses}
            values = _finite(losses)
            weighted = {name: total[name] * values[name] for name in values}
            parameters = list(self.trained().values())
            if not self.method.separates:
                whole = torch.stack([weight * losses[name] for name, weight in total.items()]).sum()
                return _gradient(whole, parameters), Report(losses=values, weighted=weighted)
            gradients = dict(_each(losses, parameters))
        combined = combine(
            gradients,
            total,
            LABELS,
            self.method.projection,
            shuffle,
            as_released=self.method.as_released,
        )
        report = Report(losses=values, weighted=weighted, norms=combined.norms, cosines=combined.cosines)
        return combined.gradient, report

    def _losses(
        self, sample: Sample, capability: Capability, kept: Mapping[Any, Tensor], shares: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Return every loss that applies to the record, by name; the loss of the hard labels is first."""
        signals = {name: one for name, one in self.method.signals.items() if shares[name] > 0}
        needed = [*signals, *([capability] if self.method.kl > 0 else [])]
        with autocast(self.precision, sample.answers.device):
            seen = see_all(self.teachers, needed, sample)  # before the student's activations are held
            student = self.student.see(sample, kept)
        losses: dict[str, Tensor | None] = {LABELS: label_loss(student, sample.answers)}
        if self.method.kl > 0:
            losses[KL] = label_kl(student, seen[capability], self.method)
        for name, signal in signals.items():
            losses[name] = signal_loss(signal, student, seen[name], self.projections.get(name))
        return {name: loss for name, loss in losses.items() if loss is not None}


def hidden_projections(
    method: Method, student: Reader, teachers: Mapping[Capability, Reader], dtype: torch.dtype
) -> dict[Capability, nn.Parameter]:
    """Return an orthogonal projection to the teacher's width for each signal of hidden states."""
    made = {}
    for name, signal in method.signals.items():
        if signal.of == "hidden":
            widths = [one.model.config.text_config.hidden_size for one in (student, teachers[name])]
            start = torch.empty(*widths, dtype=torch.float64)
            nn.init.orthogonal_(start, generator=torch.Generator().manual_seed(0))
            made[name] = nn.Parameter(start.to(student.model.device, dtype))
    return made


def _finite(losses: Mapping[str, Tensor]) -> dict[str, float]:
    values = torch.stack([loss.detach().double() for loss in losses.values()]).tolist()
    named = dict(zip(losses, values, strict=True))
    for name, value in named.items():
        if not -float("inf") < value < float("inf"):
            raise FloatingPointError(f"the loss {name} is {value}")
    return named


def _each(
    losses: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]
) -> Iterator[tuple[str, list[Tensor | None]]]:
    """Yield the name and the gradient of each loss."""
    last = list(losses)[-1]
    for name, loss in losses.items():
        yield name, _gradient(loss, parameters, keep_graph=name != last)


def _gradient(
    loss: Tensor, parameters: Sequence[nn.Parameter], keep_graph: bool = False
) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, parameters, retain_graph=keep_graph, allow_unused=True))
