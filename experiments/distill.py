"""Distil larger vision-language models into a small one of their family, and measure its held-out loss.

    python experiments/distill.py student=DIR teacher=DIR data=triad.jsonl                      Drive-KD
    python experiments/distill.py student=DIR teacher=DIR data=triad.jsonl method=kl            another method
    python experiments/distill.py -m experiment=drive_kd_ablation student=DIR teacher=DIR data=triad.jsonl
    accelerate launch --num_processes 8 experiments/distill.py ...                              several GPUs
    python experiments/distill.py ... +dry_run=true          checks everything that needs no weights

The student is written to runs/STUDY/NAME/student, a folder that transformers' from_pretrained loads. Beside
it, metrics.json has its held-out losses and training.jsonl one line per step. The methods are the files of
conf/method; their knobs can be overridden, e.g. method.projection=none. The same command again continues
where it stopped.

Exit status: 0 when every student is trained, 1 when a training failed or the output cannot be written, 2 when
the configuration cannot work, 130 when interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.command import Config, complain, compose, guarded, leave, take_dry_run, wants_help
from experiments.launchers import queue_of
from experiments.sweeps import compose_all
from imug_tts import assemble
from imug_tts.contracts import ConfigurationError, PlannedRun
from imug_tts.files import write_atomically
from imug_tts.registry import describe

if TYPE_CHECKING:
    from imug_tts.training.session import Plan

__all__ = ["main"]

_PLACES = ("student", "teacher", "teachers", "data", "held_out", "held_out_share")
"""Knobs that are not part of the identity, because the digests of models and records are."""


def main() -> int:
    return guarded(_main)


def _main() -> int:
    from imug_tts.training.settings import DistillSettings

    if wants_help(sys.argv[1:]):
        compose("distill", __doc__ or "", sys.argv[1:], DistillSettings)
        return 0
    configs, launchers, is_study = compose_all("distill", DistillSettings)
    if not configs:  # --cfg and its like
        return 0
    if queue_of(launchers) is not None:
        raise ConfigurationError(
            "distill.py trains in its own process; start it inside a job, without a launcher"
        )
    from imug_tts.training.trainer import TrainingFailed

    dry_runs = [take_dry_run(config) for config in configs]
    works = _works(configs, is_study)
    if any(dry_runs):
        return _say_plans(works)
    try:
        return _carry_out(works, configs[0])
    except TrainingFailed as error:
        return complain(str(error), 1)


class _Work(NamedTuple):
    """One distillation and its folder."""

    plan: Plan
    folder: Path
    identity: str
    arm: str
    config: Config

    @property
    def title(self) -> str:
        settings = self.plan.settings
        return f"{settings.method.title}  seed={settings.seed}"


def _works(configs: Sequence[Config], is_study: bool) -> list[_Work]:
    """Return all distillations, checked; equal ones once."""
    from imug_tts.records import digest
    from imug_tts.training.session import Planner
    from imug_tts.training.settings import DistillSettings

    planner = Planner()
    works: dict[Path, _Work] = {}
    for config in configs:
        settings = assemble.build_settings(DistillSettings, config, ("tracking",))
        plan = planner.plan(settings)
        told = {key: value for key, value in describe(settings).items() if key not in _PLACES}
        identity = digest({"settings": told, "inputs": plan.inputs})
        arm = digest({"settings": {k: v for k, v in told.items() if k != "seed"}, "inputs": plan.inputs})
        study = settings.output if is_study and settings.output else Path("runs", settings.study)
        alone = settings.output if not is_study else None
        folder = alone or study / f"{settings.method.title}-seed{settings.seed}-{identity[:8]}"
        works[folder] = _Work(plan, folder, identity, arm, config)
    return list(works.values())


def _say_plans(works: Sequence[_Work]) -> int:
    for work in works:
        teachers = ", ".join(str(one) for one in dict.fromkeys(work.plan.teachers.values())) or "none"
        print(
            f"{work.folder}: {len(work.plan.records)} records to train on, "
            f"{len(work.plan.held_out)} held out, "
            f"teachers: {teachers}"
        )
    return 0


def _carry_out(works: Sequence[_Work], config: Config) -> int:
    """Train every student, then print a table of their held-out losses; return the exit status."""
    import yaml
    from accelerate import Accelerator  # type: ignore[import-untyped]

    from experiments.distill_table import table
    from imug_tts.runs.trackers import Trackers
    from imug_tts.training.session import distill

    accelerator = Accelerator()
    is_main = accelerator.is_main_process
    trackers = Trackers(assemble.build_trackers(config["tracking"]) if is_main else ())
    runs = {work.folder: _planned(work) for work in works}
    trackers.start_training(list(runs.values()))
    found: list[Any] = []
    try:
        for work in works:
            if is_main:
                write_atomically(work.folder / "config.yaml", yaml.safe_dump(work.config).encode())
            run = runs[work.folder]
            metrics = distill(
                work.plan, work.folder, work.identity, work.arm, accelerator, partial(trackers.step, run)
            )
            trackers.finish_training(run, metrics)
            found.append(metrics)
    finally:
        trackers.close()
    if is_main:
        print(table(found))
        where = works[0].folder if len(works) == 1 else works[0].folder.parent
        print(f"the student is in {where / 'student'}" if len(works) == 1 else f"the students are in {where}")
    return 0


def _planned(work: _Work) -> PlannedRun:
    return PlannedRun(
        name=work.folder.name,
        title=work.title,
        folder=work.folder,
        study=work.folder.parent.name,
        planned=0,
        config=work.config,
        identity={"identity": work.identity, **work.plan.inputs},
    )


if __name__ == "__main__":
    leave(main())
