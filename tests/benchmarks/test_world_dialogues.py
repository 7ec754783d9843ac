"""The generator: what it promises of every dialogue."""

from __future__ import annotations

from collections import Counter

from imug_tts.benchmarks.pocket_world import operations as ops
from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, McqTurn, make_dialogue
from imug_tts.benchmarks.pocket_world.questions import LETTERS
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.benchmarks.pocket_world.tasks import TASK_CLASSES, TASKS
from imug_tts.benchmarks.pocket_world.world import Scene

DIALOGUES = [make_dialogue("test", 3, index) for index in range(450)]


def image_turns(dialogue: Dialogue) -> list[ImageTurn]:
    return [turn for turn in dialogue.turns if isinstance(turn, ImageTurn)]


def test_a_dialogue_depends_on_its_name_alone() -> None:
    assert make_dialogue("test", 3, 41) == DIALOGUES[41]
    others = [make_dialogue("train", 3, 41), make_dialogue("test", 4, 41), make_dialogue("test", 3, 56)]
    assert all(other.turns != DIALOGUES[41].turns for other in others)


def test_no_test_dialogue_is_a_training_dialogue() -> None:
    seen = {tuple(t.request for t in make_dialogue("train", 0, i).turns) for i in range(3000)}
    assert not seen & {tuple(turn.request for turn in dialogue.turns) for dialogue in DIALOGUES}


def test_tasks_cover_the_three_classes() -> None:
    classes = Counter(task.task_class for task in TASKS)
    assert set(classes) == set(TASK_CLASSES)
    assert all(count >= 4 for count in classes.values())
    assert len({dialogue.task for dialogue in DIALOGUES}) == len(TASKS) >= 12


def test_dialogues_mix_turns() -> None:
    assert {len(dialogue.turns) for dialogue in DIALOGUES} == {2, 3, 4, 5, 6}
    assert all(isinstance(dialogue.turns[0], ImageTurn) for dialogue in DIALOGUES)
    kinds = [{turn.dynamic for turn in d.turns if isinstance(turn, McqTurn)} for d in DIALOGUES]
    assert sum(True in kind for kind in kinds) >= 0.25 * len(DIALOGUES)
    assert sum(False in kind for kind in kinds) >= 0.2 * len(DIALOGUES)


def test_every_request_asks_for_a_change() -> None:
    for dialogue in DIALOGUES:
        scene = world.BLANK
        for turn in image_turns(dialogue):
            assert turn.gold_before == scene
            assert turn.gold == ops.apply(turn.operations, scene) != scene
            assert turn.request == ops.request_words(turn.operations)
            scene = turn.gold


def test_hybrid_requests_hold_both_kinds_of_operation() -> None:
    causal = (ops.Gravity, ops.Wind, ops.Wait, ops.Mix)
    for dialogue in DIALOGUES:
        words = [operation for turn in image_turns(dialogue)[1:] for operation in turn.operations]
        if dialogue.task_class == "hybrid" and len(words) > 2:
            assert {isinstance(operation, causal) for operation in words} == {True, False}
        if dialogue.task_class == "static_spatial":
            assert not any(isinstance(operation, causal) for operation in words)


def test_requests_stay_legal_whatever_the_model_chose() -> None:
    for dialogue in DIALOGUES:
        possible: tuple[Scene, ...] = (world.BLANK,)
        for turn in image_turns(dialogue):
            for operation in turn.operations:
                assert all(operation.legal(scene) for scene in possible)
                possible = tuple(dict.fromkeys(s for scene in possible for s in operation.outcomes(scene)))


def test_static_answers_are_fixed_and_dynamic_ones_are_not() -> None:
    for dialogue in DIALOGUES:
        possible: tuple[Scene, ...] = (world.BLANK,)
        for turn in dialogue.turns:
            if isinstance(turn, ImageTurn):
                possible = tuple(
                    dict.fromkeys(s for scene in possible for s in ops.outcomes(turn.operations, scene))
                )
                continue
            answers = {turn.mcq.answer(scene) for scene in possible}
            assert turn.gold in answers
            assert None not in answers
            assert (len(answers) > 1) == turn.dynamic
            assert len(set(turn.mcq.options)) == len(LETTERS)


def test_letters_are_balanced() -> None:
    gold = Counter(turn.gold for d in DIALOGUES for turn in d.turns if isinstance(turn, McqTurn))
    assert min(gold[letter] for letter in LETTERS) > 0.15 * gold.total()


def test_streams_are_named() -> None:
    def numbers(*name: str | int) -> list[float]:
        stream = Stream(*name)
        return [stream.uniform() for _ in range(600)]

    assert numbers("a", 1) == numbers("a", 1)
    assert numbers("a", 1) != numbers("a", 2)
    assert Stream("pinned").uniform() == Stream("pinned").uniform()
    assert sorted(Stream("x").sample(range(9), 9)) == list(range(9))
