"""Score answers that were given elsewhere: by the official client, by a run, by anyone.

    python experiments/score.py outputs=DIR/MODEL benchmark.root=DIR judge.base_url=URL judge.model=NAME
    python experiments/score.py outputs=runs/STUDY/RUN benchmark.root=DIR judge=none

The folder of the scores holds turns.jsonl and summary.json as every run does, and in official/ the score
files and the summary of the official scorers, with ours beside it, which says what is missing. A judge's
replies are kept as they come: the same command again goes on where it stopped.

Exit status: 0 when every planned turn has its score, 1 when some have not or the output cannot be written,
2 when it cannot work as configured, 130 when interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.command import Config, complain, compose, guarded, leave
from experiments.export import outputs_of_run, turns_of_run, write_official_scores
from imug_tts import assemble
from imug_tts.contracts import ConfigurationError
from imug_tts.files import plain_name

if TYPE_CHECKING:
    from imug_tts.benchmarks.imug.outputs import Outputs
    from imug_tts.dialogue import Sample
    from imug_tts.runs import Run


def main() -> int:
    return guarded(_main)


def _main() -> int:
    config = compose("score", __doc__ or "", sys.argv[1:], assemble.ScoreSettings)
    return 0 if config is None else _score(config)


def _score(config: Config) -> int:
    from imug_tts.runs import execute

    settings = assemble.build_settings(assemble.ScoreSettings, config, ("benchmark", "judge", "tracking"))
    model = plain_name(settings.model or settings.outputs.resolve().name)
    folder = settings.output or Path("runs", "scores", model)
    run = _run(config, settings, model, folder)
    (summary,) = execute(
        [run],
        journal=folder / "journal",
        trackers=assemble.build_trackers(config["tracking"]),
        in_flight=settings.in_flight,
    )
    _write_official(folder, model, run.arm.benchmark.samples())
    print(f"the scores are in {folder}")
    left = summary.planned - summary.scored
    if not left:
        return 0
    waiting = f"{summary.unscored} wait for a judge, " if summary.unscored else ""
    return complain(f"{left} turns have no score: {waiting}{summary.missing} are missing", 1)


def _run(config: Config, settings: assemble.ScoreSettings, model: str, folder: Path) -> Run:
    from imug_tts.runs import Arm, Run, Transcript
    from imug_tts.runs.recorded import AbsentModel, Recorded

    benchmark = assemble.build_benchmark(config["benchmark"], settings.scoring)
    scorer = assemble.build_scorer(config["judge"])
    outputs = _outputs(settings.outputs, benchmark.samples())
    transcript = Transcript(run=model, benchmark=None, answers=outputs.answers)
    arm = Arm(
        backbone=AbsentModel(recorded=transcript.identity),
        strategy=Recorded(model=model, answers=outputs.answers, failures=outputs.failures),
        benchmark=benchmark,
        roles={} if scorer is None else {"scorer": scorer},
        history="swap",
        transcript=transcript,
    )
    return Run(arm=arm, folder=folder, config=config)


def _outputs(folder: Path, samples: Sequence[Sample]) -> Outputs:
    """The answers of a run of ours, or of a folder in the official layout."""
    from imug_tts.benchmarks.imug.outputs import read_outputs

    if not folder.is_dir():
        raise ConfigurationError(f"outputs: there is no folder {folder}")
    if (folder / "manifest.json").exists():
        return outputs_of_run(folder, turns_of_run(folder))
    return read_outputs(folder, samples)


def _write_official(folder: Path, model: str, samples: Sequence[Sample]) -> None:
    from imug_tts.benchmarks.imug.summary import summary_with_missing

    scored = [turn for turn in turns_of_run(folder) if turn["outcome"] == "scored"]
    summary = write_official_scores(folder / "official", model, scored)
    summary_with_missing({model: scored}, samples).write(summary, "summary_with_missing")


if __name__ == "__main__":
    leave(main())
