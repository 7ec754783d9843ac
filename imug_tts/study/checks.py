"""What a notebook makes easy to get wrong, and what no record would show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path

from imug_tts.contracts import Backbone, ConfigurationError, Judge, Strategy
from imug_tts.knobs import parts
from imug_tts.records import Manifest, RecordError, read_manifest, run_folders
from imug_tts.registry import identity_of, model_identity, without_code
from imug_tts.runs import Run

__all__ = ["check_own_class", "models_of_two_versions"]


def check_own_class(component: object) -> None:
    """Refuse a component, or a part of it, whose class is written in a way that cannot work.

    Values that stand in no knob are refused: runs with different values would have one name.

    Raises:
        ConfigurationError: names the class, and what to write.
    """
    cls = type(component)
    if not is_dataclass(cls) and vars(component):
        raise ConfigurationError(
            f"{cls.__name__} keeps {', '.join(vars(component))} where no run's identity sees it; put "
            "@component above the class and declare each as a knob, e.g. n: int = knob('What it is.')"
        )
    if isinstance(component, (Strategy, Judge)) and not isinstance(component.name, str):
        raise ConfigurationError(f"{cls.__name__}.name is no text; put @property above `def name(self)`")
    for _, part in parts(component):
        if not isinstance(part, Backbone):  # whose own identity says what it is
            check_own_class(part)


def models_of_two_versions(folder: Path, runs: Sequence[Run]) -> Iterator[str]:
    """What is wrong where other code of a backbone made calls under the same identity in this folder."""
    stored = [manifest for each in run_folders(folder) if (manifest := _manifest(each)) is not None]
    for run in runs:
        backbone = run.arm.backbone
        name, identity = identity_of(type(backbone)), model_identity(backbone)
        earlier = {
            str(other.arm_identity.get("backbone", {}).get("name"))
            for other in stored
            if other.backbone == identity
        } - {name}
        if without_code(name) in map(without_code, earlier):
            yield (
                f"the code of {without_code(name)} has changed and its identity {identity!r} has not: "
                "calls of the earlier code are taken from the journal; state another identity if this code "
                "answers otherwise"
            )


def _manifest(folder: Path) -> Manifest | None:
    """The manifest of a run; None for a damaged one, of which whoever needs it says more."""
    try:
        return read_manifest(folder)
    except RecordError:
        return None
