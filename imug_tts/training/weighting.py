"""Weigh several losses so that their gradients keep given shares of the whole.

Source: the online re-weighting of Drive-KD (arXiv 2601.21288), which follows GradNorm (arXiv 1711.02257).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["LossWeights", "WeightingSettings", "WeightsState"]

_LEAST, _MOST, _LEAST_FIRST_LOSS = 1e-6, 1e6, 1e-12
_BETAS: Final = (0.9, 0.99)


@dataclass(frozen=True, kw_only=True)
class WeightingSettings:
    """How fast weights move and towards which shares.

    Attributes:
        learning_rate: of AdamW on the weights before their softplus; greater than 0.
        alpha: how far a loss that falls slowly is given more; 0 keeps the shares of the start.
        least_anchor: the least weight of the hard labels.
        detach_targets: take the targets as constants, as GradNorm does; the released trainer does not.
    """

    learning_rate: float = 3e-4
    alpha: float = 0.0
    least_anchor: float = 0.6
    detach_targets: bool = True

    def __post_init__(self) -> None:
        for name, lowest in (("learning_rate", None), ("alpha", 0), ("least_anchor", 0)):
            value = getattr(self, name)
            if not math.isfinite(value) or (value <= 0 if lowest is None else value < lowest):
                allowed = "greater than 0" if lowest is None else f"{lowest} or more"
                raise ValueError(f"{name} is {value}; it must be {allowed}")


class WeightsState(TypedDict):
    """Weights before their softplus, the first value of each loss, and the state of the optimizer."""

    raw: dict[str, float]
    first: dict[str, float]
    optimizer: dict[str, Any]


@dataclass
class LossWeights:
    """The weight of each loss, moved once per optimizer step.

    Args:
        start: the weight of each loss at the start, greater than 0. Their shares are the aimed shares of the
            gradient norm, and their sum is kept.
        anchor: the loss of the hard labels, one of `start`.

    Raises:
        ValueError: `anchor` is not in `start`, or a weight is not greater than 0.
    """

    start: Mapping[str, float]
    anchor: str
    settings: WeightingSettings = field(default_factory=WeightingSettings)

    def __post_init__(self) -> None:
        if self.anchor not in self.start:
            raise ValueError(
                f"the anchor {self.anchor!r} has no weight; weights are of {', '.join(self.start)}"
            )
        for name, weight in self.start.items():
            if not (math.isfinite(weight) and weight > 0):
                raise ValueError(f"the weight of {name} is {weight}; it must be greater than 0")
        self._first: dict[str, float] = {}
        self._before_softplus = {
            name: _inverse_softplus(torch.tensor(weight, dtype=torch.float32)).requires_grad_()
            for name, weight in self.start.items()
        }
        self._optimizer = torch.optim.AdamW(
            list(self._before_softplus.values()),
            lr=self.settings.learning_rate,
            betas=_BETAS,
            weight_decay=0.0,
        )

    def now(self) -> dict[str, float]:
        """The weight of each loss."""
        return {name: weight.item() for name, weight in self._weights().items()}

    def update(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """Move the weights by one step.

        Args:
            losses: the mean of each loss, unweighted, over the samples since the last update. Losses that no
                sample had are left out.
            norms: the mean norm of the gradient of each of them, unweighted.
        """
        names = [name for name in self.start if name in losses and name in norms]
        for name in names:
            self._first.setdefault(name, max(losses[name], _LEAST_FIRST_LOSS))
        if len(names) < 2 or not any(norms[name] > 0 for name in names):
            return
        self._optimizer.zero_grad()
        torch.autograd.backward(self._distance(names, losses, norms))
        self._optimizer.step()
        self._rescale(names)

    def state(self) -> WeightsState:
        """What `restore` needs to continue with the same next step."""
        raw = {name: value.item() for name, value in self._before_softplus.items()}
        return {"raw": raw, "first": dict(self._first), "optimizer": self._optimizer.state_dict()}

    def restore(self, state: WeightsState) -> None:
        """Continue where `state` was taken.

        Raises:
            ValueError: the state is of other losses.
        """
        if state["raw"].keys() != self.start.keys():
            raise ValueError(
                f"the state has weights of {', '.join(state['raw'])}, but the losses are "
                f"{', '.join(self.start)}; resume with the method that the checkpoint was trained with"
            )
        self._first = dict(state["first"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._set({name: torch.tensor(value) for name, value in state["raw"].items()})

    def _weights(self) -> dict[str, Tensor]:
        found = {name: _clamped(functional.softplus(raw)) for name, raw in self._before_softplus.items()}
        return found | {self.anchor: found[self.anchor].clamp_min(self.settings.least_anchor)}

    def _distance(self, names: list[str], losses: Mapping[str, float], norms: Mapping[str, float]) -> Tensor:
        """How far the weighted gradient norms are from their targets, summed over losses."""
        weights = self._weights()
        sizes = torch.stack([weights[name] * norms[name] for name in names])
        left = torch.tensor([losses[name] / self._first[name] for name in names])
        share = torch.tensor([self.start[name] for name in names])
        targets = sizes.sum() * share / share.sum()
        if self.settings.alpha:
            targets = targets * (left / left.mean()) ** self.settings.alpha
        return (sizes - (targets.detach() if self.settings.detach_targets else targets)).abs().sum()

    def _rescale(self, names: list[str]) -> None:
        """Keep the sum of the weights of these losses."""
        with torch.no_grad():
            weights = self._weights()
            scale = sum(self.start[name] for name in names) / sum(weights[name].item() for name in names)
            scaled = {name: _clamped(weights[name] * scale) for name in names}
            if self.anchor in scaled:
                scaled[self.anchor] = scaled[self.anchor].clamp_min(self.settings.least_anchor)
            self._set({name: _inverse_softplus(weight) for name, weight in scaled.items()})

    def _set(self, raw: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in raw.items():
                self._before_softplus[name].copy_(value)


def _clamped(weight: Tensor) -> Tensor:
    return weight.clamp(_LEAST, _MOST)


def _inverse_softplus(weight: Tensor) -> Tensor:
    """The number whose softplus is the weight; exact where exp(weight) would be infinite."""
    return weight + torch.log(-torch.expm1(-weight))
