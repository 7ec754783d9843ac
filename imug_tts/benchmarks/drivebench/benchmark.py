"""DriveBench as a benchmark: one question a dialogue, answered in text, graded by a judge on a rubric."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from imug_tts.benchmarks.drivebench.choices import accuracy
from imug_tts.benchmarks.drivebench.kinds import (
    CAPABILITIES,
    GRADED,
    MULTIPLE_CHOICE,
    Kind,
    Setting,
)
from imug_tts.benchmarks.drivebench.official import OfficialWords
from imug_tts.benchmarks.drivebench.points import HIGHEST, official_points, read_points
from imug_tts.benchmarks.drivebench.reading import Data, Files, read_data
from imug_tts.benchmarks.drivebench.rubrics import Sheet, judge_message
from imug_tts.contracts import Benchmark, ConfigurationError, JudgeError, Sampling, Scope, Score
from imug_tts.dialogue import Part, Sample, Text
from imug_tts.knobs import Folder, Several, component, knob
from imug_tts.scoring.replies import ask_until_read

__all__ = ["DriveBench"]

_VERSION: Final = "1"
"""Changes whenever the words that a model or a judge is given change."""
_SAMPLING: Final = Sampling(temperature=0.0, max_tokens=3000)
"""The official judge's."""
_FORM: Final = 'the whole scoring sheet, with one line "Total Score: N"'


@component
class DriveBench(Benchmark):
    """The questions of DriveBench (arXiv 2501.04003), all of them or a part.

    Files lie below `root` as the official instructions put them. A sample is one record: its class is the
    kind of the question, its domain the scene and its task the frame. The score is the judge's points over
    100; what the official code would read stands beside it in the record's detail.
    """

    root: Folder = knob("The folder that holds data/, below which image paths are looked up.", runtime=True)
    questions: str = knob(
        "The file of records, from the root: a JSON array or one record a line.",
        default="data/drivebench-test.json",
        runtime=True,
    )
    descriptions: str | None = knob(
        "The official file of visual descriptions, from the root or `official`; null: the judge gets none.",
        default="data/visual_description.json",
        runtime=True,
    )
    setting: Setting = knob(
        "Which images are shown: clean ones, black ones (NoImage), or those of a folder of data/corruption/.",
        default="clean",
    )
    show_images: bool = knob(
        "False to grade recorded answers without the images; a model then sees none.", default=True
    )
    official: Folder | None = knob(
        "A clone of the official repository, whose words model and judge are given; null for ours.",
        default=None,
        runtime=True,
    )
    kinds: Several[Kind] = knob("Kinds of questions.", default=GRADED, min_length=1, selects=True)
    num_samples: int | None = knob(
        "At most this many of the selected questions, evenly spaced; null for all.",
        default=None,
        ge=1,
        selects=True,
    )

    @property
    def name(self) -> str:
        return "drivebench"

    @cached_property
    def identity(self) -> str:
        """Names the setting, the words in use, and the content of records, descriptions and images.

        Raises:
            ConfigurationError: as `data`; or an image cannot be read.
        """
        words = self._words.sha256[:16] if self._words else f"v{_VERSION}"
        return f"{self.name}:{self.setting}:{words}:{self.data.sha256[:16]}"

    @cached_property
    def data(self) -> Data:
        """All questions, whatever the filters; read and checked once.

        Raises:
            ConfigurationError: a file is missing, or something is wrong with it.
        """
        return read_data(
            Files(
                root=self.root,
                questions=self.root / self.questions,
                descriptions=self._descriptions(),
                setting=self.setting,
                show_images=self.show_images,
                official=self._words,
            )
        )

    def samples(self) -> Sequence[Sample]:
        """The chosen questions, in the order of the file.

        Raises:
            ConfigurationError: as `data`.
        """
        return self._samples

    def reference(self, sample: Sample, number: int) -> Part:
        """The reference answer."""
        return Text(sample.questions[number - 1].key["answer"])

    def needs_scorer(self) -> bool:
        return True

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        """The judge's points over 100. The detail has the points that the official code would read.

        It reads the judge's first reply. A multiple-choice answer is also right or wrong by itself (`right`,
        `official_right`): that stands in the detail even where the judge fails or there is none.

        Raises:
            ValueError: the output is no text.
            NoScorer: the run has no scorer.
            JudgeError: the judge failed, or none of its replies could be read.
        """
        output, key = outputs[-1], sample.questions[0].key
        if not isinstance(output, Text):
            raise ValueError(f"{sample.name} asks for text")
        kind: Kind = key["kind"]
        detail: dict[str, Any] = {
            "kind": kind,
            "capability": CAPABILITIES.get(kind),
            "question_sha256": _sha256_of(key["question"], key["answer"]),
        }
        if kind in MULTIPLE_CHOICE:
            detail |= accuracy(key["answer"], output.text, key["options"])
        sheet = Sheet(key["question"], key["answer"], output.text, key["description"])
        replies: list[str] = []

        def read(reply: str) -> int:
            replies.append(reply)
            return read_points(reply)

        message = self._words.judge_message(kind, sheet) if self._words else judge_message(kind, sheet)
        try:
            points = await ask_until_read(scope, (Text(message),), read, sampling=_SAMPLING, form=_FORM)
        except JudgeError as error:
            raise type(error)(str(error), detail=detail | _as_read(replies)) from error
        return Score(value=points / HIGHEST, detail=detail | {"points": points} | _as_read(replies))

    @cached_property
    def _words(self) -> OfficialWords | None:
        return None if self.official is None else OfficialWords.of(self.official)

    def _descriptions(self) -> Path | None:
        """The file of descriptions; None where the judge gets none."""
        if self.descriptions is None:
            return None
        folders = [folder for folder in (self.root, self.official) if folder is not None]
        files = [folder / self.descriptions for folder in folders]
        there = next((file for file in files if file.is_file()), None)
        if there is None:
            raise ConfigurationError(
                f"there is no file {' or '.join(map(str, files))}, which tells the judge what objects "
                "look like; it is in the official repository (git clone "
                "https://github.com/worldbench/drivebench), and benchmark.descriptions=null grades without it"
            )
        return there

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        chosen = [sample for sample in self.data.samples if sample.sample_class in self.kinds]
        passed_over = sum(sample.sample_class == "prediction_mcq" for sample in self.data.samples)
        if passed_over and "prediction_mcq" not in self.kinds:
            warnings.warn(
                f"{passed_over} yes/no questions of prediction (tag 0) are left out, as the official "
                "evaluation does; benchmark.kinds=[prediction_mcq] chooses them",
                stacklevel=2,
            )
        n = min(len(chosen), self.num_samples or len(chosen))
        return tuple(chosen[index * len(chosen) // n] for index in range(n))


def _sha256_of(question: str, answer: str) -> str:
    """Tells whether two runs were asked the same, 16 hexadecimal digits."""
    return hashlib.sha256(f"{question}\x1e{answer}".encode()).hexdigest()[:16]


def _as_read(replies: Sequence[str]) -> dict[str, Any]:
    """What the record keeps of the judge's replies; nothing where there is none."""
    if not replies:
        return {}
    return {"official_points": official_points(replies[0]), "num_replies": len(replies), "reply": replies[-1]}
