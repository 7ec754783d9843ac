"""Notes about the models behind a table: their limits, seeds that are not exact, and versions of packages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from analysis.names import short_name
from imug_tts.records import Manifest

__all__ = ["caveat_notes", "different_versions", "merged"]


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


def different_versions(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A warning about packages of which the runs used different versions."""
    played = [versions for m in manifests for versions in (m.versions, *m.earlier_versions)]
    names = dict.fromkeys(name for versions in played for name in versions)
    used = {name: sorted({versions[name] for versions in played if name in versions}) for name in names}
    told = [f"{name} ({', '.join(versions)})" for name, versions in used.items() if len(versions) > 1]
    if told:
        yield (
            f"the runs were made with different versions of {', '.join(told)}: a difference between arms may "
            "be one of versions; manifest.json of each run names its own"
        )
