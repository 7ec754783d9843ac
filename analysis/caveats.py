"""What tables say of the models behind them: their limits, and seeds that are not exact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from analysis.names import short_name

__all__ = ["merged", "said"]


def merged(caveats: Iterable[Mapping[str, Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """The caveats of all runs by the identity of the model, each sentence once."""
    found: dict[str, dict[str, None]] = {}
    for of_run in caveats:
        for identity, sentences in of_run.items():
            found.setdefault(identity, {}).update(dict.fromkeys(sentences))
    return {identity: tuple(sentences) for identity, sentences in sorted(found.items())}


def said(caveats: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """One note for each model; models that would share a short name are called by their identities."""
    names = Counter(map(short_name, caveats))
    return tuple(
        f"{short_name(identity) if names[short_name(identity)] == 1 else identity}: {'; '.join(sentences)}."
        for identity, sentences in caveats.items()
        if sentences
    )
