"""The gradient of a whole step in float64, against one that is written out with eager attention."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import torch
from torch import Tensor

from imug_tts.training.data import Capability, read_records
from imug_tts.training.distiller import Distiller
from imug_tts.training.encoding import Encoder, Sample
from imug_tts.training.method import CAPABILITIES, Method
from imug_tts.training.models import load_student, load_teacher
from tests.training.eager import eager, losses_of, norms_in_float64
from tests.training.tiny import FAMILIES, write_models, write_triad

WEIGHTS: Final = {"labels": 0.7, "perception": 900.0, "reasoning": 700.0, "planning": 800.0}
"""So large that the gradients of the signals are about as long as that of the labels."""
SHARES: Final = {"perception": 0.1, "reasoning": 0.8, "planning": 0.1}
CPU: Final = torch.device("cpu")


def written_out(
    student: Path, teachers: Mapping[Capability, Path], sample: Sample
) -> tuple[list[str], Tensor]:
    """Names of trained parameters, and the combined gradient as one vector."""
    model = eager(student)
    trained = {n: p for n, p in model.named_parameters() if "language_model" in n or "lm_head" in n}
    losses = losses_of(model, {name: eager(folder) for name, folder in teachers.items()}, sample)
    vectors = {}
    for name, loss in losses.items():
        parts = torch.autograd.grad(loss, list(trained.values()), retain_graph=True, allow_unused=True)
        zeros = (torch.zeros_like(parameter) for parameter in trained.values())
        flat = torch.cat([(z if p is None else p).flatten() for p, z in zip(parts, zeros, strict=True)])
        vectors[name] = WEIGHTS[name] * SHARES.get(name, 1.0) * flat
    return list(trained), two_stages(vectors.pop("labels"), vectors)


def two_stages(anchor: Tensor, others: Mapping[str, Tensor]) -> Tensor:
    merged = {}
    for name, one in others.items():
        against = min(0.0, float(one @ anchor)) / float(anchor @ anchor)
        merged[name] = anchor + one - against * anchor
    order = list(merged)
    random.Random("shuffle").shuffle(order)
    total = torch.zeros_like(anchor)
    for name in order:
        left = merged[name]
        for other in order:
            if other != name and left @ merged[other] < 0:
                left = left - (left @ merged[other]) / (merged[other] @ merged[other]) * merged[other]
        total = total + left
    return total


@pytest.fixture(autouse=True)
def whole_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    norms_in_float64(monkeypatch)


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_of_a_step_is_the_one_written_out(
    tmp_path: Path, family: str, checkpointed: bool
) -> None:
    student, folders = write_models(tmp_path, family, teachers=3)
    teachers = dict(zip(CAPABILITIES, folders, strict=True))
    record = read_records(write_triad(tmp_path / "data", 2, images=2))[1]
    method = Method()
    reader = load_student(student, method, dtype=torch.float64, device=CPU, train_vision=False)
    if checkpointed:
        reader.model.activation_checkpointing_enable()
    loaded = {
        name: load_teacher(
            folder, {name: method.signals[name]}, needs_logits=False, dtype=torch.float64, device=CPU
        )
        for name, folder in teachers.items()
    }
    sample = Encoder(student, reader.model.config, 24).encode(record)
    distiller = Distiller(method, reader, loaded, precision="float64")
    found, report = distiller.gradient(sample, record.question_type, WEIGHTS, random.Random("shuffle"))
    names, expected = written_out(student, teachers, sample)
    assert list(distiller.trained()) == names
    flat = torch.cat(
        [
            (torch.zeros_like(p) if g is None else g).flatten()
            for p, g in zip(distiller.trained().values(), found, strict=True)
        ]
    )
    assert set(report.cosines.values()) != {0.0}
    torch.testing.assert_close(flat, expected, rtol=1e-9, atol=1e-12)
