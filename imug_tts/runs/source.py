"""Existing answers to rescore, with the manifest that says how they were made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from imug_tts.contracts import Benchmark, ConfigurationError, Cost, Record
from imug_tts.dialogue import Image, Part, Response, Sample, Text
from imug_tts.records import (
    HEADING,
    Manifest,
    PlannedDialogue,
    RecordError,
    image_path,
    line_of,
    read_manifest,
    read_turns,
    record_of,
    sample_name,
)
from imug_tts.registry import selection
from imug_tts.runs.transcript import Transcript, no_run
from imug_tts.runs.turn_records import turn_record

__all__ = ["Source"]

Key = tuple[str, int]
"""Identifies a turn: the sample's name, and the turn's number."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The answers of a run, or of a model that was called outside this package."""

    manifest: Manifest
    """The manifest of the run, or one made up for outside answers."""
    lines: Mapping[str, Sequence[bytes]]
    """Records by the name of their dialogue, as lines of JSON to save memory."""
    image: Callable[[str], Image]
    """Returns the image for a SHA-256 that a record names."""
    transcript: Transcript | None = None
    """The outputs of another run that the history shows; None unless the history is swapped."""

    @classmethod
    def of_run(cls, folder: Path, history_from: Path | None = None) -> Source:
        """Return the answers of a run.

        Args:
            history_from: the folder of the run whose outputs a swapped history shows; default: the folder
                beside `folder` that the manifest names.

        Raises:
            ConfigurationError: `folder` holds no run, its records are damaged, or the shown run is missing.
        """
        lines: dict[str, list[bytes]] = {}
        try:
            manifest = read_manifest(folder)
            for _, record in read_turns(folder):
                own = {key: value for key, value in record.items() if key not in HEADING}
                lines.setdefault(sample_name(record), []).append(line_of(own))
        except RecordError as error:
            raise no_run(folder, error) from error
        return cls(
            manifest=manifest,
            lines=lines,
            image=lambda sha256: Image(sha256, image_path(folder, sha256)),
            transcript=_shown(manifest, history_from) if manifest.history == "swap" else None,
        )

    @classmethod
    def of_answers(
        cls, model: str, benchmark: Benchmark, answers: Mapping[Key, Part], failures: Mapping[Key, str]
    ) -> Source:
        """Return answers of a model that was called outside this package, on the model's own history.

        Args:
            model: the model's name, used as the strategy in records.
            failures: the reason for each turn without an answer.
        """
        samples = benchmark.samples()
        images = {part.sha256: part for part in answers.values() if isinstance(part, Image)}
        return cls(
            manifest=_foreign(model, benchmark, samples),
            lines={sample.name: _lines(model, benchmark, sample, answers, failures) for sample in samples},
            image=images.__getitem__,
        )

    def records(self, sample: Sample) -> list[Record]:
        """Return the records of a dialogue in turn order, without the fields that name their run."""
        return [record_of(line) for line in self.lines.get(sample.name, ())]

    def part(self, output: Mapping[str, str]) -> Part:
        """Return the output that a record stores as JSON.

        Raises:
            ConfigurationError: the image file is missing.
        """
        if "text" in output:
            return Text(output["text"])
        image = self.image(output["image"])
        if isinstance(image.source, Path) and not image.source.exists():
            raise ConfigurationError(
                f"{self.manifest.run} answered with the image {image.source}, which is missing; restore it"
            )
        return image

    @cached_property
    def planned(self) -> frozenset[str]:
        """The names of the planned dialogues."""
        return frozenset(dialogue.name for dialogue in self.manifest.planned)


def _shown(manifest: Manifest, history_from: Path | None) -> Transcript:
    """Return the outputs of another run that the swapped history of a run shows."""
    name = manifest.history_from.rpartition(":")[0]
    folder = manifest.folder.resolve().parent / name if history_from is None else history_from
    wanted = f"the history of {manifest.run} shows outputs of {name}, which are needed to judge its images"
    if not folder.is_dir():
        raise ConfigurationError(f"{wanted}, but {folder} does not exist; name its folder: history_from=DIR")
    transcript = Transcript.of_run(folder)
    if transcript.identity != manifest.history_from:
        raise ConfigurationError(
            f"{wanted}, but {folder} now holds other outputs ({transcript.identity}, not "
            f"{manifest.history_from}); name a folder with the original outputs: history_from=DIR"
        )
    return transcript


def _foreign(model: str, benchmark: Benchmark, samples: Sequence[Sample]) -> Manifest:
    return Manifest(
        folder=Path(),
        run=model,
        arm="",
        strategy=model,
        oracle=False,
        history="own",
        history_from="",
        seed=0,
        benchmark=benchmark.identity,
        backbone="recorded",  # the models are unknown; one common name lets an analysis compare them
        models={"generator": f"recorded:{model}"},
        arm_identity={"recorded": model},
        selection=selection(benchmark),
        planned=tuple(map(_planned, samples)),
    )


def _planned(sample: Sample) -> PlannedDialogue:
    modalities = tuple(question.modality for question in sample.questions)
    return PlannedDialogue(sample.sample_class, sample.domain, sample.task, sample.sample_id, modalities)


def _lines(
    model: str, benchmark: Benchmark, sample: Sample, answers: Mapping[Key, Part], failures: Mapping[Key, str]
) -> list[bytes]:
    lines = []
    for question in sample.questions:
        answer = answers.get((sample.name, question.number))
        failure = failures.get((sample.name, question.number), "the turn was not answered")
        record = turn_record(
            sample=sample,
            question=question,
            outcome="model_error" if answer is None else "unscored",
            error=failure if answer is None else None,
            error_detail={},
            response=None if answer is None else Response(strategy=model, output=answer),
            reference=benchmark.reference(sample, question.number),
            scores={},
            costs=dict.fromkeys(("generator", "judge", "scorer"), Cost()),
        )
        lines.append(line_of(record))
    return lines
