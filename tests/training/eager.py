"""The losses of Drive-KD written out, from models of transformers with eager attention in float64."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from transformers import AttentionInterface, AutoModelForImageTextToText
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLRMSNorm

from imug_tts.training.data import Capability
from imug_tts.training.encoding import Sample

__all__ = ["eager", "losses_of", "norms_in_float64"]


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


def losses_of(model: Any, teachers: Mapping[Capability, Any], sample: Sample) -> dict[str, Tensor]:
    """Each loss of a student of three layers and teachers of five, all of them eager models."""
    own, logits = attentions(model, sample)
    with torch.no_grad():
        theirs = {name: attentions(teacher, sample)[0] for name, teacher in teachers.items()}
    text, image = (~sample.is_image).nonzero()[:, 0], sample.is_image.nonzero()[:, 0]

    def text_to_vision(ours: Tensor, others: Tensor) -> Tensor:
        return (ours - others)[text][:, image].square().mean()

    windows = [torch.stack(theirs["reasoning"][start : start + 3]).mean(dim=0) for start in (0, 1)]
    return {
        "labels": -logits.log_softmax(-1)[sample.places, sample.answers].mean(),
        "perception": text_to_vision(own[0], theirs["perception"][0]),
        "reasoning": ((own[0] - windows[0]).square().mean() + (own[1] - windows[1]).square().mean()) / 2,
        "planning": text_to_vision(own[1], theirs["planning"][3]),
    }


def norms_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """The norms of transformers round to float32, which would hide differences up to 1e-5."""

    def norm(self: Any, hidden: Tensor) -> Tensor:
        scale = torch.rsqrt(hidden.square().mean(-1, keepdim=True) + self.variance_epsilon)
        return cast(Tensor, self.weight * hidden * scale)

    for cls in (Qwen2RMSNorm, Qwen2_5_VLRMSNorm):
        monkeypatch.setattr(cls, "forward", norm)
