"""Adapt the weights of several losses so that the shares of their gradient norms stay near target shares.

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
    """How fast weights change, and their target shares.

    Attributes:
        learning_rate: AdamW's learning rate for the weights before softplus; greater than 0.
        alpha: GradNorm's alpha: larger values give more weight to losses that fall slowly; 0 keeps the shares
            of the start.
        least_anchor: the least weight of the hard labels.
        detach_targets: no gradient flows through the targets, as in GradNorm; the released trainer lets it.
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
    """State of `LossWeights`: weights before softplus, the first value of each loss, and optimizer state."""

    raw: dict[str, float]
    first: dict[str, float]
    optimizer: dict[str, Any]


@dataclass
class LossWeights:
    """The weight of each loss, updated once per optimizer step.

    Args:
        start: the weight of each loss at the start, greater than 0. The shares of these weights are the
            target shares of the gradient norms. Updates do not change the sum of the weights, except where a
            clamp does.
        anchor: the name of the loss of the hard labels, one of `start`.

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
        """Return the current weight of each loss."""
        return {name: weight.item() for name, weight in self._weights().items()}

    def update(self, losses: Mapping[str, float], norms: Mapping[str, float]) -> None:
        """Update the weights by one optimizer step. Losses that are missing in `losses` keep their weights.

        Args:
            losses: the mean of each unweighted loss over the samples since the last update.
            norms: the mean gradient norm of each unweighted loss.
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
        """Return the state from which `restore` continues exactly."""
        raw = {name: value.item() for name, value in self._before_softplus.items()}
        return {"raw": raw, "first": dict(self._first), "optimizer": self._optimizer.state_dict()}

    def restore(self, state: WeightsState) -> None:
        """Restore a state that `state` returned.

        Raises:
            ValueError: the state belongs to other losses.
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
        """Return the absolute differences between weighted gradient norms and their targets, summed over
        losses.
        """
        weights = self._weights()
        sizes = torch.stack([weights[name] * norms[name] for name in names])
        left = torch.tensor([losses[name] / self._first[name] for name in names])
        share = torch.tensor([self.start[name] for name in names])
        targets = sizes.sum() * share / share.sum()
        if self.settings.alpha:
            targets = targets * (left / left.mean()) ** self.settings.alpha
        return (sizes - (targets.detach() if self.settings.detach_targets else targets)).abs().sum()

    def _rescale(self, names: list[str]) -> None:
        """Scale the weights of these losses so that their sum is that of their weights at the start."""
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
    """Return the number whose softplus is `weight`, without computing exp(weight), which can overflow."""
    return weight + torch.log(-torch.expm1(-weight))
