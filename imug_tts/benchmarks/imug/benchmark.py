"""IMUG-Bench from its official files: samples, their references, and their scorers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Literal, TypeVar, get_args

from imug_tts.benchmarks.imug.domains import UNASSIGNED
from imug_tts.benchmarks.imug.letters import RightLetters, output_image
from imug_tts.benchmarks.imug.reading import Data, find_data, read_data
from imug_tts.benchmarks.imug.snapshot import download
from imug_tts.contracts import Benchmark, ConfigurationError, JudgeError, Scope, Score
from imug_tts.dialogue import Image, Part, Question, Sample, Text
from imug_tts.knobs import Folder, Several, component, knob
from imug_tts.scoring import Scoring, mcq
from imug_tts.scoring.dynamic import Unresolved
from imug_tts.scoring.image import score_image

__all__ = ["Imug", "TaskClass"]

TaskClass = Literal["static_spatial", "temporal_causal", "hybrid", "unassigned"]
TASK_CLASSES: Final[tuple[TaskClass, ...]] = get_args(TaskClass)

T = TypeVar("T")


@component
class Imug(Benchmark):
    """The benchmark in a folder of official files (arXiv 2606.09169), or a selection of its samples.

    `root` is the folder that contains data/, or data/ itself. Without it, `revision` of the data set `repo`
    comes from the Hugging Face hub or its local cache. Empty `domains`, `tasks` or `turns` select all;
    `turns` are lengths of dialogues. `num_samples` takes that many of the selected samples, evenly spaced in
    file order; a selection of 100 is a subset of one of 200.
    """

    root: Folder | None = knob(
        "Folder that contains data/, or data/ itself; null uses the Hugging Face hub or its cache.",
        default=None,
        runtime=True,
    )
    repo: str = knob("Name of the data set on the Hugging Face hub.", default="ccccEsion/IMUG-Bench")
    revision: str = knob("Revision of that data set.", default="main")
    classes: Several[TaskClass] = knob("Classes of samples to select.", default=TASK_CLASSES, selects=True)
    domains: Several[str] = knob(
        "Domains to select, e.g. [Botany,Weather]; empty for all.", default=(), selects=True
    )
    tasks: Several[str] = knob(
        "Subdomains to select, e.g. [natural_growth]; empty for all.", default=(), selects=True
    )
    turns: Several[int] = knob(
        "Dialogue lengths in turns to select, e.g. [5,6]; empty for all.", default=(), selects=True
    )
    num_samples: int | None = knob(
        "At most this many of the selected samples, evenly spaced; null for all.",
        default=None,
        ge=1,
        selects=True,
    )
    scoring: Scoring = knob("Scoring rules; null uses those of the run.", default_factory=Scoring)

    @property
    def name(self) -> str:
        return "imug"

    @cached_property
    def identity(self) -> str:
        """Hash of the JSONL files and of the images that they name, over all samples.

        Every selection of the data has the same identity.

        Raises:
            ConfigurationError: as `data`; or an image cannot be read.
        """
        files = (self.data.sha256, self.data.images_sha256)
        return f"{self.name}:{'-'.join(sha256[:16] for sha256 in files if sha256)}"

    @cached_property
    def data(self) -> Data:
        """The whole benchmark without selection; read and checked once.

        Raises:
            ConfigurationError: the data are missing or invalid.
        """
        data = read_data(
            find_data(self.root if self.root is not None else download(self.repo, self.revision))
        )
        unknown = {sample.domain for sample in data.samples if sample.sample_class == UNASSIGNED}
        if unknown:
            warnings.warn(
                f"{data.folder}: domains outside of IMUG-Bench get the class {UNASSIGNED}: "
                f"{', '.join(sorted(unknown))}",
                stacklevel=2,
            )
        return data

    def samples(self) -> Sequence[Sample]:
        """The selected samples in file order.

        Raises:
            ConfigurationError: as `data`; or a selected domain or task does not exist.
        """
        return self._samples

    def reference(self, sample: Sample, number: int) -> Part | None:
        """The right letters of a static question, else None: the release has no gold images and no other
        answers.
        """
        answer = sample.questions[number - 1].key.get("answer")
        return None if answer is None or mcq.DYNAMIC in answer else Text(answer)

    def needs_scorer(self) -> bool:
        """Whether any turn of the selected samples is graded by a judge."""
        return any(_needs_judge(question) for sample in self._samples for question in sample.questions)

    async def score(self, sample: Sample, outputs: Sequence[Part | None], scope: Scope) -> Score:
        """The score of the last of `outputs`, the answers to turns 1..len(outputs), by the official rules.

        A question is scored by its letters (for a dynamic one, a judge determines the right letters), a
        drawing of cubes by rule, and any other image by a judge on the turn's evaluation points.

        Raises:
            ValueError: the last output does not answer its turn.
            NoScorer: a judge is needed, and the run has none.
            JudgeError: the judge failed or named no letters, or an earlier turn that it must see lacks its
                image or its right letters.
        """
        if not 1 <= len(outputs) <= len(sample.questions):
            raise ValueError(f"{sample.name} has {len(sample.questions)} turns, not {len(outputs)}")
        question, output = sample.questions[len(outputs) - 1], outputs[-1]
        if isinstance(output, Image) and question.modality == "image":
            return await self._score_image(sample, question, output, outputs, scope)
        if isinstance(output, Text) and question.modality == "text":
            return await self._score_text(sample, question, output, outputs, scope)
        raise ValueError(f"turn {question.number} of {sample.name} asks for {question.modality}")

    async def _score_image(
        self, sample: Sample, question: Question, target: Image, outputs: Sequence[Part | None], scope: Scope
    ) -> Score:
        points = question.key["evaluation_points"]
        if "grid" in question.key:
            from imug_tts.scoring.grid import score_grid

            return score_grid(target, question.key["grid"], len(points), self.scoring.grid)
        shown = [image for ref in question.key["references"] for image in _referenced(sample, outputs, ref)]
        texts = [part.text for part in question.parts if isinstance(part, Text)]
        # The official judge gets the first text of a turn; the data have one text per turn.
        return await score_image(
            scope, references=shown, target=target, instruction="".join(texts[:1]), points=points
        )

    async def _score_text(
        self, sample: Sample, question: Question, response: Text, outputs: Sequence[Part | None], scope: Scope
    ) -> Score:
        expected: str = question.key["answer"]
        if mcq.DYNAMIC not in expected:
            return self._score_letters(response.text, expected, {"dynamic": False})
        letters = RightLetters(sample, outputs, scope)
        try:
            found = await letters.of_this_turn()
        except Unresolved as error:
            raise JudgeError(
                str(error), detail={"dynamic": True, **self._official_letters(error.official, None)}
            ) from error
        expected = "".join(sorted(found.letters))
        detail: dict[str, Any] = {"dynamic": True, "reply": found.reply}
        if letters.earlier:
            detail["earlier"] = {str(turn): right for turn, right in letters.earlier.items()}
        detail |= self._official_letters(found.official, expected)
        return self._score_letters(response.text, expected, detail)

    def _score_letters(self, response: str, expected: str, detail: Mapping[str, Any]) -> Score:
        by_rule: dict[str, float] = {name: rule(response, expected) for name, rule in mcq.RULES.items()}
        return Score(value=by_rule[self.scoring.mcq], detail={**by_rule, "expected": expected, **detail})

    def _official_letters(self, official: str | None, expected: str | None) -> dict[str, str]:
        """The letters for the official score files, if they differ from those of our record."""
        if self.scoring.mcq != "official" or official is None or official == expected:
            return {}
        return {"official_letters": official}

    @cached_property
    def _samples(self) -> tuple[Sample, ...]:
        everything = self.data.samples
        _require_known("domain", self.domains, {sample.domain for sample in everything})
        _require_known("task", self.tasks, {sample.task for sample in everything})
        chosen = [
            sample
            for sample in everything
            if sample.sample_class in self.classes
            and _is_chosen(sample.domain, self.domains)
            and _is_chosen(sample.task, self.tasks)
            and _is_chosen(len(sample.questions), self.turns)
        ]
        n = min(len(chosen), self.num_samples or len(chosen))
        return tuple(chosen[index * len(chosen) // n] for index in range(n))


def _needs_judge(question: Question) -> bool:
    if question.modality == "image":
        return "grid" not in question.key
    return mcq.DYNAMIC in question.key["answer"]


def _is_chosen(value: T, choice: Sequence[T]) -> bool:
    return not choice or value in choice


def _referenced(
    sample: Sample, outputs: Sequence[Part | None], ref: dict[str, Any]
) -> list[tuple[str, Image]]:
    """The images that a reference names, each with its label."""
    number = ref["ref_turn"]
    if ref["ref_type"] == "output":
        image = output_image(sample, outputs, number, judged=len(outputs))
        return [(f"The model's image of turn {number}", image)]
    parts = sample.questions[number - 1].parts
    return [(f"The user's image of turn {number}", part) for part in parts if isinstance(part, Image)]


def _require_known(what: str, values: Sequence[str], known: Iterable[str]) -> None:
    for value in values:
        if value not in known:
            raise ConfigurationError(f"no {what} {value!r}; choose from {', '.join(sorted(known))}")
