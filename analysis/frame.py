"""The turns of a study as a pandas DataFrame, with the columns of the long CSV of `python -m analysis`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analysis.names import SWAP
from analysis.records import Arm, Key, Record, SampleKey, Study
from imug_tts.records import read_manifest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "frame_of"]

COLUMNS: Final = (
    *("strategy", "history", "history_from", "seed", "class", "domain", "task", "sample_id", "turn"),
    *("modality", "outcome", "score", "step_score", "dynamic", "nfe", "new_tokens", "seconds"),
    *("run", "benchmark", "backbone"),
)
"""Fields of `analysis.long_csv`, in the order of the frame."""


def frame_of(study: Study) -> pd.DataFrame:
    """One row for each planned turn of each run, with the columns `COLUMNS`.

    `score` and `step_score` are in [0, 1]. A turn that has no score has NaN there: its `outcome` says how it
    ended, and is missing where the turn was not reached. `nfe` are network evaluations, `new_tokens` and
    `seconds` those of the generator. Written with `to_csv(path, index=False)`, the frame is a study for
    `python -m analysis path`.
    """
    import pandas as pd

    records = {record.key: record for record in study.records}
    folders = dict(_folders(study))
    choices = {
        (r.key.sample, r.key.turn) for r in study.records if r.modality == "text" and r.multiple_choice
    }
    rows = [
        {
            **_row(key, "mcq" if (key.sample, key.turn) in choices else modality, records.get(key)),
            "run": folders[Arm(*key[:3]), key.sample],
            "benchmark": study.benchmark,
            "backbone": study.backbone,
        }
        for key, modality in study.planned.items()
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _folders(study: Study) -> Iterator[tuple[tuple[Arm, SampleKey], str]]:
    """Yield (arm, dialogue) with the name of the run in which the arm answers the dialogue."""
    for folder, arm in study.arms.items():
        for dialogue in _planned(folder):
            yield (arm, dialogue), folder.name


def _planned(folder: Path) -> Iterator[SampleKey]:
    return (SampleKey(*dialogue[:4]) for dialogue in read_manifest(folder).planned)


def _row(key: Key, modality: str, record: Record | None) -> dict[str, Any]:
    is_swap = key.history.startswith(SWAP)
    named: dict[str, Any] = {
        "strategy": key.strategy,
        "history": "swap" if is_swap else key.history,
        "history_from": key.history.removeprefix(SWAP) if is_swap else None,
        "seed": key.seed,
        **dict(zip(("class", "domain", "task", "sample_id"), key.sample, strict=True)),
        "turn": key.turn,
        "modality": modality,
    }
    return named if record is None else named | _answered(record)


def _answered(record: Record) -> dict[str, Any]:
    return {
        "outcome": record.outcome,
        "score": record.score,
        "step_score": record.step_score,
        "dynamic": record.dynamic,
        "nfe": record.cost.nfe,
        "new_tokens": record.cost.generator_tokens,
        "seconds": record.cost.generator_seconds,
    }
