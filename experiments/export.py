"""Export a run in the layouts of the official IMUG-Bench: outputs, score files and summary.

    python experiments/export.py run=runs/STUDY/RUN benchmark.root=DIR out=DIR model=NAME

run             the folder of a run
benchmark.root  the folder of the data that it was made on
out             gets NAME/<domain>/<subdomain>/question_<id>/, and in NAME/ the folders score_img,
                score_mcq, dynamic_answer and summary if any turn is scored
model           what the model is called there

Failed turns are written as the official client writes them. Exit status: 0, or 2 when it cannot be done.
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
from imug_tts.records import RecordError, read_manifest, read_turns, sample_name

if TYPE_CHECKING:
    from imug_tts.benchmarks.imug.outputs import Outputs

__all__ = ["outputs_of_run", "turns_of_run", "write_official_scores"]


@component
class ExportSettings:
    """The knobs of this command."""

    run: Folder = knob("The folder of a run, e.g. run=runs/STUDY/RUN.")
    out: Folder = knob("Gets the folder of the model, e.g. out=official.")
    model: str = knob("What the model is called there, e.g. model=bagel.")


def main() -> int:
    return guarded(_main)


def _main() -> int:
    """Read the command line, write the files, and say where they are."""
    config = compose("export", __doc__ or "", sys.argv[1:], ExportSettings)
    if config is None:
        return 0
    settings = assemble.build_settings(ExportSettings, config, ("benchmark",))
    root = _root(config["benchmark"])
    folder = settings.out / plain_name(settings.model)
    turns, answers = _export(settings.run, root, folder)
    print(f"{answers} answers to {turns} turns that were tried are in {folder}")
    return 0


def _root(node: assemble.Node) -> Path:
    from imug_tts.benchmarks.imug import Imug

    benchmark = assemble.build_benchmark(node)
    if not isinstance(benchmark, Imug) or benchmark.root is None:
        raise ConfigurationError(
            "benchmark.root must be set: the folder of the official data that the run was made on, e.g. "
            "benchmark.root=imug"
        )
    return benchmark.root


def _export(run: Path, root: Path, folder: Path) -> tuple[int, int]:
    """Turns that were tried, and those that were answered."""
    from imug_tts.benchmarks.imug.jsonl import read_objects
    from imug_tts.benchmarks.imug.outputs import write_outputs
    from imug_tts.benchmarks.imug.reading import find_data

    turns = turns_of_run(run)
    outputs = outputs_of_run(run, turns)
    benchmark = (record for _, record in read_objects(find_data(root) / "benchmark.jsonl"))
    write_outputs(folder, benchmark, outputs)
    if any(turn["outcome"] == "scored" for turn in turns):
        write_official_scores(folder.parent, folder.name, turns)
    return len(turns), len(outputs.answers)


def turns_of_run(run: Path) -> list[Record]:
    """The records of a run. Raises ConfigurationError when it is none."""
    try:
        read_manifest(run)
        return [record for _, record in read_turns(run)]
    except RecordError as error:
        raise ConfigurationError(
            f"{run} cannot be read as the folder of a run ({error}); name one that experiments/run.py made"
        ) from error


def outputs_of_run(run: Path, turns: Sequence[Record]) -> Outputs:
    """What a run of these records answered, and why it did not.

    Raises:
        ConfigurationError: the folder is no run's.
    """
    from imug_tts.benchmarks.imug.outputs import Outputs
    from imug_tts.runs import Transcript

    answers = Transcript.of_run(run).answers
    tried = {(sample_name(turn), turn["turn"]): turn for turn in turns}
    failures = {key: turn["error"] or turn["outcome"] for key, turn in tried.items() if key not in answers}
    return Outputs(answers=answers, failures=failures)


def write_official_scores(folder: Path, model: str, turns: Sequence[Record]) -> Path:
    """Write score files and summary as the official scorers do; returns the folder of the summary."""
    from imug_tts.benchmarks.imug.scores import write_scores
    from imug_tts.benchmarks.imug.summary import official_summary

    write_scores(folder, model, turns)
    summary = folder / model / "summary"
    official_summary({model: turns}).write(summary)
    return summary


if __name__ == "__main__":
    sys.exit(main())
