"""The variants of one model in a study, its weights and knobs: their name, and the cost of their training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imug_tts.records import Manifest, RecordError, model_parts

__all__ = ["Training", "spoken", "training_of"]


class Training(NamedTuple):
    """The cost of training a backbone from its start weights; the cost of the start weights is not
    included.
    """

    method: str
    start: str
    """Hash of the model whose weights the training started from, or "scratch"."""
    seeds: tuple[int, ...]
    steps: int
    token_positions: int
    seconds: float


def training_of(manifest: Manifest) -> Training | None:
    """Return the training cost that the manifest states for its backbone; None if it states none.

    Raises:
        RecordError: the stated cost is damaged.
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
    """Return what to call the backbones of a study's runs.

    That is the identity if all are equal. If several differ in weights or knobs, it is the model's name and
    how many variants it has.
    """
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
