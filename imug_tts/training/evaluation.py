"""Evaluation of a saved student: the cross-entropy of held-out answers, by capability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import torch

from imug_tts.training.data import Record
from imug_tts.training.encoding import Encoder
from imug_tts.training.losses import label_loss
from imug_tts.training.method import CAPABILITIES
from imug_tts.training.models import load_reader

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

__all__ = ["HeldOut", "held_out_losses"]


class HeldOut(TypedDict):
    """The loss on the held-out records of one capability."""

    loss: float
    """Cross-entropy in nats per token, the mean over all tokens of all answers."""
    tokens: int
    records: int


def held_out_losses(
    folder: Path, records: Sequence[Record], image_px: int | None, accelerator: Accelerator
) -> Mapping[str, HeldOut]:
    """Return the model's cross-entropy on the answers of records, for each capability that has records.

    The model is loaded in the data type of its files. The records are divided among the processes.

    Raises:
        ConfigurationError: the model cannot be loaded.
    """
    from accelerate.utils import gather_object  # type: ignore[import-untyped]

    reader = load_reader(folder, "student", accelerator.device)
    encoder = Encoder(folder, reader.model.config, image_px)
    own: list[tuple[str, float, int]] = []
    for record in records[accelerator.process_index :: accelerator.num_processes]:
        sample = encoder.encode(record).to(accelerator.device)
        with torch.no_grad():
            loss = label_loss(reader.see(sample, {}), sample.answers).item()
        own.append((record.question_type, loss * len(sample.answers), len(sample.answers)))
    everything = gather_object(own) if accelerator.num_processes > 1 else own
    return {name: found for name in CAPABILITIES if (found := _of(name, everything)) is not None}


def _of(capability: str, everything: Sequence[tuple[str, float, int]]) -> HeldOut | None:
    rows = sorted((total, tokens) for name, total, tokens in everything if name == capability)
    tokens = sum(count for _, count in rows)
    if not tokens:
        return None
    return {"loss": math.fsum(total for total, _ in rows) / tokens, "tokens": tokens, "records": len(rows)}
