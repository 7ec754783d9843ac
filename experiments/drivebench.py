"""Grade answers to DriveBench: answers that a model gives now, or answers recorded in a file.

    python experiments/drivebench.py benchmark.root=DIR backbone.folder=DIR judge.base_url=URL judge.model=M
    python experiments/drivebench.py ... backbone=openai_chat backbone.base_url=URL backbone.model=NAME
    python experiments/drivebench.py benchmark.root=DIR predictions=FILE judge.base_url=URL judge.model=M
    python experiments/drivebench.py ... benchmark.setting=Fog          other images
    python experiments/drivebench.py ... +dry_run=true                  checks, and counts the calls

The run's folder has the layout of experiments/run.py. The command prints the run's tables and, for a model in
this process, its memory and speed. `python -m analysis.drivebench RUN RUN ...` compares runs.

Exit status: 0 when every answer is graded, 1 when some are not or the output cannot be written, 2 when the
configuration cannot work, 130 when interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.command import Config, compose, guarded, leave, take_dry_run
from imug_tts import assemble
from imug_tts.contracts import ConfigurationError, Local, Request, Sampling
from imug_tts.dialogue import Message, Part, Text
from imug_tts.files import FOLDER_NAME, plain_name, write_atomically
from imug_tts.knobs import Folder, component, knob

if TYPE_CHECKING:
    from imug_tts.benchmarks.drivebench import DriveBench
    from imug_tts.contracts import Summary
    from imug_tts.runs import Rescoring, Run

_NO_JUDGE = {"name": "none"}
_PARTS = ("benchmark", "backbone", "strategy", "judge", "tracking")


@component
class DriveBenchSettings(assemble.ShareSettings):
    """The knobs of this command."""

    predictions: Folder | None = knob(
        "A file of records whose recorded answers (`pred`) are graded; null: the backbone answers.",
        default=None,
    )
    model: str | None = knob(
        "Name of the model in tables; null: the name of its run, or of the file of predictions.",
        default=None,
        runtime=True,
    )
    study: str = knob(
        "Name of the study; runs/STUDY holds its runs and their journal.",
        default="drivebench",
        runtime=True,
        pattern=FOLDER_NAME,
    )
    output: Folder | None = knob(
        "The folder of the run, instead of one below runs/STUDY.", default=None, runtime=True
    )
    seed: int = knob("Seed of the answers.", default=0)
    speed_questions: int = knob(
        "Number of questions on which memory and speed of a model in this process are measured; 0: none.",
        default=8,
        ge=0,
        runtime=True,
    )


def main() -> int:
    return guarded(_main)


def _main() -> int:
    config = compose("drivebench", __doc__ or "", sys.argv[1:], DriveBenchSettings)
    if config is None:
        return 0
    dry_run = take_dry_run(config)
    settings = assemble.build_settings(DriveBenchSettings, config, _PARTS)
    if (name := config["benchmark"]["name"]) != "drivebench":
        raise ConfigurationError(
            f"benchmark is {name}, but this command runs only drivebench; use run.py or score.py"
        )
    return (
        _answer(config, settings, dry_run)
        if settings.predictions is None
        else _grade(config, settings, dry_run)
    )


def _answer(config: Config, settings: DriveBenchSettings, dry_run: bool) -> int:
    """Let the backbone answer and the judge grade; return the exit status."""
    from experiments.dry_run import print_plans
    from experiments.outcome import report
    from experiments.run import prepare

    assemble.build_scorer(config["judge"], where="judge")  # its errors name the knobs of this command
    (batch,) = prepare([_as_run(config, settings)], is_study=False)
    (run,) = batch.runs
    if dry_run:
        return print_plans([run], batch.journal)
    summary = _execute(run, batch.journal, config, settings)
    status = report([summary])
    if not summary.elsewhere:
        _show(settings.model or run.folder.name, run.folder)
        _measure(run, settings.speed_questions)
    return status


def _as_run(config: Config, settings: DriveBenchSettings) -> Config:
    """Return the configuration in the form of experiments/run.py."""
    shared = ("study", "output", "seed", "in_flight", "shards", "shard")
    own = {name: config[name] for name in shared if name in config}
    parts = {name: config[name] for name in ("benchmark", "backbone", "strategy", "tracking")}
    roles = {"roles": {}, "judge": _NO_JUDGE, "scorer": config["judge"]}
    return {**own, **parts, **roles, "score_candidates": False}  # the tables show only answers


def _grade(config: Config, settings: DriveBenchSettings, dry_run: bool) -> int:
    """Let the judge grade recorded answers; return the exit status."""
    from experiments.dry_run import print_scoring_plan
    from experiments.outcome import report_scores

    work = _rescoring(config, settings)
    journal = (settings.output or work.folder.parent) / "journal"
    if dry_run:
        return print_scoring_plan(work, journal)
    summary = _execute(work, journal, config, settings)
    status = report_scores(summary)
    if not summary.elsewhere:
        _show(settings.model or work.folder.name, work.folder)
    return status


def _rescoring(config: Config, settings: DriveBenchSettings) -> Rescoring:
    """Return the grading of the recorded answers, after checking it."""
    from imug_tts.benchmarks.drivebench import DriveBench
    from imug_tts.records import digest
    from imug_tts.registry import describe
    from imug_tts.runs import Rescoring, Source

    assert settings.predictions is not None
    file = settings.predictions.resolve()
    own = {"questions": str(file), "show_images": False}
    benchmark = assemble.build_benchmark({**config["benchmark"], **own})
    assert isinstance(benchmark, DriveBench)
    model = plain_name(settings.model or file.stem)
    scorer = assemble.build_scorer(config["judge"], benchmark=benchmark, where="judge")
    judge = None if scorer is None else describe(scorer)
    name = f"{model}-{digest({'benchmark': benchmark.identity, 'judge': judge})[:8]}"
    work = Rescoring(
        folder=settings.output or Path("runs", settings.study, name),
        config=config,
        title=f"answers of {model}",
        source=Source.of_answers(model, benchmark, _answers(file, benchmark), {}),
        benchmark=benchmark,
        scorer=scorer,
    )
    work.check()
    return work


def _answers(file: Path, benchmark: DriveBench) -> Mapping[tuple[str, int], Part]:
    predictions = benchmark.data.predictions
    if not predictions:
        raise ConfigurationError(
            f"predictions: no record of {file} has a recorded answer (pred); leave out predictions to ask a "
            "backbone"
        )
    return {(name, 1): Text(pred) for name, pred in predictions.items()}


def _execute(work: Run | Rescoring, journal: Path, config: Config, settings: DriveBenchSettings) -> Summary:
    from imug_tts.runs import execute

    trackers = assemble.build_trackers(config["tracking"])
    (summary,) = execute(
        [work], journal=journal, trackers=trackers, in_flight=settings.in_flight, share=settings.share
    )
    print(f"the run is in {work.folder}; the judge's replies are in {journal}")
    return summary


def _show(name: str, folder: Path) -> None:
    from analysis.drivebench import read_group, show

    print()
    show([read_group(name, folder)])


def _measure(run: Run, num_questions: int) -> None:
    """Measure memory and speed of a model in this process; print them and write them to the run's
    speed.json.
    """
    from experiments.model_speed import measured

    model, samples = run.arm.backbone, run.arm.benchmark.samples()[:num_questions]
    if not isinstance(model, Local) or not samples:
        return
    sampling = Sampling(temperature=0.0)
    requests = [
        Request(
            history=(Message("user", sample.questions[0].parts),),
            modality="text",
            seeds=(run.arm.seed,),
            sampling=replace(
                sampling, max_tokens=getattr(run.arm.strategy, "max_tokens", sampling.max_tokens)
            ),
        )
        for sample in samples
    ]
    speed = measured(model, requests)
    write_atomically(run.folder / "speed.json", (json.dumps(speed._asdict(), indent=1) + "\n").encode())
    print(f"\n{speed}")


if __name__ == "__main__":
    leave(main())
