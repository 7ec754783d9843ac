"""The parts of the suite, by name, and how they are run on several processors."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import pairwise
from multiprocessing import get_context

from tests.analysis.simulation.chains import Chain, of_chains
from tests.analysis.simulation.coverage import of_strategies
from tests.analysis.simulation.families import of_nulls, of_reductions
from tests.analysis.simulation.judged import Bench, of_judges
from tests.analysis.simulation.outcome import Outcome
from tests.analysis.simulation.rated import of_raters
from tests.analysis.simulation.worlds import World


def strategies(studies: int, first_seed: int) -> Iterator[Outcome]:
    """Estimands of strategies."""
    yield from of_strategies(World(), studies, first_seed)


def chains(studies: int, first_seed: int) -> Iterator[Outcome]:
    """Propagation where errors are handed on, or only seem to be."""
    yield from of_chains(Chain(), "half handed on", studies, first_seed)
    yield from of_chains(Chain(handed_on=0.0), "nothing handed on", studies, first_seed)
    noisy = Chain(noise=0.05, has_second=True)
    yield from of_chains(noisy, "noisy scorer, second pass", studies, first_seed)


def judges(studies: int, first_seed: int) -> Iterator[Outcome]:
    """Rates, AUC and selection of a fair judge, a good one, and a good one in a small study."""
    yield from of_judges(Bench(), "fair judge", studies, first_seed)
    yield from of_judges(Bench(insight=2.0), "good judge", studies, first_seed)
    yield from of_judges(Bench(insight=2.0, num_samples=40), "good judge, 40 dialogues", studies, first_seed)


def raters(studies: int, first_seed: int) -> Iterator[Outcome]:
    """Means corrected by human labels."""
    yield from of_raters(replace(World(), has_gold=False), studies, first_seed)


def outcomes(parts: Iterable[str], studies: int, first_seed: int = 0) -> Iterator[Outcome]:
    """The outcomes of each part over so many studies, whose seeds follow on the first."""
    workers = os.cpu_count() or 1
    ends = [first_seed + studies * number // workers for number in range(workers + 1)]
    shares = [(end - start, start) for start, end in pairwise(ends) if end > start]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [[pool.submit(_run, part, *share) for share in shares] for part in parts]
        for jobs in running:
            yield from _together(outcome for job in jobs for outcome in job.result())


def _run(part: str, studies: int, first_seed: int) -> list[Outcome]:
    return list(PARTS[part](studies, first_seed))


def _together(found: Iterable[Outcome]) -> Iterator[Outcome]:
    """Outcomes of one name as one."""
    by_name: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for outcome in found:
        by_name[outcome.family, outcome.name].append(outcome)
    for same in by_name.values():
        happened, studies = sum(o.happened for o in same), sum(o.studies for o in same)
        yield replace(same[0], happened=happened, studies=studies)


PARTS: dict[str, Callable[[int, int], Iterator[Outcome]]] = {
    "strategies": strategies,
    "chains": chains,
    "judges": judges,
    "raters": raters,
    "errors": of_nulls,
    "reductions": of_reductions,
}
"""Each takes the number of studies and the seed of the first."""
