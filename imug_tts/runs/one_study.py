"""The check that the analysis will be able to compare the runs of a study, made before the first call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from imug_tts.contracts import ConfigurationError
from imug_tts.records import Comparable, RecordError, first_difference, read_manifest, run_folders
from imug_tts.runs.work import Work

__all__ = ["check_one_study"]


def check_one_study(runs: Sequence[Work], study: Path | None = None) -> None:
    """Check that the runs have one benchmark and one model, like the runs that are in `study` already.

    Raises:
        ConfigurationError: names two runs, in what they differ, and what to do.
    """
    new = [Comparable(run.folder, *_stated(run)) for run in runs]
    found = first_difference([*new, *_stored(study, {run.folder for run in runs})])
    if found is None:
        return
    (first, second), (here, there) = found.folders, found.values
    raise ConfigurationError(
        f"{first} has the {found.what} {here!r} and {second} has {there!r}; the analysis of a study compares "
        f"arms of one {found.what} only"
        + (" (its weights and knobs may differ)" if found.what == "backbone" else "")
        + f": run each {found.what} in a study of its own, e.g. study=NAME"
    )


def _stated(run: Work) -> tuple[str, str]:
    manifest = run.manifest()
    return manifest["benchmark"], manifest["backbone"]


def _stored(study: Path | None, new: set[Path]) -> Iterator[Comparable]:
    """The other runs in the study's folder, without damaged manifests, which the analysis names."""
    for folder in [] if study is None else run_folders(study):
        if folder not in new:
            try:
                stored = read_manifest(folder)
            except RecordError:
                continue
            yield Comparable(folder, stored.benchmark, stored.backbone)
