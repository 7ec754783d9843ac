"""The data of the dialogue browser: an index, and the records of each dialogue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from analysis.names import layers
from analysis.records import Arm, SampleKey, Study
from analysis.stored import StoredDialogue, stored_dialogues
from analysis.webpage import EMBED_LIMIT, embedded_image, pack, packed_script
from imug_tts.records import image_files, line_of

__all__ = ["scripts"]

_SNIPPET = 120
"""Number of characters of a dialogue's first question in the list."""


@dataclass
class _Dialogue:
    """One dialogue as answered by all arms."""

    modalities: dict[int, str] = field(default_factory=dict)
    cells: dict[Arm, dict[int, float | str]] = field(default_factory=dict)
    """By arm and turn: the score, the outcome of an unscored turn, or "missing"."""
    question: str = ""
    packed: list[str] = field(default_factory=list)
    """The packed records, one text for each run."""


def scripts(study: Study, out: Path, *, baseline: str | None) -> Iterator[str]:
    """Script elements: the index, then the packed records of each dialogue, then embedded images.

    A dialogue's element holds one line for each run that answered it, so that the page unpacks only what is
    viewed.
    """
    dialogues = _planned(study)
    arms = sorted(set(study.arms.values()), key=lambda arm: _order(arm, baseline))
    folders = list(study.arms)
    for stored in stored_dialogues(study):
        dialogue = dialogues[stored.sample]
        dialogue.packed.append(_packed(stored, arms.index(stored.arm), folders.index(stored.folder)))
        dialogue.question = dialogue.question or _first_question(stored)
    images = _few_images(folders)
    yield packed_script(
        "index",
        {
            "baseline": baseline,
            "arms": [[*arm, arm.strategy in study.oracles] for arm in arms],
            "folders": [_address(folder / "images", out) for folder in folders],
            "embedded": images is not None,
            "dialogues": [[*sample, *_row(dialogue, arms)] for sample, dialogue in dialogues.items()],
        },
    )
    for position, dialogue in enumerate(dialogues.values()):
        lines = "\n".join(dialogue.packed)
        yield f'<script type="text/plain" id="dialogue-{position}">{lines}</script>\n'
    for path in images or ():
        yield embedded_image(path.stem, path.read_bytes())


def _planned(study: Study) -> dict[SampleKey, _Dialogue]:
    dialogues: dict[SampleKey, _Dialogue] = {}
    for key, modality in study.planned.items():
        dialogue = dialogues.setdefault(key.sample, _Dialogue())
        dialogue.modalities[key.turn] = modality
        dialogue.cells.setdefault(Arm(key.strategy, key.history, key.seed), {})[key.turn] = "missing"
    for record in study.records:
        key = record.key
        cell = record.outcome if record.score is None else round(record.score, 4)
        dialogues[key.sample].cells[Arm(key.strategy, key.history, key.seed)][key.turn] = cell
    return dialogues


def _order(arm: Arm, baseline: str | None) -> tuple[bool, int, str, bool, str, int]:
    """A sort key: the baseline first, simpler strategies before nested ones, own history before others."""
    nested = len(layers(arm.strategy))
    return arm.strategy != baseline, nested, arm.strategy, arm.history != "own", arm.history, arm.seed


def _row(dialogue: _Dialogue, arms: list[Arm]) -> list[Any]:
    turns = range(1, max(dialogue.modalities) + 1)
    return [
        dialogue.question,
        "".join(dialogue.modalities.get(turn, "-")[0] for turn in turns),
        [[arms.index(arm), [cells.get(t) for t in turns]] for arm, cells in dialogue.cells.items()],
    ]


def _packed(stored: StoredDialogue, arm: int, folder: int) -> str:
    records = b",".join(line_of(record).rstrip() for record in stored.turns)
    return pack(b'{"arm":%d,"folder":%d,"turns":[%b]}' % (arm, folder, records))


def _first_question(stored: StoredDialogue) -> str:
    parts = stored.turns[0].get("input") or ()
    return " ".join(part["text"] for part in parts if "text" in part)[:_SNIPPET]


def _address(folder: Path, out: Path) -> str:
    return quote(Path(os.path.relpath(folder, out)).as_posix())


def _few_images(folders: list[Path]) -> list[Path] | None:
    """One file for each image; None if the images exceed `EMBED_LIMIT`."""
    found: dict[str, Path] = {}
    left = EMBED_LIMIT
    for folder in folders:
        for path in image_files(folder):
            if path.stem not in found:
                found[path.stem] = path
                left -= path.stat().st_size
            if left < 0:
                return None
    return list(found.values())
