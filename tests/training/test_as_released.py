"""`as_released` against the released trainer of Drive-KD as its arithmetic is known, written out by hand.

A training of five records in batches of four, so that the second batch is incomplete: gradients of each loss
from eager attention, scaled by the batch, projected where both exist, summed into one, applied by AdamW, and
the weights of the losses moved with targets that are not detached.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]
from torch import Tensor

from imug_tts.training.data import Capability, read_records
from imug_tts.training.distiller import Distiller
from imug_tts.training.encoding import Encoder
from imug_tts.training.method import CAPABILITIES, Method
from imug_tts.training.models import load_student, load_teacher
from imug_tts.training.settings import TrainingSettings
from imug_tts.training.trainer import LOG, Trainer
from tests.training.eager import eager, losses_of, norms_in_float64
from tests.training.tiny import write_models, write_triad

CPU: Final = torch.device("cpu")
BATCH: Final = 4
RATE: Final = 1e-3
"""The student's learning rate."""
MOVE: Final = 0.05
"""The learning rate of the weights of losses."""
LENGTHEN: Final = 800.0
"""Weight of each signal at the start; its gradient is then about as long as that of the labels."""

Gradients = dict[str, list[Tensor | None]]


def inner(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> float:
    pairs = zip(one, other, strict=True)
    return sum(float((a * b).sum()) for a, b in pairs if a is not None and b is not None)


def away(one: list[Tensor | None], other: Sequence[Tensor | None]) -> list[Tensor | None]:
    """One without its part against the other, at the parameters that have both gradients."""
    product = inner(one, other)
    if product >= 0:
        return one
    part = product / max(inner(other, other), 1e-20)
    pairs = zip(one, other, strict=True)
    return [a if a is None or b is None else a - part * b for a, b in pairs]


def added(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> list[Tensor | None]:
    pairs = zip(one, other, strict=True)
    return [b if a is None else a if b is None else a + b for a, b in pairs]


def projected(gradients: Gradients, order: Sequence[str]) -> list[Tensor | None]:
    """Both stages; the labels count once for each capability."""
    labels = gradients["labels"]
    merged: Gradients = {name: added(labels, away(gradients[name], labels)) for name in CAPABILITIES}
    total: list[Tensor | None] = [None] * len(labels)
    for name in order:
        left = merged[name]
        for other in order:
            if other != name:
                left = away(left, merged[other])
        total = added(total, left)
    return total


def before_softplus(value: Tensor) -> Tensor:
    return value + torch.log(-torch.expm1(-value))


class Released:
    """The released trainer, over a model of transformers with eager attention."""

    def __init__(self, student: Path, teachers: Mapping[Capability, Path], samples: Sequence[Any]) -> None:
        self.model = eager(student)
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=RATE, weight_decay=0.0)
        self.teachers = {name: eager(folder) for name, folder in teachers.items()}
        self.samples = samples
        self.start = {"labels": 1.0} | dict.fromkeys(CAPABILITIES, LENGTHEN)
        self.raw = {name: before_softplus(torch.tensor(one)) for name, one in self.start.items()}
        for one in self.raw.values():
            one.requires_grad_()
        self.mover = torch.optim.AdamW(list(self.raw.values()), lr=MOVE, betas=(0.9, 0.99), weight_decay=0.0)

    def weights(self) -> dict[str, Tensor]:
        return {name: torch.nn.functional.softplus(one) for name, one in self.raw.items()}

    def step(self, number: int, places: Sequence[int], capabilities: Sequence[Capability]) -> float:
        """One optimizer step; returns the norm of the gradient that it applies."""
        raw_norms: list[dict[str, float]] = []
        total: list[Tensor | None] = [None] * len(self.parameters)
        for micro, place in enumerate(places):
            gradients = self._gradients(place)
            raw_norms.append({name: math.sqrt(inner(one, one)) for name, one in gradients.items()})
            weights = {name: float(one.detach()) for name, one in self.weights().items()}
            for name in CAPABILITIES:
                weights[name] *= 0.8 if name == capabilities[place] else 0.1
            scaled = {
                name: [None if part is None else part * weights[name] for part in one]
                for name, one in gradients.items()
            }
            order = list(CAPABILITIES)
            random.Random(f"0/{number}/{micro}").shuffle(order)
            total = added(total, projected(scaled, order))
        for parameter, own in zip(self.parameters, total, strict=True):
            parameter.grad = own
        norm = math.sqrt(inner(total, total))
        self.optimizer.step()
        self._move({name: sum(one[name] for one in raw_norms) / len(raw_norms) for name in self.start})
        return norm

    def _gradients(self, place: int) -> Gradients:
        """Of each loss divided by the full batch, also where the batch is not full."""
        losses = losses_of(self.model, self.teachers, self.samples[place])
        return {
            name: list(
                torch.autograd.grad(loss / BATCH, self.parameters, retain_graph=True, allow_unused=True)
            )
            for name, loss in losses.items()
        }

    def _move(self, norms: Mapping[str, float]) -> None:
        """The weights of the losses, with norms that were divided by the batch and targets not detached."""
        weights = self.weights()
        weights["labels"] = weights["labels"].clamp_min(0.6)
        whole = sum(self.start.values())
        sizes = {name: weights[name] * norms[name] for name in self.start}
        everything = torch.stack(list(sizes.values())).sum()
        distance = torch.stack(
            [(sizes[name] - everything * self.start[name] / whole).abs() for name in self.start]
        ).sum()
        self.mover.zero_grad()
        torch.autograd.backward(distance)
        self.mover.step()
        with torch.no_grad():
            moved = self.weights()
            scale = whole / sum(float(one) for one in moved.values())
            for name, one in self.raw.items():
                one.copy_(before_softplus(moved[name] * scale))


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Trainer, Released]:
    """Both trainers before their first step."""
    norms_in_float64(monkeypatch)
    student, folders = write_models(tmp_path, "internvl3", teachers=3)
    teachers: dict[Capability, Path] = dict(zip(CAPABILITIES, folders, strict=True))
    records = read_records(write_triad(tmp_path / "data", 5))
    method = Method(as_released=True, reweight_rate=MOVE, **_lengthened())
    reader = load_student(student, method, dtype=torch.float64, device=CPU, train_vision=True)
    loaded = {
        name: load_teacher(
            folder, {name: method.signals[name]}, needs_logits=False, dtype=torch.float64, device=CPU
        )
        for name, folder in teachers.items()
    }
    encoder = Encoder(student, reader.model.config, 16, label_template=True)
    own = Trainer(
        distiller=Distiller(method, reader, loaded, precision="float64"),
        records=records,
        encoder=encoder,
        settings=TrainingSettings(
            batch=BATCH, precision="float64", learning_rate=RATE, image_px=16, train_vision=True
        ),
        seed=0,
        folder=tmp_path,
        identity="one",
        accelerator=Accelerator(cpu=True),
    )
    return own, Released(student, teachers, [encoder.encode(record) for record in records])


def _lengthened() -> dict[str, Any]:
    plain = Method()
    return {
        name: type(signal)(weight=LENGTHEN, of=signal.of, layers=signal.layers)
        for name, signal in plain.signals.items()
    }


def test_a_training_is_that_of_the_released_trainer(
    trained: tuple[Trainer, Released], tmp_path: Path
) -> None:
    own, released = trained
    order = [place for step in range(2) for place in own._places(step)]
    capabilities = [record.question_type for record in own.records]
    norms = [
        released.step(number, places, capabilities)
        for number, places in enumerate((order[:BATCH], order[BATCH:]))
    ]
    own.train()
    log = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [line["records"] for line in log] == [4, 1]
    assert [line["gradient_norm"] for line in log] == pytest.approx(norms, rel=1e-6)
    assert min(angle for line in log for angle in line["angles"].values()) < 90
    assert max(angle for line in log for angle in line["angles"].values()) > 90
    moved = {name: float(one.detach()) for name, one in released.weights().items()}
    assert own.weights.now() == pytest.approx(moved, rel=1e-5)
    found = dict(own.distiller.student.model.named_parameters())
    for name, parameter in released.model.named_parameters():
        torch.testing.assert_close(found[name], parameter, rtol=1e-6, atol=1e-9)
