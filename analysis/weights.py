"""The names and training costs of the sets of weights of one model in a study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from imug_tts.records import Manifest, RecordError

__all__ = ["Training", "spoken", "training_of", "without_weights"]

_HASH = re.compile(r":[0-9a-f]{16}$")


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


def without_weights(identity: str) -> str:
    """Return a backbone's identity without a trailing hash of weights, e.g. "pocket:1" for
    "pocket:1:2fd4e1c67a2d28fc".
    """
    return _HASH.sub("", identity)


def spoken(backbones: Sequence[str]) -> str:
    """Return the identity of the backbones; if they are several sets of weights of one model, its identity
    without weights and their number.
    """
    different = list(dict.fromkeys(backbones))
    if len(different) == 1:
        return different[0]
    return f"{without_weights(different[0])} with {len(different)} sets of weights"
