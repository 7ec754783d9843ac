"""Losses of distillation: their values by hand, and their gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from imug_tts.training import signals

TOKENS = 5
IS_IMAGE = torch.tensor([[False, True, True, False, False], [True, False, False, False, False]])
Loss = Callable[[Tensor], Tensor]


def attention(seed: int, heads: int = 3) -> Tensor:
    """Causal attention weights, (2, heads, TOKENS, TOKENS), in float64."""
    logits = torch.randn(
        2, heads, TOKENS, TOKENS, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    future = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
    return logits.masked_fill(future, -torch.inf).softmax(dim=-1)


def averaged(seed: int, heads: int = 3) -> Tensor:
    return signals.mean_over_heads(attention(seed, heads))


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_finite_differences(loss: Loss, at: Tensor, step: float = 1e-6) -> Tensor:
    gradient = torch.zeros_like(at)
    for index in range(at.numel()):
        shift = torch.zeros_like(at)
        shift.view(-1)[index] = step
        gradient.view(-1)[index] = (loss(at + shift) - loss(at - shift)) / (2 * step)
    return gradient


SELECTED = signals.text_to_vision(IS_IMAGE)
LABELLED = torch.tensor([[True, False, True], [False, True, True]])
LOSSES: dict[str, tuple[Loss, Tensor]] = {
    "squared error": (lambda s: signals.squared_error(s, averaged(2)), averaged(1)),
    "squared error of text to vision": (
        lambda s: signals.squared_error(s, averaged(2), SELECTED),
        averaged(1),
    ),
    "cosine": (lambda s: signals.cosine_distance(s, averaged(2)), averaged(1)),
    "cosine of text to vision": (lambda s: signals.cosine_distance(s, averaged(2), SELECTED), averaged(1)),
    "through the mean over heads": (
        lambda s: signals.squared_error(signals.mean_over_heads(s), averaged(2, heads=2), SELECTED),
        attention(1),
    ),
    "groups": (
        lambda s: signals.grouped([s, averaged(3)], [averaged(n) for n in (4, 5, 6, 7)]),
        averaged(1),
    ),
    "KL": (
        lambda s: signals.token_kl(s, normal(2, 3, 4, seed=1), LABELLED, temperature=2.0),
        normal(2, 3, 4),
    ),
    "hidden states": (
        lambda s: signals.hidden_distance(s, normal(2, 3, 6, seed=1), normal(4, 6, seed=2)),
        normal(2, 3, 4),
    ),
    "projection of hidden states": (
        lambda p: signals.hidden_distance(normal(2, 3, 4), normal(2, 3, 6, seed=1), p),
        normal(4, 6, seed=2),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    loss, at = LOSSES[name]
    student = at.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(student), student)
    torch.testing.assert_close(gradient, by_finite_differences(loss, at), rtol=1e-5, atol=1e-8)


def test_text_to_vision_has_text_queries_and_image_keys_only() -> None:
    expected = [
        [[not IS_IMAGE[b, i] and bool(IS_IMAGE[b, j]) for j in range(TOKENS)] for i in range(TOKENS)]
        for b in range(2)
    ]
    assert SELECTED.tolist() == expected


def test_the_text_to_vision_loss_is_the_sum_written_out() -> None:
    student, teacher = attention(1), attention(2, heads=4)
    losses = []
    for b in range(2):
        pairs = [
            (i, j) for i in range(TOKENS) for j in range(TOKENS) if not IS_IMAGE[b, i] and IS_IMAGE[b, j]
        ]
        squares = [
            (sum(student[b, h, i, j] for h in range(3)) / 3 - sum(teacher[b, h, i, j] for h in range(4)) / 4)
            ** 2
            for i, j in pairs
        ]
        losses.append(sum(squares) / len(pairs))
    found = signals.squared_error(
        signals.mean_over_heads(student), signals.mean_over_heads(teacher), SELECTED
    )
    torch.testing.assert_close(found, sum(losses) / 2)


def test_a_student_of_23_layers_takes_windows_of_5_from_a_teacher_of_27() -> None:
    groups = signals.layer_groups(range(23), range(27))
    assert groups[0] == (0, [0, 1, 2, 3, 4])
    assert groups[1] == (1, [1, 2, 3, 4, 5])
    assert groups[-1] == (22, [22, 23, 24, 25, 26])


def test_the_grouped_loss_is_the_mean_written_out() -> None:
    students, teachers = [averaged(1), averaged(2)], [averaged(n) for n in (3, 4, 5)]
    first = ((students[0] - (teachers[0] + teachers[1]) / 2) ** 2).sum() / (2 * TOKENS**2)
    second = ((students[1] - (teachers[1] + teachers[2]) / 2) ** 2).sum() / (2 * TOKENS**2)
    torch.testing.assert_close(signals.grouped(students, teachers), (first + second) / 2)


def test_kl_is_the_sum_written_out() -> None:
    student, teacher = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    total = torch.zeros((), dtype=torch.float64)
    for b, t in LABELLED.nonzero().tolist():
        p, q = (teacher[b, t] / 2).softmax(0), (student[b, t] / 2).softmax(0)
        total += sum(p[v] * (p[v] / q[v]).log() for v in range(4))
    torch.testing.assert_close(signals.token_kl(student, teacher, LABELLED, temperature=2.0), total * 4 / 4)


@pytest.mark.parametrize("loss", [signals.squared_error, signals.cosine_distance])
def test_equal_maps_cost_nothing_and_a_sample_without_images_counts_as_zero(
    loss: Callable[[Tensor, Tensor, Tensor | None], Tensor],
) -> None:
    assert float(loss(averaged(1), averaged(1), None)) == pytest.approx(0, abs=1e-12)
    no_image = torch.zeros_like(SELECTED)
    student = averaged(1).requires_grad_()
    found = loss(student, averaged(2), no_image)
    assert found.item() == 0
    assert float(torch.autograd.grad(found, student)[0].abs().max()) == 0


def test_the_teacher_is_never_trained() -> None:
    teacher = averaged(2).requires_grad_()
    losses = [
        signals.squared_error(averaged(1).requires_grad_(), teacher),
        signals.cosine_distance(averaged(1).requires_grad_(), teacher, SELECTED),
        signals.grouped([averaged(1).requires_grad_()], [teacher]),
    ]
    torch.autograd.backward(losses)
    assert teacher.grad is None


def test_what_does_not_fit_is_refused_with_its_shape() -> None:
    with pytest.raises(ValueError, match=r"\(2, 5, 5\); it must have \(batch, heads, queries, keys\)"):
        signals.mean_over_heads(averaged(1))
    with pytest.raises(ValueError, match=r"\(2, 5, 5\) and \(2, 5, 4\) differ; student and teacher must"):
        signals.squared_error(averaged(1), averaged(2)[:, :, :4])
    with pytest.raises(ValueError, match="2 teacher layers cannot be grouped for 3 student layers"):
        signals.layer_groups(range(3), range(2))
    with pytest.raises(ValueError, match=r"projection has shape \(2, 2\); these states need \(4, 6\)"):
        signals.hidden_distance(normal(2, 3, 4), normal(2, 3, 6), normal(2, 2))
    with pytest.raises(ValueError, match="temperature is 0; it must be greater than 0"):
        signals.token_kl(normal(2, 3, 4), normal(2, 3, 4), LABELLED, temperature=0)
