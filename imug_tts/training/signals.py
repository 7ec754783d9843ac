"""Distances between a student and a teacher: attention maps, and as alternatives KL and hidden states.

All functions are pure and differentiable in the student's tensor; the teacher's tensor gets no gradient. An
attention tensor has shape (batch, heads, queries, keys) and holds weights after the softmax. Maps are
averaged over heads, so student and teacher may have different numbers of heads. Both must have read the same
tokens.

Source: Drive-KD (arXiv 2601.21288), losses of its section on distillation signals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Distance",
    "cosine_distance",
    "grouped",
    "hidden_distance",
    "layer_groups",
    "mean_over_heads",
    "squared_error",
    "text_to_vision",
    "token_kl",
]


Distance = Callable[[Tensor, Tensor], Tensor]
"""(the student's tensor, the teacher's tensor) -> their distance, a scalar tensor."""


def mean_over_heads(attention: Tensor) -> Tensor:
    """Average an attention tensor over heads: (batch, heads, queries, keys) -> (batch, queries, keys).

    Raises:
        ValueError: the tensor does not have four dimensions.
    """
    if attention.dim() != 4:
        shape = tuple(attention.shape)
        raise ValueError(f"attention has shape {shape}; it must have (batch, heads, queries, keys)")
    return attention.mean(dim=1)


def text_to_vision(is_image: Tensor) -> Tensor:
    """Select the block of a map in which a text token attends to an image token.

    Args:
        is_image: (batch, tokens), true where a token belongs to an image.

    Returns:
        (batch, tokens, tokens), true where the query is a text token and the key an image token. Entries that
        the causal mask sets to 0 are selected too, as in the source.
    """
    image = is_image.bool()
    return ~image.unsqueeze(2) & image.unsqueeze(1)


def squared_error(student: Tensor, teacher: Tensor, selected: Tensor | None = None) -> Tensor:
    """Return the mean squared difference of two maps, averaged over the batch.

    Args:
        student: (batch, queries, keys).
        teacher: the same shape.
        selected: boolean, the same shape; None for all entries. A sample with no selected entry counts as 0.

    Raises:
        ValueError: the shapes differ.
    """
    _check_shapes(student, teacher)
    squares = (student - teacher.detach()).square()
    if selected is None:
        return squares.mean()
    _check_shapes(student, selected)
    count = selected.sum(dim=(-2, -1)).clamp_min(1)
    return (squares.masked_fill(~selected, 0).sum(dim=(-2, -1)) / count).mean()


def cosine_distance(student: Tensor, teacher: Tensor, selected: Tensor | None = None) -> Tensor:
    """Return one minus the cosine between two maps as vectors, averaged over the batch.

    The source reports a cosine variant without a formula; this formula is ours. Shapes and errors are those
    of `squared_error`. A sample with no selected entry counts as 0.
    """
    _check_shapes(student, teacher)
    teacher = teacher.detach()
    if selected is None:
        return (1 - functional.cosine_similarity(student.flatten(1), teacher.flatten(1))).mean()
    _check_shapes(student, selected)
    student, teacher = (one.masked_fill(~selected, 0).flatten(1) for one in (student, teacher))
    distance = 1 - functional.cosine_similarity(student, teacher)
    return distance.masked_fill(~selected.flatten(1).any(dim=1), 0).mean()


def layer_groups(students: Sequence[int], teachers: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Return each student layer with its window of consecutive teacher layers.

    With k student and m teacher layers, a window has m - k + 1 layers and moves by one layer per student
    layer. So the windows together cover all teacher layers.

    Raises:
        ValueError: the student has no layer, or the teacher has fewer layers than the student.
    """
    if not 0 < len(students) <= len(teachers):
        raise ValueError(
            f"{len(teachers)} teacher layers cannot be grouped for {len(students)} student layers; "
            "the student needs at least one layer and the teacher at least as many"
        )
    width = len(teachers) - len(students) + 1
    return [(layer, list(teachers[start : start + width])) for start, layer in enumerate(students)]


def grouped(
    students: Sequence[Tensor], teachers: Sequence[Tensor], distance: Distance = squared_error
) -> Tensor:
    """Compare the map of each student layer with the mean map of its window of teacher layers.

    Args:
        students: head-averaged maps, or hidden states, of the chosen student layers.
        teachers: those of the chosen teacher layers; at least as many layers.
        distance: the distance between a student's and a teacher's tensor.

    Returns:
        The distance, averaged over student layers.

    Raises:
        ValueError: the layers cannot be grouped, or shapes differ.
    """
    groups = layer_groups(range(len(students)), range(len(teachers)))
    losses = [
        distance(students[layer], torch.stack([teachers[other] for other in group]).mean(dim=0))
        for layer, group in groups
    ]
    return torch.stack(losses).mean()


def token_kl(student: Tensor, teacher: Tensor, labelled: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(teacher || student) of the next-token distributions, in nats, averaged over labelled tokens.

    The result is multiplied by the squared temperature, so that gradients keep their size (Hinton et al.,
    arXiv 1503.02531).

    Args:
        student: logits, (batch, tokens, vocabulary).
        teacher: logits of the same shape.
        labelled: boolean, (batch, tokens), true where the next token is labelled. If no token is labelled,
            the result is 0.
        temperature: the temperature of both distributions, greater than 0.

    Raises:
        ValueError: the shapes differ, or the temperature is not greater than 0.
    """
    _check_shapes(student, teacher)
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be greater than 0")
    log_student = functional.log_softmax(student[labelled] / temperature, dim=-1)
    log_teacher = functional.log_softmax(teacher.detach()[labelled] / temperature, dim=-1)
    total = functional.kl_div(log_student, log_teacher, reduction="sum", log_target=True)
    return total * temperature**2 / labelled.sum().clamp_min(1)


def hidden_distance(student: Tensor, teacher: Tensor, projection: Tensor) -> Tensor:
    """Return the mean squared difference between the student's projected and the teacher's hidden states.

    Args:
        student: (batch, tokens, student width).
        teacher: (batch, tokens, teacher width).
        projection: (student width, teacher width), trained together with the student.

    Raises:
        ValueError: the shapes do not fit.
    """
    expected = (student.shape[-1], teacher.shape[-1])
    if tuple(projection.shape) != expected:
        raise ValueError(f"projection has shape {tuple(projection.shape)}; these states need {expected}")
    projected = student @ projection
    _check_shapes(projected, teacher)
    return (projected - teacher.detach()).square().mean()


def _check_shapes(student: Tensor, other: Tensor) -> None:
    if student.shape != other.shape:
        raise ValueError(
            f"shapes {tuple(student.shape)} and {tuple(other.shape)} differ; student and teacher must read "
            "the same tokens, so take both from one family and give both the same images"
        )
