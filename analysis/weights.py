"""The sets of weights of one model in a study: how they are called, and what their training has cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from imug_tts.records import Manifest, RecordError

__all__ = ["Training", "spoken", "training_of", "without_weights"]

_HASH = re.compile(r":[0-9a-f]{16}$")


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


def without_weights(identity: str) -> str:
    """Without the hash of the weights that ends an identity such as "pocket:1:2fd4e1c67a2d28fc"."""
    return _HASH.sub("", identity)


def spoken(backbones: Sequence[str]) -> str:
    """The identity of the backbone of all runs; of several sets of weights, how many there are."""
    different = list(dict.fromkeys(backbones))
    if len(different) == 1:
        return different[0]
    return f"{without_weights(different[0])} with {len(different)} sets of weights"
