"""One teacher for each capability, and what the student imitates of it.

Capabilities may share one teacher; it then runs once on a sample, whatever the number of capabilities.

Source: Drive-KD (arXiv 2601.21288): perception imitates the text-to-vision attention of the first layer,
planning that of the penultimate layer, reasoning the full attention from the first to the penultimate layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import torch
from torch import Tensor, nn

from imug_tts.training.data import Capability
from imug_tts.training.signals import grouped_attention, mean_over_heads, squared_error, text_to_vision

__all__ = ["Maps", "capability_losses", "check_maps", "maps_of_teachers"]

Maps = Sequence[Tensor]
"""The attention of each layer, from the first to the last, each (batch, heads, tokens, tokens)."""


def maps_of_teachers(
    teachers: Mapping[Capability, nn.Module],
    wanted: Sequence[Capability],
    forward: Callable[[nn.Module], Maps],
) -> dict[Capability, Maps]:
    """Run the teachers of the wanted capabilities without gradients, each distinct one once.

    Args:
        teachers: the same module for capabilities that share a teacher.
        wanted: the capabilities that a sample needs.
        forward: runs one teacher on the sample and returns the attention of its layers.

    Raises:
        ValueError: a wanted capability has no teacher, or a teacher returns no maps.
    """
    if missing := [capability for capability in wanted if capability not in teachers]:
        raise ValueError(f"no teacher for {', '.join(missing)}; teachers are of {', '.join(teachers)}")
    distinct = {id(teachers[capability]): teachers[capability] for capability in wanted}
    with torch.no_grad():
        maps = {key: forward(teacher) for key, teacher in distinct.items()}
    found = {capability: maps[id(teachers[capability])] for capability in wanted}
    for capability, one in found.items():
        check_maps(one, f"the teacher of {capability}")
    return found


def check_maps(maps: Maps | None, owner: str) -> None:
    """Check that a model returned the attention of at least two layers.

    Raises:
        ValueError: it did not; says how to load it.
    """
    if not maps or any(one is None for one in maps):
        raise ValueError(
            f"{owner} returned no attention maps; load it with attn_implementation='eager', because flash "
            "and sdpa attention never compute them"
        )
    if len(maps) < 2:
        raise ValueError(f"{owner} has {len(maps)} layer; distillation needs a first and a penultimate one")


def capability_losses(
    student: Maps, teachers: Mapping[Capability, Maps], is_image: Tensor
) -> dict[str, Tensor]:
    """The loss of each capability, not weighted.

    Args:
        student: the student's attention.
        teachers: the attention of the teacher of each capability.
        is_image: (batch, tokens), true where a token belongs to an image.

    Raises:
        ValueError: maps are missing, have other shapes, or a teacher has fewer layers than the student.
    """
    check_maps(student, "the student")
    return {
        capability: _loss(capability, student, teachers[capability], is_image)
        for capability in get_args(Capability)
        if capability in teachers
    }


def _loss(capability: Capability, student: Maps, teacher: Maps, is_image: Tensor) -> Tensor:
    if capability == "reasoning":
        return grouped_attention(_averaged(student[:-1]), _averaged(teacher[:-1]))
    layer = 0 if capability == "perception" else -2
    pair = mean_over_heads(student[layer]), mean_over_heads(teacher[layer])
    return squared_error(*pair, text_to_vision(is_image))


def _averaged(maps: Maps) -> list[Tensor]:
    return [mean_over_heads(one) for one in maps]
