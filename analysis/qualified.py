"""How far judges agree with people: measured on preference pairs, kept with a study, shown in its tables.

For every pair the judge is shown both images in both orders. Agreement is the mean over orders of 1 where the
judge prefers what people prefer, 0 where it prefers the other, and 0.5 for a tie; chance is 0.5. Pairs on
which people are tied are left out of it. A preference for the place is the share of first places that the
judge prefers, less 0.5. Pairs with the same prompt are one cluster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from analysis.bootstrap import Bootstrap, Floats
from analysis.inference import Estimate, Inference, undefined
from analysis.records import StudyError
from analysis.statistic import level, mean

__all__ = ["JUDGES", "Asked", "Qualification", "known_agreement", "qualify", "with_qualification"]

JUDGES: Final = "judges.jsonl"
"""The file of a study's folder that holds one line for each judge that was measured."""
_NAMES: Final = ("agreement", "place", "inconsistent")


class Asked(NamedTuple):
    """One pair: 1 for image A, 0 for image B, 0.5 for a tie; None where the judge could not be read."""

    prompt: str
    people: float
    a_first: float | None
    b_first: float | None


@dataclass(frozen=True, kw_only=True)
class Qualification:
    """How far a judge agrees with people, in shares of pairs."""

    agreement: Estimate
    """In [0, 1]; 0.5 is chance."""
    place: Estimate
    """The share of first places that the judge prefers, less 0.5: 0 is no preference."""
    inconsistent: Estimate
    """The share of pairs on which the judge says another thing in the other order."""
    num_pairs: int
    num_unread: int
    num_tied: int
    """Pairs that were read and on which people are tied, which agreement leaves out."""

    def to_json(self) -> dict[str, Any]:
        return {
            "agreement": self.agreement.to_json(),
            "place": self.place.to_json(),
            "inconsistent": self.inconsistent.to_json(),
            "pairs": self.num_pairs,
            "unread": self.num_unread,
            "tied": self.num_tied,
        }


def qualify(asked: Sequence[Asked], seed: int = 0) -> Qualification:
    """Estimates with 95 % intervals from what a judge said of pairs; undefined where nothing was read."""
    read = [pair for pair in asked if pair.a_first is not None and pair.b_first is not None]
    found = _estimates(read, seed) if read else dict.fromkeys(_NAMES, undefined("no pair could be read"))
    return Qualification(
        agreement=found["agreement"],
        place=found["place"],
        inconsistent=found["inconsistent"],
        num_pairs=len(asked),
        num_unread=len(asked) - len(read),
        num_tied=sum(pair.people == 0.5 for pair in read),
    )


def _estimates(read: Sequence[Asked], seed: int) -> dict[str, Estimate]:
    prompts = {prompt: number for number, prompt in enumerate(dict.fromkeys(pair.prompt for pair in read))}
    inference = Inference(
        clusters=np.array([prompts[pair.prompt] for pair in read], dtype=np.int64),
        bootstrap=Bootstrap(strata=("pairs",) * len(prompts), seed=seed),
    )
    people, one, other = (
        np.array([getattr(pair, name) for pair in read], dtype=float).reshape(-1, 1)
        for name in ("people", "a_first", "b_first")
    )
    return inference.estimates(
        {
            "agreement": level(_agreement(people, one, other)),
            "place": mean((one + 1 - other) / 2 - 0.5),
            "inconsistent": level((one != other).astype(float)),
        }
    )


def with_qualification(file: Path, judge: Mapping[str, Any], found: Qualification) -> str:
    """The lines of a file of judges with this judge's figures in place of its earlier ones.

    Raises:
        StudyError: the file is damaged.
    """
    kept = [line for line in _lines(file) if line["identity"] != judge["identity"]]
    return "".join(f"{json.dumps(line)}\n" for line in (*kept, {**judge, **found.to_json()}))


def known_agreement(study: Path) -> Mapping[str, str]:
    """What tables say of each judge that was measured, by its identity, e.g. "71.2 [66.0, 75.9] of 300".

    Raises:
        StudyError: the file is damaged.
    """
    return {line["identity"]: _said(line) for line in _lines(study / JUDGES)}


def _agreement(people: Floats, one: Floats, other: Floats) -> Floats:
    """The mean over both orders; NaN where people are tied."""
    shares = 1 - (np.abs(people - one) + np.abs(people - other)) / 2
    return np.where(people == 0.5, np.nan, shares)


def _lines(file: Path) -> list[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):  # a study may be one CSV file
        return []
    try:
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        return [{**line, "identity": str(line["identity"])} for line in lines]
    except (ValueError, TypeError, KeyError) as error:
        raise StudyError(f"{file} is damaged ({error}); remove it and measure the judges again") from None


def _said(line: Mapping[str, Any]) -> str:
    agreement, pairs = line["agreement"], int(line["pairs"]) - int(line["unread"]) - int(line["tied"])
    if agreement["est"] is None:
        return "not readable"
    interval = agreement["ci"]
    shown = f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else ""
    return f"{100 * agreement['est']:.1f}{shown} of {pairs}"
