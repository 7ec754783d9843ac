"""A study as arrays over (sample, turn), from which every mean and difference is computed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Bootstrap, Floats
from analysis.claims import Basis, bases
from analysis.inference import Inference
from analysis.names import label_of, layers, setting_of
from analysis.records import Key, Record, SampleKey, Study

__all__ = ["Losses", "Panel", "Quantity", "Tally"]

Quantity = Literal["image", "step", "text", "static", "dynamic", "free", "human", "rated", "second"]
"""A score: of images ("image"), of images relative to the model's own previous image ("step"), of text
answers (all, static and dynamic multiple choice, free text), of images by a human ("human"), by the scorer on
the same images ("rated"), and of images by a second pass of the scorer ("second").
"""

Place = tuple[str, str]
"""A strategy and the history on which it answers."""

_FAMILIES = ("direct", "cot", "self_verify", "best_of", "majority_of")


class Losses(NamedTuple):
    """The number of planned turns, over all seeds, and how many of them lack a needed score."""

    missing: int
    planned: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Sums and counts of one quantity of one arm in every cell; arrays of shape (samples, turns)."""

    sums: Floats
    counts: Floats
    """Number of scored turns of each cell; each seed counts separately."""
    planned: Floats

    @property
    def mean(self) -> Floats:
        """The mean over seeds in each cell; NaN if no turn of the cell is scored."""
        return _divide(self.sums, self.counts)

    @property
    def num_missing(self) -> int:
        return int((self.planned - self.counts).sum())

    @property
    def bounds(self) -> tuple[float, float]:
        """The mean over all cells if every missing turn scored 0, and if every one scored 1."""
        worst = _divide(self.sums, self.planned)
        best = _divide(self.sums + self.planned - self.counts, self.planned)
        return _mean(worst), _mean(best)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The samples, strategies and scores of a study. Samples are the clusters of its statistics."""

    samples: tuple[SampleKey, ...]
    num_turns: int
    strategies: tuple[str, ...]
    oracles: frozenset[str]
    bases: Mapping[str, Basis] = field(repr=False)
    """The basis of each strategy's claims."""
    tallies: dict[tuple[str, str, Quantity], Tally] = field(repr=False)

    @classmethod
    def of(cls, study: Study) -> Panel:
        samples = tuple(sorted({key.sample for key in study.planned}))
        strategies = {key.strategy for key in study.planned}
        panel = cls(
            samples=samples,
            num_turns=max(key.turn for key in study.planned),
            strategies=tuple(sorted(strategies, key=lambda s: _rank(s, s in study.oracles))),
            oracles=study.oracles,
            bases=bases(study),
            tallies={},
        )
        panel._fill(study)
        return panel

    @property
    def classes(self) -> tuple[str, ...]:
        """The class of each sample."""
        return tuple(sample.sample_class for sample in self.samples)

    def inference(self, cluster: str, resamples: int, seed: int) -> Inference:
        """The inference that clusters by sample, or by task; the strata are the classes."""
        keys = [(*sample[:3], sample.sample_id if cluster == "sample" else "") for sample in self.samples]
        names = {key: number for number, key in enumerate(sorted(set(keys)))}
        bootstrap = Bootstrap(strata=tuple(key[0] for key in names), resamples=resamples, seed=seed)
        return Inference(clusters=np.array([names[key] for key in keys]), bootstrap=bootstrap)

    @property
    def has_steps(self) -> bool:
        """Whether any image has a step score (relative to the previous image)."""
        return any(quantity == "step" for _, _, quantity in self.tallies)

    @property
    def num_image_turns(self) -> npt.NDArray[np.int64]:
        """The last image turn of each sample, shape (samples,); 0 if the sample has none."""
        cells = self.design("own")
        return np.asarray((cells * np.arange(1, self.num_turns + 1)).max(axis=1, initial=0), dtype=np.int64)

    def tally(self, strategy: str, history: str, quantity: Quantity) -> Tally:
        """Return the sums and counts of scores by cell for one quantity of an arm; all 0 if there are
        none.
        """
        empty = np.zeros((len(self.samples), self.num_turns))
        return self.tallies.get((strategy, history, quantity), Tally(sums=empty, counts=empty, planned=empty))

    def scores(self, strategy: str, history: str = "own", quantity: Quantity = "image") -> Floats:
        """The mean score over seeds in every cell, shape (samples, turns); NaN if the cell has no score."""
        return self.tally(strategy, history, quantity).mean

    def replayed(self, strategy: str, history: str, quantity: Quantity = "image") -> Floats:
        """Scores on a replayed history, shape (samples, turns). Turn 1 is NaN because it has no history."""
        cells = self.scores(strategy, history, quantity)
        cells[:, 0] = np.nan
        return cells

    def from_turn_1(self, strategy: str, history: str) -> Floats:
        """Image scores on a replayed history, with the own-history score at turn 1: turn 1 has no history, so
        its score is the same.
        """
        cells = self.scores(strategy, history)
        cells[:, 0] = self.scores(strategy)[:, 0]
        return cells

    def void(self, *strategies: str) -> str:
        """The reason why a comparison of these strategies supports no claim; empty if claims are allowed.

        A reason that concerns another strategy than the first begins with that strategy's name.
        """
        first, *others = strategies
        reasons = [self.bases[first].void]
        reasons += [f"{name}: {self.bases[name].void}" for name in others if self.bases[name].void]
        return next(filter(None, reasons), "")

    def losses(self, *arms: Place, quantity: Quantity = "image", with_turn_1: bool = False) -> Losses:
        """The planned turns of the design of these (strategy, history) pairs, and those that lack the score
        of any pair.

        With `with_turn_1`, turn 1 on own history of each dialogue with a later turn in the design also
        counts.
        """
        cells = self.design(*(history for _, history in arms))
        if with_turn_1:
            cells[:, 0] = self.design("own")[:, 0] & cells[:, 1:].any(axis=1)
        turns = [self._turns_of(arm, quantity, with_turn_1=with_turn_1) for arm in arms]
        missing = np.max([planned - counts for planned, counts in turns], axis=0)
        planned = np.max([planned for planned, _ in turns], axis=0)
        return Losses(int(missing[cells].sum()), int(planned[cells].sum()))

    def design(self, *histories: str) -> npt.NDArray[np.bool_]:
        """The image turns that any strategy planned on each of the histories; shape (samples, turns).

        A turn that is planned on any history belongs to its dialogue, so it is expected on own history too.
        """
        cells = np.ones((len(self.samples), self.num_turns), dtype=bool)
        for history in histories:
            planned = np.zeros_like(cells)
            for (_, other, quantity), tally in self.tallies.items():
                if quantity == "image" and history in ("own", other):
                    planned |= tally.planned > 0
            if history != "own":
                planned[:, 0] = False
            cells &= planned
        return cells

    def _turns_of(self, arm: Place, quantity: Quantity, *, with_turn_1: bool) -> tuple[Floats, Floats]:
        """The numbers of planned turns (at least one per cell) and of scored turns of an arm, shape (samples,
        turns).
        """
        planned, counts = self.tally(*arm, "image").planned.copy(), self.tally(*arm, quantity).counts.copy()
        if with_turn_1:
            planned[:, 0] = self.tally(arm[0], "own", "image").planned[:, 0]
            counts[:, 0] = self.tally(arm[0], "own", quantity).counts[:, 0]
        return np.maximum(planned, 1), counts

    def _fill(self, study: Study) -> None:
        row = {sample: index for index, sample in enumerate(self.samples)}
        for key, modality in study.planned.items():
            quantity: Quantity = "image" if modality == "image" else "text"
            self._open(key, quantity).planned[row[key.sample], key.turn - 1] += 1
        for record in study.records:
            for quantity, score in _quantities(record):
                tally, cell = self._open(record.key, quantity), (row[record.key.sample], record.key.turn - 1)
                tally.sums[cell] += score
                tally.counts[cell] += 1

    def _open(self, key: Key, quantity: Quantity) -> Tally:
        place = (key.strategy, key.history, quantity)
        if place not in self.tallies:
            shape = (len(self.samples), self.num_turns)
            self.tallies[place] = Tally(sums=np.zeros(shape), counts=np.zeros(shape), planned=np.zeros(shape))
        return self.tallies[place]


def _quantities(record: Record) -> Iterable[tuple[Quantity, float]]:
    if record.score is None:
        return
    if record.modality == "text":
        yield "text", record.score
        yield _kind(record), record.score
        return
    yield "image", record.score
    if record.human is not None:
        yield "human", record.human
        yield "rated", record.score
    if record.second is not None:
        yield "second", record.second
    if record.step_score is not None:
        yield "step", record.step_score


def _kind(record: Record) -> Quantity:
    if not record.multiple_choice:
        return "free"
    return "dynamic" if record.dynamic else "static"


def _rank(strategy: str, is_oracle: bool) -> tuple[bool, int, list[int], str, list[tuple[float, str]]]:
    """A sort key for tables: oracles last; fewer layers first; plain layers before costly layers."""
    names = [layer.removeprefix("oracle_") for layer in layers(strategy)]
    places = [
        next((i for i, family in enumerate(_FAMILIES) if name.startswith(family)), len(_FAMILIES))
        for name in names
    ]
    return is_oracle, len(names), places, label_of(strategy), _by_number(setting_of(strategy))


def _by_number(setting: str) -> list[tuple[float, str]]:
    """A sort key for settings: 2 comes before 10, and an unset value comes before both."""
    pieces = re.split(r"(\d+)", re.sub("=(default|none)", "=", setting))
    return [(float(piece), "") if piece.isdigit() else (-1.0, piece) for piece in pieces]


def _divide(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _mean(cells: Floats) -> float:
    return float(np.nanmean(cells)) if np.isfinite(cells).any() else float("nan")
