"""The progress of a run, read from its records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from imug_tts.contracts.record import FINAL_OUTCOMES, Record
from imug_tts.records import MANIFEST, Manifest, read_manifest, read_turns, sample_name, stranger

__all__ = ["Standing", "standing_of"]

_COSTS: Final = ("calls", "images", "new_tokens", "dollars")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The progress of a run: numbers of turns, and cost."""

    manifest: Manifest | None = None
    """The manifest of the run; None if the run has not started."""
    planned: int = 0
    done: int = 0
    """Turns with a final outcome, and turns that cannot be asked because an earlier turn was refused."""
    failed: int = 0
    """Turns that the next invocation tries again."""
    damaged: tuple[str, ...] = ()
    """What is wrong with records that are not counted: file, line and reason."""
    cost: Mapping[str, float]
    """`calls`, `images`, `new_tokens` and `dollars` of all records; each call of a turn counts once."""

    @property
    def is_complete(self) -> bool:
        return self.manifest is not None and self.done >= self.planned


class _Turn(NamedTuple):
    """The needed fields of a record; whole records of a large run may not fit into memory."""

    outcome: str
    history: str
    costs: tuple[float, ...]


def standing_of(folder: Path) -> Standing:
    """Return the progress of the run in `folder`. Damaged records and those of other runs count as missing.

    Raises:
        RecordError: the files of the run cannot be read.
    """
    if not (folder / MANIFEST).exists():
        return Standing(cost=dict.fromkeys(_COSTS, 0.0))
    manifest = read_manifest(folder)
    dialogues: dict[str, dict[int, _Turn]] = {}
    damaged: list[str] = []
    for place, record in read_turns(folder, on_damage=lambda problem: damaged.append(str(problem))):
        if difference := stranger(record, manifest.heading):
            damaged.append(f"{place}: {difference}")
            continue
        costs = tuple(_cost(record, name) for name in _COSTS)
        turn = _Turn(record["outcome"], record["history"], costs)
        dialogues.setdefault(sample_name(record), {})[record["turn"]] = turn
    turns = [turn for own in dialogues.values() for turn in own.values()]
    final = sum(turn.outcome in FINAL_OUTCOMES for turn in turns)
    return Standing(
        manifest=manifest,
        planned=sum(len(dialogue.modalities) for dialogue in manifest.planned),
        done=final + _unasked(manifest, dialogues),
        failed=len(turns) - final,
        damaged=tuple(damaged),
        cost={name: sum(turn.costs[place] for turn in turns) for place, name in enumerate(_COSTS)},
    )


def _unasked(manifest: Manifest, dialogues: Mapping[str, Mapping[int, _Turn]]) -> int:
    """Return the number of turns that cannot be asked, because they need the answer of a refused turn."""
    turns = {each.name: len(each.modalities) for each in manifest.planned}
    return sum(
        turns.get(name, len(own)) - len(own)
        for name, own in dialogues.items()
        if (last := own[max(own)]).outcome == "refused" and last.history == "own"
    )


def _cost(record: Record, name: str) -> float:
    return sum(float(part.get(name, 0)) for part in record["cost"].values())
