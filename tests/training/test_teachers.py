"""Teachers on tiny random models of transformers: how often they run, and what the student imitates."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from imug_tts.training.teachers import Maps, capability_losses, maps_of_teachers

TOKENS = torch.tensor([[5, 1, 2, 3, 7, 8]])
IS_IMAGE = torch.tensor([[False, True, True, True, False, False]])


def language_model(layers: int, heads: int, attention: str = "eager") -> nn.Module:
    """A random language model of the family that InternVL3 and Qwen2.5-VL use."""
    torch.manual_seed(layers)
    config = Qwen2Config(
        vocab_size=16,
        hidden_size=8 * heads,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=1,
    )
    model = Qwen2ForCausalLM(config)
    model.set_attn_implementation(attention)
    return model


def attention_of(model: nn.Module) -> Maps:
    attentions: Maps = model(input_ids=TOKENS, output_attentions=True).attentions
    return attentions


class Counted:
    """Runs models and counts how often each one ran."""

    def __init__(self) -> None:
        self.runs: dict[int, int] = {}

    def __call__(self, model: nn.Module) -> Maps:
        self.runs[id(model)] = self.runs.get(id(model), 0) + 1
        return attention_of(model)


def test_a_shared_teacher_runs_once_and_an_unused_one_never() -> None:
    shared, other = language_model(5, 2), language_model(4, 2)
    forward = Counted()
    found = maps_of_teachers(
        {"perception": shared, "reasoning": shared, "planning": other}, ["perception", "reasoning"], forward
    )
    assert forward.runs == {id(shared): 1}
    assert found["perception"] is found["reasoning"]
    assert not any(one.requires_grad for one in found["perception"])


def test_each_capability_imitates_its_layers() -> None:
    student, teacher = attention_of(language_model(3, 2)), attention_of(language_model(5, 4))
    losses = capability_losses(
        student, {"perception": teacher, "reasoning": teacher, "planning": teacher}, IS_IMAGE
    )
    assert losses["perception"].item() == pytest.approx(by_loops(student[0], teacher[0]), rel=1e-5)
    assert losses["planning"].item() == pytest.approx(by_loops(student[1], teacher[3]), rel=1e-5)
    windows = [torch.stack(list(teacher[start : start + 3])).mean(dim=(0, 2)) for start in (0, 1)]
    full = [(student[layer].mean(1) - windows[layer]).square().mean() for layer in (0, 1)]
    torch.testing.assert_close(losses["reasoning"], (full[0] + full[1]) / 2)


def by_loops(student: Tensor, teacher: Tensor) -> float:
    pairs = [(i, j) for i in (0, 4, 5) for j in (1, 2, 3)]
    squares = [(student[0, :, i, j].mean() - teacher[0, :, i, j].mean()).item() ** 2 for i, j in pairs]
    return sum(squares) / len(squares)


def test_only_layers_up_to_the_imitated_one_are_trained() -> None:
    student = language_model(3, 2)
    teacher = attention_of(language_model(5, 4))
    losses = capability_losses(attention_of(student), {"perception": teacher}, IS_IMAGE)
    torch.autograd.backward([losses["perception"]])
    reached = {name for name, value in student.named_parameters() if value.grad is not None}
    assert any("layers.0.self_attn.q_proj" in name for name in reached)
    assert not any("layers.1." in name or "layers.2." in name for name in reached)


def test_a_distilled_student_comes_closer_to_its_teacher() -> None:
    student, teacher = language_model(3, 2), attention_of(language_model(5, 4))
    teacher = [one.detach() for one in teacher]
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
    course = []
    for _ in range(30):
        losses = capability_losses(attention_of(student), {"reasoning": teacher}, IS_IMAGE)
        optimizer.zero_grad()
        torch.autograd.backward([losses["reasoning"]])
        optimizer.step()
        course.append(losses["reasoning"].item())
    assert course[-1] < course[0] / 2


def refused(teacher: nn.Module, forward: Callable[[nn.Module], Maps]) -> str:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the caller compares the message
        maps_of_teachers({"planning": teacher}, ["planning"], forward)
    return str(raised.value)


def test_a_teacher_without_maps_or_layers_is_refused() -> None:
    assert "the teacher of planning returned no attention maps; load it with attn_implementation='eager'" in (
        refused(language_model(3, 2, "sdpa"), attention_of)
    )
    assert "the teacher of planning has 1 layer" in refused(language_model(1, 2), attention_of)
    with pytest.raises(ValueError, match="no teacher for reasoning; teachers are of planning"):
        maps_of_teachers({"planning": language_model(3, 2)}, ["reasoning"], attention_of)


def test_a_teacher_with_fewer_layers_than_the_student_is_refused() -> None:
    student, teacher = attention_of(language_model(4, 2)), attention_of(language_model(3, 2))
    with pytest.raises(ValueError, match="2 teacher layers cannot be grouped for 3 student layers"):
        capability_losses(student, {"reasoning": teacher}, IS_IMAGE)
