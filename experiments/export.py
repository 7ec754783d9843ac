"""Export a run in the layouts of the official IMUG-Bench: outputs, score files and summary.

    python experiments/export.py run=runs/STUDY/RUN benchmark.root=DIR out=DIR model=NAME

run             the folder of a run, or of the scores of one
benchmark.root  the folder of the data that the run answered
out             gets NAME/<domain>/<subdomain>/question_<id>/, and in NAME/ the folders score_img,
                score_mcq, dynamic_answer and summary if any turn is scored
model           the name of the model in the exported files

Failed turns are written as the official client writes them. Pictures are hard links to those of the run if
the disk supports it. Exit status: 0, or 2 if the export is not possible.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.command import compose, guarded
from imug_tts import assemble
from imug_tts.contracts import ConfigurationError, Record
from imug_tts.files import plain_name
from imug_tts.knobs import Folder, component, knob
from imug_tts.records import Manifest, RecordError, read_manifest, read_turns, sample_name

if TYPE_CHECKING:
    from imug_tts.benchmarks.imug import Imug
    from imug_tts.benchmarks.imug.outputs import Outputs

__all__ = ["write_official_scores"]


@component
class ExportSettings:
    """The knobs of `export.py`."""

    run: Folder = knob("Folder of a run, e.g. run=runs/STUDY/RUN.")
    out: Folder = knob("Folder into which the model's folder is written, e.g. out=official.")
    model: str = knob("Name of the model in the exported files, e.g. model=bagel.")


def main() -> int:
    return guarded(_main)


def _main() -> int:
    """Parse the command line, write the files, and print their folder; returns the exit status."""
    config = compose("export", __doc__ or "", sys.argv[1:], ExportSettings)
    if config is None:
        return 0
    settings = assemble.build_settings(ExportSettings, config, ("benchmark",))
    benchmark = _benchmark(config["benchmark"])
    folder = settings.out / plain_name(settings.model)
    turns, answers = _export(settings.run, benchmark, folder)
    print(f"{answers} answers to {turns} turns that were tried are in {folder}")
    return 0


def _benchmark(node: assemble.Node) -> Imug:
    from imug_tts.benchmarks.imug import Imug

    benchmark = assemble.build_benchmark(node)
    if not isinstance(benchmark, Imug):
        raise ConfigurationError(
            f"benchmark={node['name']} has no official files; write them, e.g. with python "
            "experiments/write_pocket_world.py --out DIR, and set: benchmark=imug benchmark.root=DIR"
        )
    if benchmark.root is None:
        raise ConfigurationError(
            "benchmark.root must be set: the folder of the official data that the run answered, e.g. "
            "benchmark.root=imug"
        )
    return benchmark


def _export(run: Path, benchmark: Imug, folder: Path) -> tuple[int, int]:
    """Write all files; returns the numbers of tried and of answered turns."""
    from imug_tts.benchmarks.imug.outputs import refuse_full, write_outputs
    from imug_tts.jsonl import read_objects

    refuse_full(folder)
    turns = _read(run, benchmark)
    outputs = _outputs(run, turns)
    data = (record for _, record in read_objects(benchmark.data.folder / "benchmark.jsonl"))
    write_outputs(folder, data, outputs)
    if any(turn["outcome"] == "scored" for turn in turns):
        write_official_scores(folder.parent, folder.name, turns)
    return len(turns), len(outputs.answers)


def _read(run: Path, benchmark: Imug) -> list[Record]:
    """The records of the run. Raises ConfigurationError if it answered another benchmark."""
    try:
        manifest = read_manifest(run)
        is_same = manifest.benchmark == benchmark.identity
        if not is_same:
            _check_dialogues(manifest, benchmark)
        turns = [record for _, record in read_turns(run)]
    except RecordError as error:
        raise ConfigurationError(
            f"{run} cannot be read as the folder of a run ({error}); name one that experiments/run.py made, "
            "e.g. run=runs/STUDY/RUN"
        ) from error
    if not is_same:
        _check_requests(manifest, benchmark, turns)
    return turns


def _check_dialogues(manifest: Manifest, benchmark: Imug) -> None:
    """Check that the data contain the run's dialogues; other data with equal requests (e.g. the exported
    pocket world) are allowed.
    """
    known = {
        sample.name: tuple(question.modality for question in sample.questions)
        for sample in benchmark.data.samples
    }
    for each in manifest.planned:
        if known.get(each.name) != each.modalities:
            raise _another(manifest, benchmark, f"which has no such dialogue as {each.name}")


def _check_requests(manifest: Manifest, benchmark: Imug, turns: Sequence[Record]) -> None:
    samples = {sample.name: sample for sample in benchmark.data.samples}
    for turn in turns:
        question = samples[sample_name(turn)].questions[turn["turn"] - 1]
        if turn["input"] != [part.to_json() for part in question.parts]:
            place = f"turn {question.number} of {sample_name(turn)}"
            raise _another(manifest, benchmark, f"in which {place} asks for something else")


def _another(manifest: Manifest, benchmark: Imug, how: str) -> ConfigurationError:
    return ConfigurationError(
        f"{manifest.run} answered the benchmark {manifest.benchmark}, and {benchmark.root} is "
        f"{benchmark.identity}, {how}; name the data that it answered: benchmark.root=DIR"
    )


def _outputs(run: Path, turns: Sequence[Record]) -> Outputs:
    """The answers of a run, and the reasons of its failures."""
    from imug_tts.benchmarks.imug.outputs import Outputs
    from imug_tts.runs import Transcript

    answers = Transcript.of_run(run).answers
    tried = {(sample_name(turn), turn["turn"]): turn for turn in turns}
    failures = {key: turn["error"] or turn["outcome"] for key, turn in tried.items() if key not in answers}
    return Outputs(answers=answers, failures=failures)


def write_official_scores(folder: Path, model: str, turns: Sequence[Record]) -> Path:
    """Write official score files and summary; returns the folder of the summary."""
    from imug_tts.benchmarks.imug.scores import write_scores
    from imug_tts.benchmarks.imug.summary import official_summary

    write_scores(folder, model, turns)
    summary = folder / model / "summary"
    official_summary({model: turns}).write(summary)
    return summary


if __name__ == "__main__":
    sys.exit(main())
