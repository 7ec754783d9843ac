"""The variants of one model in a study, its weights and knobs: their name, and the cost of their training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imug_tts.records import Manifest, RecordError, model_parts

__all__ = ["Training", "spoken", "training_of"]


class Training(NamedTuple):
    """What the training of a backbone has cost, beyond the weights that it began with."""

    method: str
    start: str
    """Hash of the model that the training began with, or "scratch"."""
    seeds: tuple[int, ...]
    steps: int
    token_positions: int
    seconds: float


def training_of(manifest: Manifest) -> Training | None:
    """What the manifest says of its backbone; None where it says nothing.

    Raises:
        RecordError: what it says is damaged.
    """
    stated = manifest.training.get(manifest.backbone)
    if stated is None:
        return None
    try:
        return Training(
            method=str(stated["method"]),
            start=str(stated["start"]),
            seeds=tuple(int(seed) for seed in stated["seeds"]),
            steps=int(stated["steps"]),
            token_positions=int(stated["token_positions"]),
            seconds=float(stated["seconds"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(str(manifest.folder / "manifest.json"), f"damaged training ({error!r})") from error


def spoken(backbones: Sequence[str]) -> str:
    """The identity of the backbone of all runs; if several, the model's name and how many variants it has."""
    different = list(dict.fromkeys(backbones))
    if len(different) == 1:
        return different[0]
    parts = [model_parts(each) for each in different]
    counts = {
        "sets of weights": {each.weights for each in parts},
        "settings of its knobs": {each.knobs for each in parts},
    }
    told = [f"{len(values)} {what}" for what, values in counts.items() if len(values) > 1]
    return f"{parts[0].name} with {' and '.join(told)}"
