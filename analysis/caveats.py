"""Notes about the models behind a table: their limits, and seeds that are not exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from analysis.names import short_name

__all__ = ["caveat_notes", "merged"]


def merged(caveats: Iterable[Mapping[str, Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """The caveats of all runs by model identity, each sentence once."""
    found: dict[str, dict[str, None]] = {}
    for of_run in caveats:
        for identity, sentences in of_run.items():
            found.setdefault(identity, {}).update(dict.fromkeys(sentences))
    return {identity: tuple(sentences) for identity, sentences in sorted(found.items())}


def caveat_notes(caveats: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """One note for each model. A model is named by its short name, or by its identity if two models share a
    short name.
    """
    names = Counter(map(short_name, caveats))
    return tuple(
        f"{short_name(identity) if names[short_name(identity)] == 1 else identity}: {' '.join(sentences)}"
        for identity, sentences in caveats.items()
        if sentences
    )
