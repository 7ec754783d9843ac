"""Muon for matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer


def orthogonalised(update: Tensor) -> Tensor:
    """Nearest semi-orthogonal matrices of a stack (n, rows, columns): 5 Newton-Schulz steps (Jordan 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = update.shape[-2] > update.shape[-1]
    x = update.mT if tall else update
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT if tall else x
    return result


class Muon(Optimizer):
    """Nesterov momentum, then orthogonalised; parameters are stacks of matrices (n, rows, columns)."""

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter; stacks of one shape are orthogonalised together."""
        for group in self.param_groups:
            for shape in dict.fromkeys(parameter.shape[1:] for parameter in group["params"]):
                alike = [parameter for parameter in group["params"] if parameter.shape[1:] == shape]
                self._step_alike(alike, group["lr"], group["momentum"])

    def _step_alike(self, parameters: list[Tensor], lr: float, momentum: float) -> None:
        updates = []
        for parameter in parameters:
            assert parameter.grad is not None
            buffer = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
            buffer.lerp_(parameter.grad, 1 - momentum)
            updates.append(parameter.grad.lerp(buffer, momentum))
        rows, columns = parameters[0].shape[1:]
        steps = orthogonalised(torch.cat(updates)) * (-lr * max(1.0, rows / columns) ** 0.5)
        for parameter, step in zip(parameters, steps.split([len(p) for p in parameters]), strict=True):
            parameter.add_(step)


def build_optimizers(named: Iterable[tuple[str, Tensor]], muon_lr: float, adam_lr: float) -> list[Optimizer]:
    """Muon for the stacked matrices of the layers, AdamW for tables and norms."""
    listed = list(named)
    matrices = [p for name, p in listed if p.ndim == 3]
    others = [p for name, p in listed if p.ndim != 3]
    return [Muon(matrices, muon_lr), AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.01)]
