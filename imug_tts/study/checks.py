"""Checks of classes that a notebook or script defines, for errors that records would not show."""

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
    """Check that a component and its parts keep all values in knobs, and have a name that is text.

    Values outside knobs are not part of a run's identity, so runs with different values would share a folder.

    Raises:
        ConfigurationError: a class is wrong; the message names it and says what to write.
    """
    cls = type(component)
    if not is_dataclass(cls) and vars(component):
        raise ConfigurationError(
            f"{cls.__name__} keeps {', '.join(vars(component))} outside its knobs, so the identity of a run "
            "does not contain it; put @component above the class and declare each value as a knob, e.g. "
            "n: int = knob('What it is.')"
        )
    if isinstance(component, (Strategy, Judge)) and not isinstance(component.name, str):
        raise ConfigurationError(f"{cls.__name__}.name is not text; put @property above `def name(self)`")
    for _, part in parts(component):
        if not isinstance(part, Backbone):  # a backbone declares its identity itself
            check_own_class(part)


def models_of_two_versions(folder: Path, runs: Sequence[Run]) -> Iterator[str]:
    """Yield a warning for each backbone whose code changed since calls in this folder, but not its
    identity.
    """
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
                f"the code of {without_code(name)} has changed, but its identity {identity!r} has not: "
                "answers of the earlier code are reused from the journal. Give the backbone another identity "
                "if the new code answers differently"
            )


def _manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a run; None if it is damaged, which other code reports when it reads the run."""
    try:
        return read_manifest(folder)
    except RecordError:
        return None
