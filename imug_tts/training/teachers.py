"""Run the teachers on a record. A teacher that several capabilities share runs once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from imug_tts.training.data import Capability
from imug_tts.training.encoding import Sample
from imug_tts.training.losses import Seen
from imug_tts.training.models import Reader

__all__ = ["see_all"]


def see_all(
    teachers: Mapping[Capability, Reader], needed: Sequence[Capability], sample: Sample
) -> dict[Capability, Seen]:
    """Return the outputs of the teacher of each needed capability for a sample, without gradients.

    Args:
        teachers: the teacher of each capability; capabilities that share a teacher have the same object.

    Raises:
        ValueError: a needed capability has no teacher.
    """
    if missing := [capability for capability in needed if capability not in teachers]:
        raise ValueError(f"no teacher for {', '.join(missing)}; teachers are of {', '.join(teachers)}")
    distinct = {id(teachers[capability]): teachers[capability] for capability in needed}
    with torch.no_grad():
        seen = {key: teacher.look(sample) for key, teacher in distinct.items()}
    return {capability: seen[id(teachers[capability])] for capability in needed}
