"""The pocket world as a benchmark: which samples it holds, and that they never change."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from imug_tts.benchmarks.pocket_world import PocketWorld
from imug_tts.benchmarks.pocket_world.tasks import TASK_CLASSES
from imug_tts.contracts import ConfigurationError, JudgeError
from imug_tts.dialogue import Image, Part, Sample, Text
from imug_tts.scoring import Scoring
from imug_tts.testing.toys import within

WORLD = PocketWorld()


def score(benchmark: PocketWorld, sample: Sample, outputs: Sequence[Part]) -> tuple[float, dict[str, Any]]:
    scored = within(lambda scope: benchmark.score(sample, outputs, scope))
    return scored.value, dict(scored.detail)


def gold(benchmark: PocketWorld, sample: Sample) -> list[Part]:
    return [benchmark.reference(sample, question.number) for question in sample.questions]


def test_twelve_tasks_or_more_with_four_in_each_class() -> None:
    tasks = {(sample.sample_class, sample.task) for sample in WORLD.samples()}
    per_class = Counter(sample_class for sample_class, _ in tasks)
    assert len(tasks) >= 12
    assert set(per_class) == {"static_spatial", "temporal_causal", "hybrid"}
    assert min(per_class.values()) >= 4


def test_samples_are_spread_evenly_over_classes_and_their_tasks() -> None:
    samples = WORLD.samples()
    assert Counter(sample.sample_class for sample in samples) == dict.fromkeys(TASK_CLASSES, 100)
    for name in TASK_CLASSES:
        counts = Counter(sample.task for sample in samples if sample.sample_class == name).values()
        assert max(counts) - min(counts) <= 1


def test_dialogues_mix_two_to_six_turns_of_images_and_questions() -> None:
    samples = WORLD.samples()
    assert {len(sample.questions) for sample in samples} == {2, 3, 4, 5, 6}
    questions = [question for sample in samples for question in sample.questions]
    assert all(q.number == n for s in samples for n, q in enumerate(s.questions, start=1))
    answers = Counter(q.key["answer"] == "<DYNAMIC>" for q in questions if q.modality == "text")
    assert answers[True] >= 80, "too few dynamic questions for a claim"
    assert answers[False] >= 50
    assert sum(q.modality == "image" for q in questions) > sum(answers.values())


def test_names_are_unique() -> None:
    names = [sample.name for sample in WORLD.samples()]
    assert len(set(names)) == len(names) == 300


def test_evaluation_points_of_every_image_turn_are_three() -> None:
    for sample in WORLD.samples():
        for question in sample.questions:
            if question.modality == "image":
                assert len(set(question.key["evaluation_points"])) == 3


def test_one_class_alone_has_the_samples_that_it_has_among_all() -> None:
    for name in TASK_CLASSES:
        alone = PocketWorld(classes=[name]).samples()
        assert list(alone) == [sample for sample in WORLD.samples() if sample.sample_class == name]


def test_fewer_samples_are_the_first_of_more() -> None:
    assert PocketWorld(num_samples=40).samples() == WORLD.samples()[:40]


@pytest.mark.parametrize("other", [{"split": "train"}, {"split": "validation"}, {"seed": 1}])
def test_splits_and_seeds_are_disjoint(other: dict[str, Any]) -> None:
    def dialogues(benchmark: PocketWorld) -> set[tuple[Part, ...]]:
        return {tuple(p for q in s.questions for p in q.parts) for s in benchmark.samples()}

    elsewhere = PocketWorld(**other)
    assert not dialogues(elsewhere) & dialogues(WORLD)
    assert elsewhere.identity != WORLD.identity


def test_opening_requests_are_not_shared_with_the_training_split() -> None:
    def openings(benchmark: PocketWorld) -> set[tuple[Part, ...]]:
        return {sample.questions[0].parts for sample in benchmark.samples()}

    assert not openings(PocketWorld(split="train", num_samples=900)) & openings(WORLD)


FINGERPRINT = """
import hashlib
from imug_tts.benchmarks.pocket_world import PocketWorld
world = PocketWorld(num_samples=45)
text = [world.identity]
for s in world.samples():
    text += [repr(s), *(repr(dict(q.key)) for q in s.questions)]
    text += [repr(world.reference(s, q.number)) for q in s.questions]
print(hashlib.sha256("".join(text).encode()).hexdigest())
"""


def run_python(code: str, hash_seed: str = "0") -> str:
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    ).stdout


def test_samples_and_references_are_equal_in_every_process() -> None:
    assert run_python(FINGERPRINT, "1") == run_python(FINGERPRINT, "4242") != ""


def test_import_and_samples_need_neither_torch_nor_pillow() -> None:
    code = (
        "import sys; from imug_tts.benchmarks.pocket_world import PocketWorld; PocketWorld().samples();"
        "print(sorted({'torch', 'PIL', 'hydra', 'transformers'} & set(sys.modules)))"
    )
    assert run_python(code).strip() == "[]"


def test_three_hundred_samples_take_no_time() -> None:
    def seconds(seed: int) -> float:
        start = time.process_time()
        assert len(PocketWorld(seed=seed).samples()) == 300
        return time.process_time() - start

    # 0.2 s on the machine of record; the bound leaves room for slower ones.
    assert min(seconds(seed) for seed in (100, 101, 102)) < 0.6


def test_gold_outputs_score_one_on_every_turn() -> None:
    for sample in WORLD.samples()[:200]:
        outputs = gold(WORLD, sample)
        for number in range(1, len(outputs) + 1):
            value, detail = score(WORLD, sample, outputs[:number])
            assert value == 1.0, (sample.name, number, detail)
            assert detail.get("step_score", 1.0) == 1.0


def test_references_are_pictures_and_letters() -> None:
    for sample in WORLD.samples()[:30]:
        for question, output in zip(sample.questions, gold(WORLD, sample), strict=True):
            assert output.modality == question.modality
            if isinstance(output, Image):
                assert output.pixels().shape == (64, 64, 3)
            else:
                assert output.text in tuple("ABCD")


def test_details_are_as_documented() -> None:
    sample = next(s for s in WORLD.samples() if {q.modality for q in s.questions} == {"text", "image"})
    outputs = gold(WORLD, sample)
    for question in sample.questions:
        _, detail = score(WORLD, sample, outputs[: question.number])
        if question.modality == "image":
            assert set(detail) == {"points", "point_texts", "step_score"}
            assert detail["points"] == [5, 5, 5]
            assert detail["point_texts"] == question.key["evaluation_points"]
        else:
            assert set(detail) == {"official", "corrected", "expected", "dynamic"}
            assert detail["dynamic"] == (question.key["answer"] == "<DYNAMIC>")


def test_a_copy_of_the_last_picture_keeps_everything_and_changes_nothing() -> None:
    for sample in WORLD.samples():
        if sample.questions[1].modality == "image":
            drawn = WORLD.reference(sample, 1)
            _, detail = score(WORLD, sample, [drawn, drawn])
            assert detail["points"] == [0, 5, 5]


def test_the_scoring_rule_gives_the_value_and_both_are_in_the_detail() -> None:
    official, corrected = PocketWorld(), PocketWorld(scoring=Scoring(mcq="corrected"))
    sample, question = next(
        (s, q) for s in official.samples() for q in s.questions if q.key.get("answer") == "<DYNAMIC>"
    )
    outputs = gold(official, sample)[: question.number]
    letter = outputs[-1]
    assert isinstance(letter, Text)
    both = [*outputs[:-1], Text(f"{letter.text}{letter.text}")]
    assert score(official, sample, both)[0] == 0.0
    value, detail = score(corrected, sample, both)
    assert value == detail["corrected"] == 1.0
    assert detail["official"] == 0.0
    assert detail["expected"] == letter.text


@pytest.mark.parametrize("outputs", [[], [Text("A")], [None] * 9])
def test_outputs_that_answer_other_turns_are_refused(outputs: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"turns|asks for image"):
        score(WORLD, WORLD.samples()[0], outputs)


def test_samples_of_elsewhere_are_refused() -> None:
    sample = Sample("0", "hybrid", "Elsewhere", "other", ())
    with pytest.raises(ValueError, match="not a sample of"):
        WORLD.reference(sample, 1)


def test_bytes_that_are_no_image_are_a_judge_error() -> None:
    with pytest.raises(JudgeError, match="cannot be decoded"):
        score(WORLD, WORLD.samples()[0], [Image.from_bytes(b"no image")])


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"split": "dev"}, "train, validation, test"),
        ({"classes": ["hybird"]}, "static_spatial, temporal_causal, hybrid"),
        ({"seed": -1}, "0 or more"),
        ({"num_samples": 0}, "1 or more"),
        ({"classes": []}, "has no sample"),
        ({"classes": ["hybrid"], "num_samples": 2}, "has no sample"),
    ],
)
def test_bad_knobs_say_what_is_allowed(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PocketWorld(**knobs)


def test_a_benchmark_is_a_value() -> None:
    assert PocketWorld(classes=["hybrid"]) == PocketWorld(classes=("hybrid",))
    assert len({PocketWorld(), PocketWorld()}) == 1
    with pytest.raises(FrozenInstanceError):
        PocketWorld().seed = 1  # type: ignore[misc]  # that it cannot be assigned is the point
