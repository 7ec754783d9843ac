"""Agreement of judges with human preferences: measured on preference pairs and stored with a study.

The judge sees both images of a pair in both orders. Its agreement on a pair is the mean over orders of 1 if
it prefers the image that humans prefer, 0 if it prefers the other one, and 0.5 for a tie; chance is 0.5.
Pairs with a human tie are excluded. The position bias is the share of first images that the judge prefers,
minus 0.5. Pairs with the same prompt form one cluster.
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

__all__ = ["JUDGES", "JudgedPair", "Qualification", "known_agreement", "qualify", "with_qualification"]

JUDGES: Final = "judges.jsonl"
"""The file in a study's folder with one line for each judge whose agreement was measured."""
_NAMES: Final = ("agreement", "place", "inconsistent")


class JudgedPair(NamedTuple):
    """One pair: 1 for image A, 0 for image B, 0.5 for a tie; None if the judge's reply could not be
    parsed.
    """

    prompt: str
    people: float
    a_first: float | None
    b_first: float | None


@dataclass(frozen=True, kw_only=True)
class Qualification:
    """Agreement of a judge with human preferences, in shares of pairs."""

    agreement: Estimate
    """The agreement, in [0, 1]; 0.5 is chance."""
    place: Estimate
    """The position bias: the share of first images that the judge prefers, minus 0.5."""
    inconsistent: Estimate
    """The share of pairs on which the judge's preference changes with the order."""
    num_pairs: int
    num_unread: int
    num_tied: int
    """Parsed pairs with a human tie; they do not count for the agreement."""

    def to_json(self) -> dict[str, Any]:
        return {
            "agreement": self.agreement.to_json(),
            "place": self.place.to_json(),
            "inconsistent": self.inconsistent.to_json(),
            "pairs": self.num_pairs,
            "unread": self.num_unread,
            "tied": self.num_tied,
        }


def qualify(asked: Sequence[JudgedPair], seed: int = 0) -> Qualification:
    """The judge's agreement with 95 % intervals; undefined if no pair could be parsed."""
    read = [pair for pair in asked if pair.a_first is not None and pair.b_first is not None]
    found = (
        _estimates(read, seed)
        if read
        else dict.fromkeys(_NAMES, undefined("no reply of the judge could be parsed"))
    )
    return Qualification(
        agreement=found["agreement"],
        place=found["place"],
        inconsistent=found["inconsistent"],
        num_pairs=len(asked),
        num_unread=len(asked) - len(read),
        num_tied=sum(pair.people == 0.5 for pair in read),
    )


def _estimates(read: Sequence[JudgedPair], seed: int) -> dict[str, Estimate]:
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
    """The lines of a judges file, with this judge's figures in place of its previous ones.

    Raises:
        StudyError: the file is damaged.
    """
    kept = [line for line in _lines(file) if line["identity"] != judge["identity"]]
    return "".join(f"{json.dumps(line)}\n" for line in (*kept, {**judge, **found.to_json()}))


def known_agreement(study: Path) -> Mapping[str, str]:
    """The agreement of each measured judge as tables show it, by the judge's identity.

    Example: "71.2 [66.0, 75.9] of 300".

    Raises:
        StudyError: the file is damaged.
    """
    return {line["identity"]: _said(line) for line in _lines(study / JUDGES)}


def _agreement(people: Floats, one: Floats, other: Floats) -> Floats:
    """The agreement of each pair as the mean over both orders; NaN for a human tie."""
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
        return "not parsable"
    interval = agreement["ci"]
    shown = f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else ""
    return f"{100 * agreement['est']:.1f}{shown} of {pairs}"
