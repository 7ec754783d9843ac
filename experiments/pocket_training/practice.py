"""Kinds of practice: ways to make training rows, most of them from dialogues that the model plays itself.

Each kind maps the model's weights and a number of dialogues to training rows. The kinds differ in the
pictures of the history (own or gold) and in the targets. The trainer mixes these rows with rows of gold
dialogues.
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
"""(seed, round, process): seeds all random draws of a round."""

Practice = Callable[[Mapping[str, Tensor], Shape, Language, Name, int], list[Row]]
"""(weights with Llama names, their shape, language, name of the round, number of dialogues) -> rows."""

CANDIDATES = 4
"""Pictures drawn for each turn of the preference practice."""


def step_targets(turns: Sequence[ImageTurn], drawn: Sequence[Scene]) -> list[ImageTurn]:
    """Return the turns with new targets: each request applied to the model's own previous picture.

    Where a request leaves a placement free, the target has the placement that the model drew. So a right
    picture equals its target.
    """
    before = [world.BLANK, *drawn]
    return [
        replace(turn, gold_before=own, gold=operations.apply(turn.operations, own, picture))
        for turn, own, picture in zip(turns, before, drawn, strict=False)
    ]


def dialogue_targets(turns: Sequence[ImageTurn], drawn: Sequence[Scene]) -> list[ImageTurn]:
    """Return the turns with new targets: the picture that all requests so far lead to.

    Errors in the model's own earlier pictures do not change these targets; its free placements do.
    """
    references = (scoring.follow(turns, drawn[: count + 1]) for count in range(len(drawn)))
    return [
        replace(turn, gold_before=reference.before, gold=reference.after)
        for turn, reference in zip(turns, references, strict=False)
    ]


def play_out(
    generator: PocketGenerator, language: Language, dialogues: Sequence[Dialogue], stream: Stream
) -> list[list[Scene]]:
    """Let the model play the dialogues on its own history, without plans, at temperature 1.

    Returns:
        The pictures of each dialogue, one for each image turn.
    """
    played = [on_policy.Played(language, dialogue) for dialogue in dialogues]
    while playing := [each for each in played if len(each.scenes) < len(each.turns)]:
        for each in playing:
            each.ask()
        jobs = [Sampled(each.prompt, (stream.below(1 << 40),), 1.0) for each in playing]
        for each, codes in zip(playing, generator.draw(jobs), strict=True):
            each.take(language.scene(codes[0]))
    return [each.scenes for each in played]


def _own_history(targets: Callable[[Sequence[ImageTurn], Sequence[Scene]], list[ImageTurn]]) -> Practice:
    """Return a practice that plays dialogues on the model's own history and learns the given targets.

    Plans are learned on gold dialogues alone. After a damaged picture a request may name things that are not
    there, and plans learned there lower the score of Chain-of-Thought.
    """

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
            rows.append(dialogue_row(language, turns, drawn, stream, with_plans=False))
        return rows

    return practise


def retargeted(dialogue: Dialogue, image_turns: Sequence[ImageTurn]) -> list[Turn]:
    """Return all turns of a dialogue, with its image turns replaced by `image_turns`, in order."""
    following = iter(image_turns)
    return [next(following) if isinstance(turn, ImageTurn) else turn for turn in dialogue.turns]


def _gold(
    weights: Mapping[str, Tensor], shape: Shape, language: Language, name: Name, num_dialogues: int
) -> list[Row]:
    """Return rows of the same dialogues on gold history, without plans too: the control, for which the model
    plays nothing.
    """
    stream = Stream("pocket_own_history", *name)
    dialogues = on_policy.dialogues_to_play(name, num_dialogues)
    return [gold_row(language, dialogue, stream, with_plans=False) for dialogue in dialogues]


def _preference(
    weights: Mapping[str, Tensor], shape: Shape, language: Language, name: Name, num_dialogues: int
) -> list[Row]:
    """Return rows that compare pictures of the model, drawn on its own history.

    At each turn the model draws `CANDIDATES` pictures. The best and the worst by the exact score are
    compared. A random one of them continues the history.
    """
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
    """Return the best and the worst picture by their number of right cells; None if all numbers are equal.

    A cell is right if it is as the request, applied to the picture `before`, makes it. `before` is the
    model's own previous picture.
    """
    right = [sum(marks(turn.operations, before, scene)) for scene in drawn]
    best, worst = max(right), min(right)
    return None if best == worst else (drawn[right.index(best)], drawn[right.index(worst)])


def _compared(played: on_policy.Played, pairs: Sequence[tuple[Scene, Scene] | None]) -> Row:
    """Return a row with the played history as input and the compared pictures of each turn as branches.

    Args:
        pairs: for each turn the chosen and the rejected picture, or None for a turn without comparison.
    """
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
"""The kinds by name. `checks` is the verifier phase of training from scratch; `--on-policy` chooses the
others.
"""
