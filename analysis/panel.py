"""A study as arrays over (sample, turn), the form in which every mean and difference is taken."""

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
"""Image score; image score relative to the own previous image; text score: all, static and dynamic multiple
choice, free text; image score by a human, and the scorer's of the same images; image score by a second pass
of the scorer."""

Place = tuple[str, str]
"""A strategy and the history that it answers on."""

_FAMILIES = ("direct", "cot", "self_verify", "best_of", "majority_of")


class Losses(NamedTuple):
    """Turns of a design, over all seeds, and how many of them lack a score that is needed."""

    missing: int
    planned: int


@dataclass(frozen=True, kw_only=True)
class Tally:
    """One quantity of one arm in every cell (sample, turn); arrays of shape (samples, turns)."""

    sums: Floats
    counts: Floats
    """Scored turns of the cell, one per seed."""
    planned: Floats

    @property
    def mean(self) -> Floats:
        """The mean over seeds; NaN where nothing is scored."""
        return _divide(self.sums, self.counts)

    @property
    def num_missing(self) -> int:
        return int((self.planned - self.counts).sum())

    @property
    def bounds(self) -> tuple[float, float]:
        """The mean if every missing turn scored 0, and if every one scored 1."""
        worst = _divide(self.sums, self.planned)
        best = _divide(self.sums + self.planned - self.counts, self.planned)
        return _mean(worst), _mean(best)


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The samples of a study (the clusters of its statistics), its strategies, and its scores."""

    samples: tuple[SampleKey, ...]
    num_turns: int
    strategies: tuple[str, ...]
    oracles: frozenset[str]
    bases: Mapping[str, Basis] = field(repr=False)
    """What the claims of each strategy rest on."""
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
        """Inference with samples, or all samples of a task, as clusters; strata are classes."""
        keys = [(*sample[:3], sample.sample_id if cluster == "sample" else "") for sample in self.samples]
        names = {key: number for number, key in enumerate(sorted(set(keys)))}
        bootstrap = Bootstrap(strata=tuple(key[0] for key in names), resamples=resamples, seed=seed)
        return Inference(clusters=np.array([names[key] for key in keys]), bootstrap=bootstrap)

    @property
    def has_steps(self) -> bool:
        """Whether any image has a score relative to the picture before it."""
        return any(quantity == "step" for _, _, quantity in self.tallies)

    @property
    def num_image_turns(self) -> npt.NDArray[np.int64]:
        """The last image turn of each sample; 0 where it has none."""
        cells = self.design("own")
        return np.asarray((cells * np.arange(1, self.num_turns + 1)).max(axis=1, initial=0), dtype=np.int64)

    def tally(self, strategy: str, history: str, quantity: Quantity) -> Tally:
        """The cells of an arm; all empty where the study has no such arm."""
        empty = np.zeros((len(self.samples), self.num_turns))
        return self.tallies.get((strategy, history, quantity), Tally(sums=empty, counts=empty, planned=empty))

    def scores(self, strategy: str, history: str = "own", quantity: Quantity = "image") -> Floats:
        """The mean score over seeds in every cell, shape (samples, turns), NaN where there is none."""
        return self.tally(strategy, history, quantity).mean

    def behind(self, strategy: str, history: str, quantity: Quantity = "image") -> Floats:
        """Image scores behind the history of others: from turn 2 on, since turn 1 has no history."""
        cells = self.scores(strategy, history, quantity)
        cells[:, 0] = np.nan
        return cells

    def from_turn_1(self, strategy: str, history: str) -> Floats:
        """The same with turn 1 in: it has no history, so its score on own history is its score on any."""
        cells = self.scores(strategy, history)
        cells[:, 0] = self.scores(strategy)[:, 0]
        return cells

    def void(self, *strategies: str) -> str:
        """Why nothing can be claimed of a comparison of these strategies; empty where nothing forbids it.

        Reasons that lie in another strategy than the first are headed by its name.
        """
        first, *others = strategies
        reasons = [self.bases[first].void]
        reasons += [f"{name}: {self.bases[name].void}" for name in others if self.bases[name].void]
        return next(filter(None, reasons), "")

    def losses(self, *arms: Place, quantity: Quantity = "image", with_turn_1: bool = False) -> Losses:
        """What the design of these (strategy, history) has, and what of it lacks a score of one of them.

        With `with_turn_1`, turn 1 of each dialogue with a later turn in the design is in, on own history.
        """
        cells = self.design(*(history for _, history in arms))
        if with_turn_1:
            cells[:, 0] = self.design("own")[:, 0] & cells[:, 1:].any(axis=1)
        turns = [self._turns_of(arm, quantity, with_turn_1=with_turn_1) for arm in arms]
        missing = np.max([planned - counts for planned, counts in turns], axis=0)
        planned = np.max([planned for planned, _ in turns], axis=0)
        return Losses(int(missing[cells].sum()), int(planned[cells].sum()))

    def design(self, *histories: str) -> npt.NDArray[np.bool_]:
        """Image turns that any strategy planned on each of the histories; shape (samples, turns).

        A turn that is planned on any history is a turn of its dialogue, and so expected on own history.
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
        """Turns of an arm that are planned, at least one in each cell, and those that have a score."""
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
    """The order of tables: oracles last; few layers before many; plain layers before costly ones."""
    names = [layer.removeprefix("oracle_") for layer in layers(strategy)]
    places = [
        next((i for i, family in enumerate(_FAMILIES) if name.startswith(family)), len(_FAMILIES))
        for name in names
    ]
    return is_oracle, len(names), places, label_of(strategy), _by_number(setting_of(strategy))


def _by_number(setting: str) -> list[tuple[float, str]]:
    """A key that sorts settings so that 2 comes before 10, and what is not set before both."""
    pieces = re.split(r"(\d+)", re.sub("=(default|none)", "=", setting))
    return [(float(piece), "") if piece.isdigit() else (-1.0, piece) for piece in pieces]


def _divide(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _mean(cells: Floats) -> float:
    return float(np.nanmean(cells)) if np.isfinite(cells).any() else float("nan")
