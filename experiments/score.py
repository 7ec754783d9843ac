"""Score existing answers: those of a run, of the official client, or of any other source.

    python experiments/score.py outputs=runs/STUDY/RUN benchmark.root=DIR judge.base_url=URL judge.model=NAME
    python experiments/score.py outputs=DIR/MODEL benchmark.root=DIR judge.base_url=URL judge.model=NAME
    python experiments/score.py outputs=runs/STUDY/RUN benchmark.root=DIR judge=none      what needs no judge
    python experiments/score.py ... shards=4                    in four terminals or jobs: they share the work
    python experiments/score.py ... +dry_run=true               checks everything and prints the judge's calls

The folder of the scores has the format of a run: its records are those of the answering run plus the scores
of answers and candidates, and `python -m analysis` accepts it. official/ contains the official score files
and summary, and our summary, which also states what is missing. The judge's replies are stored in the journal
of the run's study, if it has one, else beside the scores: no call is made twice.

Exit status: 0 if every answer has its score, 1 if scores or answers are missing or the output cannot be
written, 2 if the configuration is invalid, 130 if interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.command import Config, compose, guarded, leave, take_dry_run
from experiments.export import write_official_scores
from experiments.outcome import report_scores
from imug_tts import assemble
from imug_tts.contracts import Benchmark, ConfigurationError
from imug_tts.files import plain_name
from imug_tts.knobs import Folder, component, knob
from imug_tts.records import MANIFEST, read_turns
from imug_tts.scoring import Scoring

if TYPE_CHECKING:
    from imug_tts.runs import Rescoring, Source


@component
class ScoreSettings(assemble.ShareSettings):
    """The knobs of `score.py`."""

    outputs: Folder = knob(
        "Folder of a run, or of a model in the official layout, e.g. outputs=runs/STUDY/RUN."
    )
    model: str | None = knob(
        "Name of the model in the official files; null uses the folder's name.", default=None
    )
    output: Folder | None = knob(
        "Folder of the scores; null for runs/scores/MODEL.", default=None, runtime=True
    )
    history_from: Folder | None = knob(
        "For a run with history=swap: the run whose outputs form its history; null looks for it in the same "
        "study.",
        default=None,
    )
    score_candidates: bool | None = knob(
        "Whether to score all candidates of a strategy, not only the answer; null: as in the run.",
        default=None,
    )
    scoring: Scoring = knob("Scoring rules that need no judge.", default_factory=Scoring)


def main() -> int:
    return guarded(_main)


def _main() -> int:
    config = compose("score", __doc__ or "", sys.argv[1:], ScoreSettings)
    return 0 if config is None else _score(config)


def _score(config: Config) -> int:
    from imug_tts.runs import execute

    dry_run = take_dry_run(config)
    settings = assemble.build_settings(ScoreSettings, config, ("benchmark", "judge", "tracking"))
    model = plain_name(settings.model or settings.outputs.resolve().name)
    trackers = assemble.build_trackers(config["tracking"])
    work = _work(config, settings, model)
    journal = _journal(settings.outputs, work.folder)
    if dry_run:
        from experiments.dry_run import print_scoring_plan

        return print_scoring_plan(work, journal)
    (summary,) = execute(
        [work], journal=journal, trackers=trackers, in_flight=settings.in_flight, share=settings.share
    )
    if not summary.elsewhere:  # otherwise the last process to finish writes them
        _write_official(work, model)
    replies = f"; the judge's replies are in {journal}" if work.scorer is not None else ""
    print(f"the scores are in {work.folder}{replies}")
    return report_scores(summary)


def _work(config: Config, settings: ScoreSettings, model: str) -> Rescoring:
    """The checked scoring work: answers, benchmark and scorer."""
    from imug_tts.runs import Rescoring

    folder = settings.output or Path("runs", "scores", model)
    if folder.resolve() == settings.outputs.resolve():
        raise ConfigurationError(f"output: {folder} holds the answers; choose another folder for the scores")
    if not settings.outputs.is_dir():
        raise ConfigurationError(f"outputs: there is no folder {settings.outputs}")
    benchmark = assemble.build_benchmark(config["benchmark"], settings.scoring)
    scorer = assemble.build_scorer(config["judge"], benchmark=benchmark, where="judge")
    source = _source(settings, benchmark, model)
    as_in_the_run = bool(source.manifest.arm_identity.get("score_candidates", True))
    work = Rescoring(
        folder=folder,
        config=config,
        title=f"scores of {model}",
        source=source,
        benchmark=benchmark,
        scorer=scorer,
        score_candidates=as_in_the_run if settings.score_candidates is None else settings.score_candidates,
    )
    work.check()
    return work


def _source(settings: ScoreSettings, benchmark: Benchmark, model: str) -> Source:
    """The answers of one of our runs, or of a folder in the official layout."""
    from imug_tts.benchmarks.imug.outputs import read_outputs
    from imug_tts.runs import Source

    if (settings.outputs / MANIFEST).exists():
        return Source.of_run(settings.outputs, settings.history_from)
    outputs = read_outputs(settings.outputs, benchmark.samples())
    return Source.of_answers(model, benchmark, outputs.answers, outputs.failures)


def _journal(outputs: Path, folder: Path) -> Path:
    """The journal that may already contain the judge's replies to these answers, else one beside the
    scores.
    """
    of_the_run = (outputs.resolve().parent / "journal", outputs / "journal")
    return next((journal for journal in of_the_run if journal.is_dir()), folder / "journal")


def _write_official(work: Rescoring, model: str) -> None:
    """Write the official score files, if the benchmark's scores have their format."""
    from imug_tts.benchmarks.imug.summary import summary_with_missing

    turns = [record for _, record in read_turns(work.folder)]
    try:
        summary = write_official_scores(work.folder / "official", model, turns)
    except ConfigurationError as error:
        print(f"there are no official score files: {error}")
        return
    summary_with_missing({model: turns}, work.samples).write(summary, "summary_with_missing")


if __name__ == "__main__":
    leave(main())
