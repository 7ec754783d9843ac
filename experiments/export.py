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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imug_tts.configuration import nearest
from imug_tts.contracts import ConfigurationError
from imug_tts.files import StorageError, plain_name

if TYPE_CHECKING:
    from imug_tts.benchmarks.imug.outputs import Outputs

_KNOBS = ("run", "benchmark.root", "out", "model")

Record = Mapping[str, Any]


def main() -> int:
    """Read the command line, write the files, and say where they are."""
    if {"-h", "--help"} & {*sys.argv[1:]}:
        print(__doc__)
        return 0
    try:
        knobs = _knobs(sys.argv[1:])
        folder = Path(knobs["out"], plain_name(knobs["model"]))
        turns, answers = _export(Path(knobs["run"]), Path(knobs["benchmark.root"]), folder)
    except (ConfigurationError, StorageError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    print(f"{answers} answers to {turns} turns that were tried are in {folder}")
    return 0


def _knobs(arguments: Sequence[str]) -> dict[str, str]:
    given = {key: value for key, _, value in (argument.partition("=") for argument in arguments)}
    for key in given:
        if key not in _KNOBS:
            raise ConfigurationError(f"there is no knob {key!r}; {nearest(key, _KNOBS)}")
    for key in _KNOBS:
        if not given.get(key):
            raise ConfigurationError(f"{key} must be set, as {key}=...; see --help")
    return given


def _export(run: Path, root: Path, folder: Path) -> tuple[int, int]:
    """Turns that were tried, and those that were answered."""
    from imug_tts.benchmarks.imug.jsonl import read_objects
    from imug_tts.benchmarks.imug.outputs import write_outputs
    from imug_tts.benchmarks.imug.reading import find_data
    from imug_tts.benchmarks.imug.scores import write_scores
    from imug_tts.benchmarks.imug.summary import official_summary

    turns = _turns(run)
    outputs = _outputs(run, turns)
    benchmark = (record for _, record in read_objects(find_data(root) / "benchmark.jsonl"))
    write_outputs(folder, benchmark, outputs)
    if any(turn["outcome"] == "scored" for turn in turns):
        write_scores(folder.parent, folder.name, turns)
        official_summary({folder.name: turns}).write(folder / "summary")
    return len(turns), len(outputs.answers)


def _turns(run: Path) -> list[Record]:
    from imug_tts.engine.transcript import read_records

    try:
        return list(read_records(run / "turns.jsonl"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{run} cannot be read as the folder of a run ({error}); name one that experiments/run.py made"
        ) from error


def _outputs(run: Path, turns: Sequence[Record]) -> Outputs:
    from imug_tts.benchmarks.imug.outputs import Outputs
    from imug_tts.engine.transcript import Transcript

    answers = Transcript.of_run(run).answers
    tried = {(f"{turn['domain']}/{turn['task']}/{turn['sample_id']}", turn["turn"]): turn for turn in turns}
    failures = {key: turn["error"] or turn["outcome"] for key, turn in tried.items() if key not in answers}
    return Outputs(answers=answers, failures=failures)


if __name__ == "__main__":
    sys.exit(main())
