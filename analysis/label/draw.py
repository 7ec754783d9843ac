"""Draws the turns to label, and writes the labelling page and its key."""

from __future__ import annotations

import csv
import json
import random
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from analysis.records import Arm, Key, SampleKey, Study, StudyError
from analysis.stored import StoredDialogue, image_file, stored_dialogues
from analysis.webpage import EMBED_LIMIT, embedded_image, packed_script, write_page

__all__ = ["KEY_COLUMNS", "Item", "draw", "write_labelling"]

KEY_COLUMNS = (
    "item", "strategy", "history", "seed", "class", "domain", "task", "sample_id", "turn"
)  # fmt: skip


class _Cell(NamedTuple):
    """A turn that every strategy answered with one seed."""

    sample: SampleKey
    turn: int
    seed: int


@dataclass
class Item:
    """One image to label, with the dialogue before it; several strategies may have drawn it."""

    content: dict[str, Any]
    """`turns` with questions and answers (the image last), and the `points` to grade; contains no strategy
    name.
    """
    folder: Path
    item_id: str = ""
    keys: list[Key] = field(default_factory=list)


def draw(study: Study, *, num_turns: int, seed: int, strategies: Sequence[str] | None = None) -> list[Item]:
    """A simple random sample of the image turns that all `strategies` scored on own history, in shuffled
    order.

    Each sampled turn is labelled for every strategy, so that gains are compared within turns. If strategies
    drew the same image after the same dialogue, it is labelled once.

    Raises:
        StudyError: a strategy is not in the study, or no turn is scored by all strategies.
    """
    names = _checked(study, strategies)
    cells = _cells(study, names)
    if not cells:
        raise StudyError(
            f"no image turn on own history is scored by all of {', '.join(names)}; "
            "choose others with --strategies"
        )
    rng = random.Random(seed)
    items = _items(study, rng.sample(cells, min(len(cells), num_turns)), names)
    rng.shuffle(items)
    for item in items:
        item.item_id = f"{rng.getrandbits(40):010x}"
    return items


def write_labelling(items: Sequence[Item], out: Path) -> tuple[Path, Path]:
    """Write the labelling page and the key from items to strategies; returns both paths.

    Images are embedded in the page up to `EMBED_LIMIT`, else written to `out/images`.
    """
    out.mkdir(parents=True, exist_ok=True)
    images = {
        sha256: path
        for item in items
        for sha256 in _images(item.content)
        if (path := image_file(item.folder, sha256)) is not None
    }
    embeds = sum(path.stat().st_size for path in images.values()) <= EMBED_LIMIT
    if not embeds:
        (out / "images").mkdir(exist_ok=True)
        for sha256, path in images.items():
            shutil.copyfile(path, out / "images" / f"{sha256}.png")
    contents = [{"item": item.item_id, **item.content} for item in items]
    page = write_page(
        out / "label.html",
        __package__,
        title="Images to label",
        slots={"count": str(len(items))},
        data=_scripts(contents, images if embeds else {}),
    )
    return page, _write_key(items, out / "key.csv")


def _checked(study: Study, strategies: Sequence[str] | None) -> list[str]:
    present = list(dict.fromkeys(key.strategy for key in study.planned))
    unknown = [name for name in strategies or () if name not in present]
    if unknown:
        raise StudyError(f"--strategies: no {unknown[0]!r} in the study; it has {', '.join(present)}")
    return list(dict.fromkeys(strategies)) if strategies else present


def _cells(study: Study, names: Sequence[str]) -> list[_Cell]:
    """The turns to draw from, in an order that does not depend on the order of the files."""
    scored_by: dict[_Cell, set[str]] = defaultdict(set)
    for record in study.records:
        key = record.key
        if record.modality == "image" and key.history == "own" and record.score is not None:
            scored_by[_Cell(key.sample, key.turn, key.seed)].add(key.strategy)
    return sorted(cell for cell, strategies in scored_by.items() if strategies.issuperset(names))


def _items(study: Study, chosen: Iterable[_Cell], names: Sequence[str]) -> list[Item]:
    turns: dict[tuple[Arm, SampleKey], list[int]] = defaultdict(list)
    for cell in chosen:
        for name in names:
            turns[Arm(name, "own", cell.seed), cell.sample].append(cell.turn)
    items: dict[str, Item] = {}
    for stored in stored_dialogues(study):
        for turn in turns.get((stored.arm, stored.sample), ()):
            content = _content(stored, turn)
            item = items.setdefault(json.dumps([stored.sample, content]), Item(content, stored.folder))
            item.keys.append(Key(*stored.arm, stored.sample, turn))
    return [items[text] for text in sorted(items)]


def _content(stored: StoredDialogue, turn: int) -> dict[str, Any]:
    rows = [row for row in stored.turns if row["turn"] <= turn]
    answers = [(row["response"] or {}).get("output") for row in rows]
    points = (rows[-1]["score_detail"] or {}).get("point_texts", [])
    turns = [{"asked": row.get("input", []), "answer": a} for row, a in zip(rows, answers, strict=True)]
    return {"turns": turns, "points": points}


def _images(content: dict[str, Any]) -> Iterator[str]:
    for turn in content["turns"]:
        for part in (*turn["asked"], turn["answer"] or {}):
            if "image" in part:
                yield part["image"]


def _scripts(contents: Sequence[dict[str, Any]], images: dict[str, Path]) -> Iterator[str]:
    yield packed_script("items", contents)
    for sha256, path in images.items():
        yield embedded_image(sha256, path.read_bytes())


def _write_key(items: Sequence[Item], path: Path) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(KEY_COLUMNS)
        for item in items:
            for key in item.keys:
                writer.writerow([item.item_id, key.strategy, key.history, key.seed, *key.sample, key.turn])
    return path
