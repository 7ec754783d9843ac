"""The DriveBench benchmark: dialogues of one question, answered in text and graded by a judge on a rubric."""

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
"""Part of the identity; change it whenever our instructions or rubrics change."""
_SAMPLING: Final = Sampling(temperature=0.0, max_tokens=3000)
"""The sampling settings of the official judge."""
_FORM: Final = 'the whole scoring sheet, with one line "Total Score: N"'


@component
class DriveBench(Benchmark):
    """The questions of DriveBench (arXiv 2501.04003), or some of them.

    Files are below `root`, in the layout of the official instructions. A sample is one record: its class is
    the kind of the question, its domain the scene and its task the frame. The score is the judge's points
    divided by 100. The detail of the score also has the points that the official code would read.
    """

    root: Folder = knob("The folder that holds data/, below which image paths are looked up.", runtime=True)
    questions: str = knob(
        "The file of records, from the root: a JSON array or one record a line.",
        default="data/drivebench-test.json",
        runtime=True,
    )
    descriptions: str | None = knob(
        "The official file of visual descriptions, below `root` or `official`; null: the judge gets none.",
        default="data/visual_description.json",
        runtime=True,
    )
    setting: Setting = knob(
        "The images shown: the clean ones, black ones (NoImage), or those of a folder of data/corruption/.",
        default="clean",
    )
    show_images: bool = knob(
        "False to grade recorded answers without image files; a model would then see no image.", default=True
    )
    official: Folder | None = knob(
        "A clone of the official repository, to use its prompts and rubrics; null for ours.",
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
        """The setting with hashes of the prompts, records, descriptions and images in use.

        Raises:
            ConfigurationError: a file is missing or invalid, or an image cannot be read.
        """
        words = self._words.sha256[:16] if self._words else f"v{_VERSION}"
        return f"{self.name}:{self.setting}:{words}:{self.data.sha256[:16]}"

    @cached_property
    def data(self) -> Data:
        """All questions of the file, also those that `kinds` and `num_samples` leave out; read once.

        Raises:
            ConfigurationError: a file is missing or invalid.
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
        """Return the selected questions, in the order of the file.

        Raises:
            ConfigurationError: a file is missing or invalid.
        """
        return self._samples

    def reference(self, sample: Sample, number: int) -> Part:
        """Return the reference answer of the sample's question."""
        return Text(sample.questions[number - 1].key["answer"])

    def needs_scorer(self) -> bool:
        return True

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        """Return the judge's points divided by 100.

        The detail has `official_points`, the points that the official code would read in the judge's first
        reply. For multiple-choice questions it also says whether the answer is right (`right`, and
        `official_right` by the official rule); a failed score (NoScorer, JudgeError) has this detail too.

        Raises:
            ValueError: the output is not text.
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
        """Return the file of visual descriptions; None if the judge gets no descriptions."""
        if self.descriptions is None:
            return None
        folders = [folder for folder in (self.root, self.official) if folder is not None]
        files = [folder / self.descriptions for folder in folders]
        there = next((file for file in files if file.is_file()), None)
        if there is None:
            raise ConfigurationError(
                f"there is no file {' or '.join(map(str, files))}, which has the visual descriptions for the "
                "judge; it is in the official repository (git clone "
                "https://github.com/worldbench/drivebench). benchmark.descriptions=null grades without it"
            )
        return there

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        chosen = [sample for sample in self.data.samples if sample.sample_class in self.kinds]
        passed_over = sum(sample.sample_class == "prediction_mcq" for sample in self.data.samples)
        if passed_over and "prediction_mcq" not in self.kinds:
            warnings.warn(
                f"{passed_over} yes/no questions of prediction (tag 0) are left out, as in the official "
                "evaluation; benchmark.kinds=[prediction_mcq] selects them",
                stacklevel=2,
            )
        n = min(len(chosen), self.num_samples or len(chosen))
        return tuple(chosen[index * len(chosen) // n] for index in range(n))


def _sha256_of(question: str, answer: str) -> str:
    """Return a hash of question and reference answer, 16 hexadecimal digits, to compare runs."""
    return hashlib.sha256(f"{question}\x1e{answer}".encode()).hexdigest()[:16]


def _as_read(replies: Sequence[str]) -> dict[str, Any]:
    """Return the part of the detail that describes the judge's replies; empty if there is no reply."""
    if not replies:
        return {}
    return {"official_points": official_points(replies[0]), "num_replies": len(replies), "reply": replies[-1]}
