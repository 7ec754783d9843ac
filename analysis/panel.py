"""A study as arrays over (sample, turn), the form in which every mean and difference is taken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.bootstrap import Bootstrap, Floats
from analysis.claims import Basis, bases
from analysis.inference import Inference
from analysis.names import label_of, layers, setting_of
from analysis.records import Key, Record, SampleKey, Study

__all__ = ["Panel", "Quantity", "Tally"]

Quantity = Literal["image", "step", "text", "static", "dynamic", "human", "second"]
"""Image score; image score relative to the own previous image; MCQ score: all, static, dynamic; image score
by a human; image score by a second pass of the scorer."""

_FAMILIES = ("direct", "cot", "self_verify", "best_of", "majority_of")


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
    def num_image_turns(self) -> npt.NDArray[np.int64]:
        """The last image turn of each sample; 0 where it has none."""
        cells = self._design(("own",))
        return np.asarray((cells * np.arange(1, self.num_turns + 1)).max(axis=1, initial=0), dtype=np.int64)

    def tally(self, strategy: str, history: str, quantity: Quantity) -> Tally:
        """The cells of an arm; all empty where the study has no such arm."""
        empty = np.zeros((len(self.samples), self.num_turns))
        return self.tallies.get((strategy, history, quantity), Tally(sums=empty, counts=empty, planned=empty))

    def scores(self, strategy: str, history: str = "own", quantity: Quantity = "image") -> Floats:
        """The mean score over seeds in every cell, shape (samples, turns), NaN where there is none."""
        return self.tally(strategy, history, quantity).mean

    def behind(self, strategy: str, history: str) -> Floats:
        """Image scores behind the history of others: from turn 2 on, since turn 1 has no history."""
        cells = self.scores(strategy, history)
        cells[:, 0] = np.nan
        return cells

    def void(self, *strategies: str) -> str:
        """Why nothing can be claimed of a comparison of these strategies; empty where nothing forbids it.

        Reasons that lie in another strategy than the first are headed by its name.
        """
        first, *others = strategies
        reasons = [self.bases[first].void]
        reasons += [f"{name}: {self.bases[name].void}" for name in others if self.bases[name].void]
        return next(filter(None, reasons), "")

    def num_missing(self, known: Floats, *histories: str) -> int:
        """Cells of the design without a value in `known`, shape (samples, turns).

        The design: image turns that any strategy planned behind each of the histories.
        """
        return int(np.count_nonzero(self._design(histories) & ~np.isfinite(known)))

    def _design(self, histories: tuple[str, ...]) -> npt.NDArray[np.bool_]:
        cells = np.ones((len(self.samples), self.num_turns), dtype=bool)
        for history in histories:
            arms = (
                tally
                for (_, h, quantity), tally in self.tallies.items()
                if (h, quantity) == (history, "image")
            )
            planned = np.zeros_like(cells)
            for tally in arms:
                planned |= tally.planned > 0
            if history != "own":
                planned[:, 0] = False
            cells &= planned
        return cells

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
        yield "dynamic" if record.dynamic else "static", record.score
        return
    yield "image", record.score
    if record.human is not None:
        yield "human", record.human
    if record.second is not None:
        yield "second", record.second
    if record.step_score is not None:
        yield "step", record.step_score


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
