"""The gradient of a whole step in float64, against one that is written out with eager attention."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest
import torch
from torch import Tensor
from transformers import AttentionInterface, AutoModelForImageTextToText
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLRMSNorm

from imug_tts.training.data import Capability, read_records
from imug_tts.training.distiller import Distiller
from imug_tts.training.encoding import Encoder, Sample
from imug_tts.training.method import CAPABILITIES, Method
from imug_tts.training.models import load_student, load_teacher
from tests.training.tiny import FAMILIES, write_models, write_triad

WEIGHTS: Final = {"labels": 0.7, "perception": 900.0, "reasoning": 700.0, "planning": 800.0}
"""So large that the gradients of the signals are about as long as that of the labels."""
SHARES: Final = {"perception": 0.1, "reasoning": 0.8, "planning": 0.1}
CPU: Final = torch.device("cpu")


def plain_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float, **_: Any
) -> tuple[Tensor, Tensor]:
    """Causal attention with softmax in float64; the eager one of transformers rounds it to float32."""
    del module, mask
    times = query.shape[1] // key.shape[1]
    key, value = (one.repeat_interleave(times, dim=1) for one in (key, value))
    scores = query @ key.transpose(2, 3) * scaling
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    weights = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
    return (weights @ value).transpose(1, 2).contiguous(), weights


AttentionInterface.register("plain_float64", plain_attention)


def eager(folder: Path) -> Any:
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float64)
    model.set_attn_implementation({"text_config": "plain_float64", "vision_config": "sdpa"})
    return model.eval()


def attentions(model: Any, sample: Sample) -> tuple[list[Tensor], Tensor]:
    """The map of each layer, the mean over heads, and all logits."""
    out = model(**sample.inputs, use_cache=False, output_attentions=True)
    return [one[0].mean(dim=0) for one in out.attentions], out.logits[0]


def written_out(
    student: Path, teachers: Mapping[Capability, Path], sample: Sample
) -> tuple[list[str], Tensor]:
    """Names of trained parameters, and the combined gradient as one vector."""
    model = eager(student)
    trained = {n: p for n, p in model.named_parameters() if "language_model" in n or "lm_head" in n}
    own, logits = attentions(model, sample)
    with torch.no_grad():
        theirs = {name: attentions(eager(folder), sample)[0] for name, folder in teachers.items()}
    text, image = (~sample.is_image).nonzero()[:, 0], sample.is_image.nonzero()[:, 0]

    def text_to_vision(ours: Tensor, others: Tensor) -> Tensor:
        return (ours - others)[text][:, image].square().mean()

    windows = [torch.stack(theirs["reasoning"][start : start + 3]).mean(dim=0) for start in (0, 1)]
    losses = {
        "labels": -logits.log_softmax(-1)[sample.places, sample.answers].mean(),
        "perception": text_to_vision(own[0], theirs["perception"][0]),
        "reasoning": ((own[0] - windows[0]).square().mean() + (own[1] - windows[1]).square().mean()) / 2,
        "planning": text_to_vision(own[1], theirs["planning"][3]),
    }
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
def norms_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """The norms of transformers round to float32, which would hide differences up to 1e-5."""

    def norm(self: Any, hidden: Tensor) -> Tensor:
        scale = torch.rsqrt(hidden.square().mean(-1, keepdim=True) + self.variance_epsilon)
        return cast(Tensor, self.weight * hidden * scale)

    for cls in (Qwen2RMSNorm, Qwen2_5_VLRMSNorm):
        monkeypatch.setattr(cls, "forward", norm)


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
