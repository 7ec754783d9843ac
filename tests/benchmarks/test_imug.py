"""IMUG-Bench as a benchmark: which samples, which references, which score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from imug_tts.benchmarks.imug import Imug
from imug_tts.benchmarks.imug.synthetic import synthetic_samples
from imug_tts.benchmarks.imug.writing import write_data
from imug_tts.contracts import ConfigurationError, Score
from imug_tts.dialogue import Image, Part, Sample, Text
from imug_tts.runs import Arm, check
from imug_tts.scoring import Scoring
from imug_tts.strategies import Direct
from imug_tts.testing.toys import ToyBackbone, within
from tests.benchmarks.imug_files import GRID, edit, write_small

HAT = Image.from_pixels(np.full((8, 8, 3), 9, np.uint8))
COLORS = {"0": (255, 255, 255), "1": (255, 255, 255), "r": (220, 30, 30), "g": (30, 160, 40)}


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("synthetic"), synthetic_samples(400, image_size=8))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small(tmp_path)


def names(benchmark: Imug) -> list[str]:
    return [sample.name for sample in benchmark.samples()]


def test_filters_pick_among_the_samples(synthetic: Path) -> None:
    everything = Imug(root=synthetic).samples()
    assert len(everything) == 400
    choices: list[tuple[Imug, Callable[[Sample], bool]]] = [
        (Imug(root=synthetic, classes=["hybrid"]), lambda s: s.sample_class == "hybrid"),
        (Imug(root=synthetic, domains=["Botany", "DIY"]), lambda s: s.domain in ("Botany", "DIY")),
        (Imug(root=synthetic, tasks=["natural_growth"]), lambda s: s.task == "natural_growth"),
        (Imug(root=synthetic, turns=[5, 6]), lambda s: len(s.questions) in (5, 6)),
        (
            Imug(root=synthetic, domains=["DIY"], turns=[4]),
            lambda s: (s.domain, len(s.questions)) == ("DIY", 4),
        ),
    ]
    for chosen, is_right in choices:
        assert list(chosen.samples()) == [sample for sample in everything if is_right(sample)] != []


def test_a_number_of_samples_is_spread_evenly(synthetic: Path) -> None:
    everything = names(Imug(root=synthetic))
    few, more = names(Imug(root=synthetic, num_samples=40)), names(Imug(root=synthetic, num_samples=80))
    assert few == everything[::10]
    assert more == everything[::5]
    assert names(Imug(root=synthetic, num_samples=1000)) == everything
    assert len(Imug(root=synthetic, domains=["Botany"], num_samples=7).samples()) == 7


def test_nothing_chosen_is_no_sample(synthetic: Path) -> None:
    assert Imug(root=synthetic, classes=["hybrid"], domains=["Botany"], num_samples=3).samples() == ()


def test_what_is_not_there_is_said(synthetic: Path) -> None:
    with pytest.raises(ConfigurationError, match="no domain 'Botanny'; choose from Apparel, Botany"):
        Imug(root=synthetic, domains=["Botanny"]).samples()
    with pytest.raises(ConfigurationError, match="no task 'weeds'"):
        Imug(root=synthetic, tasks=["weeds"]).samples()
    with pytest.raises(ConfigurationError, match="classes is 'mixed'; choose from: static_spatial"):
        Imug(classes=["mixed"])  # type: ignore[list-item]
    with pytest.raises(ConfigurationError, match="num_samples is 0"):
        Imug(num_samples=0)


def test_an_unknown_domain_is_kept_and_said(small: Path) -> None:
    edit(small / "benchmark.jsonl", 2, lambda record: record.update(domain="Astronomy"))
    edit(small / "dynamic_references.jsonl", 1, lambda record: record.update(domain="Astronomy"))
    with pytest.warns(UserWarning, match="get the class unassigned: Astronomy"):
        samples = Imug(root=small).samples()
    assert [sample.sample_class for sample in samples] == ["static_spatial", "unassigned", "static_spatial"]
    with pytest.warns(UserWarning, match="Astronomy"):
        assert len(Imug(root=small, classes=["static_spatial"]).samples()) == 2


def test_references_are_the_letters_of_static_questions(small: Path) -> None:
    hats, growth, _ = (benchmark := Imug(root=small)).samples()
    assert benchmark.reference(hats, 1) == Text("B")
    assert benchmark.reference(hats, 2) is None
    assert benchmark.reference(growth, 2) is None


def test_history_gold_is_refused_because_there_are_no_gold_images(small: Path) -> None:
    arm = Arm(backbone=ToyBackbone(), strategy=Direct(), benchmark=Imug(root=small), history="gold")
    with pytest.raises(ConfigurationError, match="needs reference outputs, and turn 2 of Apparel"):
        check(arm)


def score(benchmark: Imug, sample: Sample, outputs: Sequence[Part | None]) -> Score:
    return within(lambda scope: benchmark.score(sample, outputs, scope))


def test_a_question_is_scored_by_both_rules(small: Path) -> None:
    edit(small / "benchmark.jsonl", 1, lambda record: record["tasks"][0]["output"].update(answer="AB"))
    for rule, value in (("official", 0.0), ("corrected", 0.75)):
        benchmark = Imug(root=small, scoring=Scoring(mcq=rule))  # type: ignore[arg-type]
        scored = score(benchmark, benchmark.samples()[0], [Text("A, B")])
        assert scored.value == value
        detail = {"official": 0.0, "corrected": 0.75, "expected": "AB", "dynamic": False}
        assert dict(scored.detail) == detail


def drawing(grid: Sequence[Sequence[str]]) -> Image:
    """Cells with black borders, 60 pixels wide, on white ground."""
    pixels = np.full((300, 300, 3), 255, np.uint8)
    for row, cells in enumerate(grid):
        for column, cell in enumerate(cells):
            if cell != "0":
                top, left = 30 + 80 * row, 30 + 80 * column
                pixels[top : top + 80, left : left + 80] = 0
                pixels[top + 4 : top + 76, left + 4 : left + 76] = COLORS[cell]
    return Image.from_pixels(pixels)


def test_a_drawing_of_cubes_is_scored_by_rule(small: Path) -> None:
    benchmark = Imug(root=small, scoring=Scoring(grid="robust"))
    cubes = benchmark.samples()[2]
    assert score(benchmark, cubes, [drawing(GRID)]).value == 1
    assert score(benchmark, cubes, [drawing([["1", "1", "1"]] * 3)]).value == 0.5


def test_an_answer_of_the_other_kind_is_no_answer(small: Path) -> None:
    benchmark = Imug(root=small)
    hats = benchmark.samples()[0]
    with pytest.raises(ValueError, match="turn 1 of Apparel/hats/1 asks for text"):
        score(benchmark, hats, [HAT])
    with pytest.raises(ValueError, match="turn 2 of Apparel/hats/1 asks for image"):
        score(benchmark, hats, [Text("B"), Text("a hat")])
    too_few_or_many: list[list[Part | None]] = [[], [Text("B"), HAT, HAT, HAT]]
    for outputs in too_few_or_many:
        with pytest.raises(ValueError, match="has 3 turns"):
            score(benchmark, hats, outputs)
