"""What the model can learn from dialogues that it plays itself: kinds of practice, by name.

Each kind maps the model's weights and a number of dialogues to training rows. They differ in whose pictures
the history holds and in what is learned after it; the trainer mixes their rows with rows of gold dialogues.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from experiments.pocket_training import on_policy
from experiments.pocket_training.model import Shape
from experiments.pocket_training.trees import (
    Kind,
    Language,
    Row,
    TreeWriter,
    add_picture,
    dialogue_row,
    gold_row,
    marks,
)
from imug_tts.backbones.pocket import layout
from imug_tts.backbones.pocket.generator import PocketGenerator, Sampled
from imug_tts.backbones.pocket.vocabulary import BOS
from imug_tts.benchmarks.pocket_world import operations, scoring, world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, Turn
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.benchmarks.pocket_world.world import Scene

Name = tuple[int, int, int]
"""Seed, round and process: what the randomness of a round is named by."""

Practice = Callable[[Mapping[str, Tensor], Shape, Language, Name, int], list[Row]]
"""From Llama-named weights, their shape, the language, the round's name and a number of dialogues to rows."""

CANDIDATES = 4
"""Pictures drawn for each turn of the preference practice."""


def step_targets(turns: Sequence[ImageTurn], drawn: Sequence[Scene]) -> list[ImageTurn]:
    """Each turn as it stands after the own previous picture: the request done to that picture.

    Free placements are adopted from the picture drawn at the turn, so a right picture is its own target.
    """
    before = [world.BLANK, *drawn]
    return [
        replace(turn, gold_before=own, gold=operations.apply(turn.operations, own, picture))
        for turn, own, picture in zip(turns, before, drawn, strict=False)
    ]


def dialogue_targets(turns: Sequence[ImageTurn], drawn: Sequence[Scene]) -> list[ImageTurn]:
    """Each turn as the dialogue as a whole asks for it, whatever damage the own pictures hold."""
    references = (scoring.follow(turns, drawn[: count + 1]) for count in range(len(drawn)))
    return [
        replace(turn, gold_before=reference.before, gold=reference.after)
        for turn, reference in zip(turns, references, strict=False)
    ]


def play_out(
    generator: PocketGenerator, language: Language, dialogues: Sequence[Dialogue], stream: Stream
) -> list[list[Scene]]:
    """The pictures that the model draws directly, at temperature 1, on its own history of each dialogue."""
    played = [on_policy.Played(language, dialogue) for dialogue in dialogues]
    while playing := [each for each in played if len(each.scenes) < len(each.turns)]:
        for each in playing:
            each.ask()
        jobs = [Sampled(each.prompt, (stream.below(1 << 40),), 1.0) for each in playing]
        for each, codes in zip(playing, generator.draw(jobs), strict=True):
            each.take(language.scene(codes[0]))
    return [each.scenes for each in played]


def _own_history(targets: Callable[[Sequence[ImageTurn], Sequence[Scene]], list[ImageTurn]]) -> Practice:
    """Rows whose history is the model's own, with these targets."""

    def practise(
        weights: Mapping[str, Tensor], shape: Shape, language: Language, name: Name, num_dialogues: int
    ) -> list[Row]:
        dialogues = on_policy.dialogues_to_play(name, num_dialogues)
        generator = on_policy.build_generator(weights, shape, language, torch.float32)
        stream = Stream("pocket_own_history", *name)
        rows = []
        for dialogue, drawn in zip(dialogues, play_out(generator, language, dialogues, stream), strict=True):
            turns = retargeted(
                dialogue, targets([t for t in dialogue.turns if isinstance(t, ImageTurn)], drawn)
            )
            rows.append(dialogue_row(language, turns, drawn, stream))
        return rows

    return practise


def retargeted(dialogue: Dialogue, image_turns: Sequence[ImageTurn]) -> list[Turn]:
    """The turns of a dialogue with its image turns replaced in order."""
    following = iter(image_turns)
    return [next(following) if isinstance(turn, ImageTurn) else turn for turn in dialogue.turns]


def _gold(
    weights: Mapping[str, Tensor], shape: Shape, language: Language, name: Name, num_dialogues: int
) -> list[Row]:
    """The control: the same dialogues and branches, on gold pictures; nothing is played."""
    stream = Stream("pocket_own_history", *name)
    return [
        gold_row(language, dialogue, stream) for dialogue in on_policy.dialogues_to_play(name, num_dialogues)
    ]


def _preference(
    weights: Mapping[str, Tensor], shape: Shape, language: Language, name: Name, num_dialogues: int
) -> list[Row]:
    """On the model's own history, of several pictures the best and the worst by the exact score."""
    generator = on_policy.build_generator(weights, shape, language, torch.float32)
    stream = Stream("pocket_own_history", *name)
    played = [on_policy.Played(language, each) for each in on_policy.dialogues_to_play(name, num_dialogues)]
    found: list[list[tuple[Scene, Scene] | None]] = [[] for _ in played]
    while playing := [n for n, each in enumerate(played) if len(each.scenes) < len(each.turns)]:
        for number in playing:
            played[number].ask()
        seeds = [tuple(stream.below(1 << 40) for _ in range(CANDIDATES)) for _ in playing]
        jobs = [Sampled(played[n].prompt, s, 1.0) for n, s in zip(playing, seeds, strict=True)]
        for number, codes in zip(playing, generator.draw(jobs), strict=True):
            each, drawn = played[number], [language.scene(picture) for picture in codes]
            found[number].append(comparison(each.turns[len(each.scenes)], each.before, drawn))
            each.take(stream.choice(drawn))
    return [_compared(each, pairs) for each, pairs in zip(played, found, strict=True) if any(pairs)]


def comparison(turn: ImageTurn, before: Scene, drawn: Sequence[Scene]) -> tuple[Scene, Scene] | None:
    """The best and the worst of several pictures by the cells that follow the request; None if all are alike.

    Cells are judged against the request done to the picture `before`, the own previous one.
    """
    right = [sum(marks(turn.operations, before, scene)) for scene in drawn]
    best, worst = max(right), min(right)
    return None if best == worst else (drawn[right.index(best)], drawn[right.index(worst)])


def _compared(played: on_policy.Played, pairs: Sequence[tuple[Scene, Scene] | None]) -> Row:
    """The history as it was played, and beside each of its pictures the two that were compared."""
    language, writer = played.language, TreeWriter()
    parent, asked = writer.add(None, [BOS]), list[int]()
    for turn, scene in zip(played.turns, played.scenes, strict=True):
        asked.append(writer.add(parent, layout.request(language.vocabulary, turn.request)))
        parent = add_picture(writer, language, asked[-1], scene, None)
    for number, (at, pair) in enumerate(zip(asked, pairs, strict=True), start=1):
        if pair is not None and writer.room(2 * (world.NUM_CELLS + 1)):
            for scene, kind in zip(pair, (Kind.CHOSEN, Kind.REJECTED), strict=True):
                add_picture(writer, language, at, scene, kind, number)
    return writer.row()


PRACTICES: Mapping[str, Practice] = {
    "checks": on_policy.play,
    "gold": _gold,
    "step": _own_history(step_targets),
    "dialogue": _own_history(dialogue_targets),
    "preference": _preference,
}
"""`checks` is the verifier phase of a training from scratch; the others are methods of `--on-policy`."""
