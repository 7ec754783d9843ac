"""On-policy rows of the verifier phase: the model plays dialogues, and the exact simulator marks its
pictures.

Only the marks are targets in these rows. The model's own pictures are input, never targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from experiments.pocket_training.model import Shape
from experiments.pocket_training.trees import Language, Row, TreeWriter, add_check, add_picture, marks
from imug_tts.backbones.pocket import layout
from imug_tts.backbones.pocket.decoder import Decoder, Sizes
from imug_tts.backbones.pocket.generator import PocketGenerator, Sampled
from imug_tts.backbones.pocket.vocabulary import BOS
from imug_tts.benchmarks.pocket_world import world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, make_dialogue
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.benchmarks.pocket_world.world import Scene

_SAMPLED_PLANS = 2
_FIRST_INDEX = 10**9
"""The first index of a played dialogue; gold rows use only smaller indices."""


def build_generator(
    weights: Mapping[str, Tensor], shape: Shape, language: Language, dtype: torch.dtype
) -> PocketGenerator:
    """Return a generator that runs weights with Llama names."""
    stored = asdict(shape)
    sizes = Sizes(**{name: stored[name] for name in Sizes.__dataclass_fields__})
    return PocketGenerator(Decoder(weights, sizes, dtype, cache_bytes=2 << 30), language.vocabulary)


class Played:
    """A dialogue that the model is playing: its image turns, the pictures drawn so far, and the prompt."""

    def __init__(self, language: Language, dialogue: Dialogue) -> None:
        self.language = language
        self.turns = [turn for turn in dialogue.turns if isinstance(turn, ImageTurn)]
        self.prompt: list[list[int]] = [[BOS]]
        self.scenes: list[Scene] = []

    @property
    def before(self) -> Scene:
        """The newest picture, which the next request changes; the blank picture before the first turn."""
        return self.scenes[-1] if self.scenes else world.BLANK

    def ask(self) -> None:
        """Append the next request to the prompt."""
        request = layout.request(self.language.vocabulary, self.turns[len(self.scenes)].request)
        self.prompt = [*self.prompt[:-1], [*self.prompt[-1], *request]]

    def take(self, scene: Scene) -> None:
        """Append the picture drawn for the last request to the prompt, as a new piece.

        `ask` appends the next request to that piece.
        """
        self.scenes.append(scene)
        self.prompt = [*self.prompt, layout.image(self.language.vocabulary, self.language.codes(scene))]


def candidates(
    generator: PocketGenerator, playing: Sequence[Played], stream: Stream
) -> tuple[list[str], list[list[Scene]]]:
    """Draw candidate pictures for the next turn of each dialogue.

    Returns:
        For each dialogue its greedy plan, and its pictures: one drawn without a plan, one after the greedy
        plan, and one after each of `_SAMPLED_PLANS` sampled plans.
    """
    vocabulary, language = generator.vocabulary, playing[0].language
    seeds = [tuple(stream.below(1 << 40) for _ in range(_SAMPLED_PLANS)) for _ in playing]
    greedy = [plans[0] for plans in generator.plan([Sampled(p.prompt) for p in playing])]
    varied = generator.plan([Sampled(p.prompt, s, 0.7) for p, s in zip(playing, seeds, strict=True)])
    words = [[vocabulary.decode(plan) for plan in [g, *v]] for g, v in zip(greedy, varied, strict=True)]
    jobs = []
    for played, plans in zip(playing, words, strict=True):
        prompts = [played.prompt, *([*played.prompt, layout.plan(vocabulary, plan)] for plan in plans)]
        jobs += [Sampled(prompt, (stream.below(1 << 40),), 1.0) for prompt in prompts]
    pictures = [language.scene(codes[0]) for codes in generator.draw(jobs)]
    each = 2 + _SAMPLED_PLANS
    drawn = [pictures[at : at + each] for at in range(0, len(pictures), each)]
    return [plans[0] for plans in words], drawn


def _row(played: Played, plan: str, drawn: Sequence[Scene], stream: Stream) -> Row | None:
    """Return a row with the played history and a check of each distinct candidate; None if no check fits."""
    language, writer = played.language, TreeWriter()
    parent = writer.add(None, [BOS])
    for turn, scene in zip(played.turns, played.scenes, strict=False):
        asked = writer.add(parent, layout.request(language.vocabulary, turn.request))
        parent = add_picture(writer, language, asked, scene, None)
    turn = played.turns[len(played.scenes)]
    asked = writer.add(parent, layout.request(language.vocabulary, turn.request))
    opening = layout.check(language.vocabulary, plan if stream.chance(0.85) else None)
    if not writer.room(len(opening) + 2 * world.NUM_CELLS + 1):
        return None
    opened = writer.add(asked, opening)
    for scene in dict.fromkeys(stream.sample(drawn, len(drawn))):
        if writer.room(2 * world.NUM_CELLS + 1):
            add_check(writer, language, opened, scene, marks(turn.operations, played.before, scene))
    return writer.row()


def dialogues_to_play(name: tuple[int, int, int], count: int) -> list[Dialogue]:
    """Return `count` training dialogues that only this round of this process uses.

    Args:
        name: (seed, round, process).
    """
    first = _FIRST_INDEX + (name[1] * 64 + name[2]) * count
    return [make_dialogue("train", name[0], first + number) for number in range(count)]


def play(
    weights: Mapping[str, Tensor],
    shape: Shape,
    language: Language,
    name: tuple[int, int, int],
    num_dialogues: int = 80,
) -> list[Row]:
    """Play dialogues and return rows that check the model's own pictures.

    Args:
        name: (seed, round, process); seeds all random draws.
    """
    generator, stream = build_generator(weights, shape, language, torch.float32), Stream("pocket_play", *name)
    playing = [Played(language, dialogue) for dialogue in dialogues_to_play(name, num_dialogues)]
    rows: list[Row] = []
    while playing:
        for played in playing:
            played.ask()
        plans, drawn = candidates(generator, playing, stream)
        for played, plan, pictures in zip(playing, plans, drawn, strict=True):
            row = _row(played, plan, pictures, stream)
            rows += [] if row is None else [row]
            played.take(stream.choice(pictures))
        playing = [played for played in playing if len(played.scenes) < len(played.turns)]
    return rows
