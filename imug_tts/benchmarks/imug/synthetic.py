"""A synthetic benchmark in the format of IMUG-Bench with its own content, for dry runs and tests.

At full size it has as many samples, turns, domains, tasks, dynamic questions by turn and grid truth files as
the official release. The content is made up: scores on it mean nothing.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from imug_tts.benchmarks.imug.domains import CLASSES, class_of
from imug_tts.benchmarks.imug.keys import GRID_DOMAIN, GRID_TASKS
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Modality, Part, Question, Sample, Text
from imug_tts.scoring.mcq import DYNAMIC

__all__ = ["FULL_SIZE", "synthetic_samples"]

FULL_SIZE: Final = 3113
"""Number of samples in the official release."""

_NUM_TASKS: Final = 97
_GRID_SAMPLES: Final = dict(zip(GRID_TASKS, (10, 7, 7), strict=True))
_LENGTHS: Final = {2: 300, 3: 850, 4: 1131, 5: 632, 6: 200}
"""Number of dialogues by number of turns: 12,034 turns in total. (The release states only the total.)"""
_DYNAMIC: Final = {2: 111, 3: 55, 4: 264, 5: 184, 6: 105}
"""Number of dynamic questions by turn. Here each is the last turn of its dialogue."""

_THINGS: Final = ("lamp", "kettle", "bicycle", "jar", "ladder", "kite", "umbrella", "clock", "bench", "boat")
_COLORS: Final = ("red", "green", "blue", "yellow", "white", "black", "orange", "purple")
_CHANGES: Final = (
    "turn it {0}",
    "put a {0} {1} beside it",
    "move it behind the {1}",
    "show it after an hour",
)
_LETTERS: Final = "ABCD"


class _Plan(NamedTuple):
    """The name of a sample, and the shape of its dialogue."""

    domain: str
    task: str
    number: int
    num_turns: int
    ends_dynamic: bool
    ends_in_text: bool


def synthetic_samples(num_samples: int, seed: int = 0, image_size: int = 64) -> Iterator[Sample]:
    """The samples of a benchmark with `num_samples` samples and input images of `image_size` pixels width.

    Fewer than `FULL_SIZE` samples are spread evenly over its tasks; more repeat the tasks. A sample depends
    on its name and the seed alone.

    Raises:
        ConfigurationError: a number is out of range.
    """
    if num_samples < 1:
        raise ConfigurationError(f"the number of samples is {num_samples}; it must be 1 or more")
    if not 8 <= image_size <= 9000:
        raise ConfigurationError(f"the image size is {image_size}; it must be from 8 to 9000 pixels")
    return (_Author(plan, seed, image_size).sample() for plan in _plans(num_samples))


def _plans(num_samples: int) -> Iterator[_Plan]:
    full = _full_plan()
    sizes = {(plan.domain, plan.task): plan.number for plan in full}
    for index in range(num_samples):
        lap, place = divmod(index, FULL_SIZE)
        plan = full[place if num_samples >= FULL_SIZE else index * FULL_SIZE // num_samples]
        yield plan._replace(number=plan.number + lap * sizes[plan.domain, plan.task])


def _full_plan() -> list[_Plan]:
    names = [(domain, task, n) for domain, task, size in _tasks() for n in range(1, size + 1)]
    shapes = [(length, n < _DYNAMIC[length]) for length, count in _LENGTHS.items() for n in range(count)]
    plans = []
    for index, name in enumerate(names):
        num_turns, ends_dynamic = shapes[index * 1009 % FULL_SIZE]  # distributes every shape over all tasks
        plans.append(_Plan(*name, num_turns, ends_dynamic, ends_dynamic or index % 2 == 0))
    return plans


def _tasks() -> list[tuple[str, str, int]]:
    """Domain, name and number of samples of each task."""
    domains = [domain for domains in CLASSES.values() for domain in domains]
    special = {GRID_DOMAIN: list(GRID_TASKS), "Botany": ["natural_growth"]}
    names = []
    for index, domain in enumerate(domains):
        count = _NUM_TASKS // len(domains) + (index < _NUM_TASKS % len(domains))
        own = special.get(domain, [])
        names += [(domain, task) for task in [*own, *(f"task_{n}" for n in range(len(own) + 1, count + 1))]]
    others = [name for name in names if name[1] not in GRID_TASKS]
    share, rest = divmod(FULL_SIZE - sum(_GRID_SAMPLES.values()), len(others))
    sizes = {name: share + (index < rest) for index, name in enumerate(others)}
    return [(domain, task, sizes.get((domain, task)) or _GRID_SAMPLES[task]) for domain, task in names]


class _Author:
    """Writes one sample."""

    def __init__(self, plan: _Plan, seed: int, image_size: int) -> None:
        self._plan = plan
        self._random = random.Random(f"{seed} {plan.domain}/{plan.task}/{plan.number}")
        self._image_size = image_size

    def sample(self) -> Sample:
        plan = self._plan
        thing = self._random.choice(_THINGS)
        turns = range(1, plan.num_turns + 1)
        inputs = {turn: self._input(turn, thing) for turn in turns}
        return Sample(
            sample_id=str(plan.number),
            sample_class=class_of(plan.domain),
            domain=plan.domain,
            task=plan.task,
            system_prompt="Answer questions with letters alone." if plan.number % 10 == 1 else None,
            questions=tuple(
                Question(
                    number=turn,
                    modality=self._modality(turn),
                    parts=inputs[turn],
                    key=self._key(turn, inputs),
                )
                for turn in turns
            ),
        )

    def _modality(self, turn: int) -> Modality:
        """The modality of a turn; text and image alternate."""
        as_the_last = (self._plan.num_turns - turn) % 2 == 0
        return "text" if as_the_last == self._plan.ends_in_text else "image"

    def _input(self, turn: int, thing: str) -> tuple[Part, ...]:
        text = Text(self._question(thing) if self._modality(turn) == "text" else self._request(turn, thing))
        with_image = self._random.random() < (0.6 if turn == 1 else 0.1)
        return (text, self._image()) if with_image else (text,)

    def _question(self, thing: str) -> str:
        colors = self._random.sample(_COLORS, len(_LETTERS))
        options = " ".join(f"{letter}. {color}" for letter, color in zip(_LETTERS, colors, strict=True))
        return f"What colour is the {thing} now? Answer with letters. {options}"

    def _request(self, turn: int, thing: str) -> str:
        color, other = self._random.choice(_COLORS), self._random.choice(_THINGS)
        change = self._random.choice(_CHANGES).format(color, other)
        return f"Draw a {color} {thing}." if turn == 1 else f"Draw the {thing} again, but {change}."

    def _image(self) -> Image:
        """A JPEG of one rectangle on a plain background."""
        from PIL import Image as Pillow

        width, height = self._image_size, self._image_size * 3 // 4
        picture = Pillow.new("RGB", (width, height), self._color())
        picture.paste(self._color(), (width // 4, height // 4, width // 2, height // 2))
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG")
        return Image.from_bytes(buffer.getvalue())

    def _color(self) -> tuple[int, int, int]:
        red, green, blue = self._random.randbytes(3)
        return red, green, blue

    def _key(self, turn: int, inputs: dict[int, tuple[Part, ...]]) -> dict[str, Any]:
        if self._modality(turn) == "text":
            return self._text_key(turn)
        shown = [{"ref_turn": 1, "ref_type": "input"}] if _has_image(inputs[1]) else []
        if turn > 2:
            shown.append({"ref_turn": turn - 2, "ref_type": "output"})
        points = [
            f"{self._random.choice(_CHANGES).format('red', 'jar')} is done" for _ in range(turn % 3 + 2)
        ]
        key = {"evaluation_points": points, "references": shown}
        is_grid = self._plan.domain == GRID_DOMAIN and self._plan.task in GRID_TASKS
        return key | {"grid": [self._random.choices("01rg", k=3) for _ in range(3)]} if is_grid else key

    def _text_key(self, turn: int) -> dict[str, Any]:
        several = self._plan.task == "natural_growth"
        letters = sorted(self._random.sample(_LETTERS, 2 if several else 1))
        if turn < self._plan.num_turns or not self._plan.ends_dynamic:
            return {"answer": ",".join(letters), "ref_turns": []}
        fixed = letters[0] if several else ""
        return {"answer": fixed + DYNAMIC, "ref_turns": [turn - 1]}


def _has_image(parts: tuple[Part, ...]) -> bool:
    return any(isinstance(part, Image) for part in parts)
