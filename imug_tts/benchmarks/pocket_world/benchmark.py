"""The pocket world as a benchmark: samples, gold references and an exact scorer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

from imug_tts.benchmarks.pocket_world import operations as ops
from imug_tts.benchmarks.pocket_world import scoring, world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, Split, Turn, make_dialogue
from imug_tts.benchmarks.pocket_world.tasks import TASK_CLASSES, TASKS, TaskClass
from imug_tts.benchmarks.pocket_world.world import Scene
from imug_tts.contracts import Benchmark, ConfigurationError, JudgeError, Scope, Score
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.knobs import Several, component, knob
from imug_tts.scoring import Scoring, mcq

VERSION: Final = "1"
DOMAINS: Final[Mapping[str, str]] = {
    "static_spatial": "Pocket_Static_Spatial",
    "temporal_causal": "Pocket_Temporal_Causal",
    "hybrid": "Pocket_Hybrid",
}
"""The domain of each class."""

_PLACES: Final = {
    task_class: [place for place, task in enumerate(TASKS) if task.task_class == task_class]
    for task_class in TASK_CLASSES
}


@component
class PocketWorld(Benchmark):
    """Procedural dialogues on a 4x4 grid, exactly simulated and exactly scored.

    Sample i of a (split, seed) is always the same dialogue, and belongs to class i mod 3. `num_samples`
    counts indices over all three classes, from which `classes` selects. So a run over one class answers
    exactly the samples of that class in a run over all classes: num_samples=300 with classes=["hybrid"] gives
    the 100 hybrid ones of the 300. `scoring.mcq` is the scoring rule of multiple-choice answers; the score
    detail states both rules.
    """

    split: Split = knob("Split of the dialogues: train, validation or test.", default="test")
    seed: int = knob(
        "Seed of the dialogues; the run's own seed is the knob `seed` of the run.", default=0, ge=0
    )
    num_samples: int = knob(
        "Number of dialogues over all classes, from which `classes` selects.", default=300, ge=1, selects=True
    )
    classes: Several[TaskClass] = knob("Classes of dialogues to select.", default=TASK_CLASSES, selects=True)
    scoring: Scoring = knob("Scoring rules; null uses those of the run.", default_factory=Scoring)

    def __post_init__(self) -> None:
        if not any(_class_of(i) in self.classes for i in range(min(self.num_samples, len(TASK_CLASSES)))):
            raise ConfigurationError(
                f"num_samples={self.num_samples} has no sample of classes {list(self.classes)}; "
                f"name a class, or ask for {len(TASK_CLASSES)} samples or more"
            )

    @property
    def name(self) -> str:
        return "pocket_world"

    @cached_property
    def identity(self) -> str:
        """Name, version, split and seed, and a hash of the first dialogue of every task.

        The hash changes if any request, outcome, answer or picture changes.
        """
        digest = hashlib.sha256(world.prototypes().tobytes())
        for index in range(len(TASKS)):
            digest.update(_content(make_dialogue(self.split, self.seed, index)))
        return f"{self.name}:{VERSION}:{self.split}:{self.seed}:{digest.hexdigest()[:8]}"

    def samples(self) -> Sequence[Sample]:
        """The samples in order of their index; generated once."""
        return self._samples

    def reference(self, sample: Sample, number: int) -> Part:
        """The gold picture of an image turn, or the right letter of a question about the gold pictures."""
        turn = self._dialogue(sample).turns[number - 1]
        return gold_image(turn.gold) if isinstance(turn, ImageTurn) else Text(turn.gold)

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        """The score of the last of `outputs`, the answers to turns 1..len(outputs); see `scoring` for the
        rules.

                No model is asked, so `scope` is unused.

        Raises:
            ValueError: the outputs do not answer these turns.
            JudgeError: an image cannot be decoded.
        """
        del scope
        turns = self._dialogue(sample).turns
        answers = _answers(sample, turns, outputs)
        turn, output = turns[len(answers) - 1], answers[-1]
        image_turns = [turn for turn in turns if isinstance(turn, ImageTurn)]
        drawn = [scoring.read(answer) for answer in answers if isinstance(answer, Image)]
        if isinstance(turn, ImageTurn) or not isinstance(output, Text):
            return scoring.score_image(image_turns, drawn)
        expected = scoring.expected_letter(turn, image_turns, drawn)
        return scoring.score_text(turn, expected, output.text, self.scoring.mcq)

    @cached_property
    def _dialogues(self) -> dict[str, Dialogue]:
        indices = (i for i in range(self.num_samples) if _class_of(i) in self.classes)
        return {str(i): make_dialogue(self.split, self.seed, _generator_index(i)) for i in indices}

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        return tuple(_sample(sample_id, dialogue) for sample_id, dialogue in self._dialogues.items())

    def _dialogue(self, sample: Sample) -> Dialogue:
        dialogue = self._dialogues.get(sample.sample_id)
        if dialogue is None or dialogue.task != sample.task:
            raise ValueError(f"{sample.name} is not a sample of {self}")
        return dialogue


@lru_cache(maxsize=4096)
def gold_image(scene: Scene) -> Image:
    """The exact picture of a scene, as PNG."""
    return Image.from_pixels(world.render(scene))


def _class_of(index: int) -> TaskClass:
    return TASK_CLASSES[index % len(TASK_CLASSES)]


def _generator_index(index: int) -> int:
    """The generator's dialogue index of sample `index`. The generator cycles through all tasks."""
    places = _PLACES[_class_of(index)]
    lap, place = divmod(index // len(TASK_CLASSES), len(places))
    return lap * len(TASKS) + places[place]


def _sample(sample_id: str, dialogue: Dialogue) -> Sample:
    return Sample(
        sample_id=sample_id,
        sample_class=dialogue.task_class,
        domain=DOMAINS[dialogue.task_class],
        task=dialogue.task,
        questions=tuple(_question(dialogue.turns, number) for number in range(1, len(dialogue.turns) + 1)),
    )


def _question(turns: Sequence[Turn], number: int) -> Question:
    turn = turns[number - 1]
    return Question(
        number=number,
        modality="image" if isinstance(turn, ImageTurn) else "text",
        parts=(Text(turn.request),),
        key=_key(turns, number),
    )


def _key(turns: Sequence[Turn], number: int) -> dict[str, Any]:
    """The answer key in plain values. `ref_turns` are the image turns needed to grade this turn."""
    turn = turns[number - 1]
    earlier = [n for n in range(1, number) if isinstance(turns[n - 1], ImageTurn)]
    if isinstance(turn, ImageTurn):
        texts = scoring.point_texts(turn.request, opening=not earlier)
        return {"evaluation_points": list(texts), "ref_turns": earlier[-1:]}
    if turn.dynamic:
        placed = next(n for n in earlier if _places_freely(turns[n - 1]))
        since = [n for n in earlier if n >= placed]
        return {"answer": mcq.DYNAMIC, "options": list(turn.mcq.options), "ref_turns": since}
    return {"answer": turn.gold, "options": list(turn.mcq.options), "ref_turns": []}


def _places_freely(turn: Turn) -> bool:
    return isinstance(turn, ImageTurn) and any(isinstance(op, ops.AddAnywhere) for op in turn.operations)


def _content(dialogue: Dialogue) -> bytes:
    turns = [f"{turn.request}\x1f{turn.gold}" for turn in dialogue.turns]
    return "\x1e".join([dialogue.task, *turns]).encode()


def _answers(sample: Sample, turns: Sequence[Turn], outputs: Sequence[Part | None]) -> list[Part]:
    """The outputs as answers to these turns. Raises ValueError or JudgeError if they are not."""
    if not 1 <= len(outputs) <= len(turns):
        raise ValueError(f"{sample.name} has {len(turns)} turns; {len(outputs)} outputs cannot be scored")
    for number, (question, output) in enumerate(zip(sample.questions, outputs, strict=False), start=1):
        if output is None:
            raise JudgeError(f"{sample.name} cannot be scored after turn {number}, which has no answer")
        if question.modality != output.modality:
            wanted, given = question.modality, output.modality
            raise ValueError(f"{sample.name} turn {number} asks for {wanted}, not for {given}")
    return [output for output in outputs if output is not None]
