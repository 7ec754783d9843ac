"""Answer a benchmark's dialogues with one test-time-scaling strategy, and score the answers.

    python experiments/run.py strategy=best_of_n strategy.n=8       one run
    python experiments/run.py -m strategy=direct,cot seed=0,1       a study: every combination
    python experiments/run.py -m experiment=demo                    a study from conf/experiment/
    python experiments/run.py ... +dry_run=true                     checks everything and prints the plan
    python experiments/run.py -m ... hydra/launcher=submitit_slurm  a study as jobs of SLURM: slurm/README.md
    strategies nest: strategy=best_of_n strategy@strategy.inner=self_verify

The same command again resumes where it stopped.

Exit status: 0 if every planned turn has its final outcome, 1 if some failed or the output cannot be written,
2 if the configuration is invalid, 130 if interrupted.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from experiments.command import (
    Config,
    compose,
    guarded,
    leave,
    take_dry_run,
    wants_help,
)
from experiments.launchers import queue_of
from experiments.sweeps import compose_all
from imug_tts import assemble
from imug_tts.contracts import ConfigurationError

if TYPE_CHECKING:
    from imug_tts.runs import Arm, Run, Share

__all__ = ["Batch", "carry_out", "main", "prepare"]


class Batch(NamedTuple):
    """Runs that are executed together."""

    runs: list[Run]
    journal: Path
    in_flight: int | None
    share: Share


def main() -> int:
    """Compose, build and check every run before the first one begins, then execute them; returns the exit
    status.
    """
    return guarded(_main)


def _main() -> int:
    if wants_help(sys.argv[1:]):
        compose("config", __doc__ or "", sys.argv[1:], assemble.RunSettings)
        return 0
    from imug_tts.runs import check_one_study

    configs, launchers, is_study = compose_all("config", assemble.RunSettings)
    if not configs:  # --cfg and its like
        return 0
    dry_runs = [take_dry_run(config) for config in configs]
    queue = queue_of(launchers)
    if queue is not None and not is_study:
        raise ConfigurationError("hydra/launcher works for studies only; add -m, or remove it")
    batches = prepare(configs, is_study)
    for batch in batches:
        check_one_study(batch.runs, batch.journal.parent)
    if any(dry_runs):
        from experiments.dry_run import print_plans

        if queue is not None:
            from experiments.launching import plan_jobs

            jobs = sum(map(len, plan_jobs(batches, queue)))
            print(f"{jobs} jobs would be submitted")
        return max(print_plans(batch.runs, batch.journal) for batch in batches)
    if queue is not None:
        from experiments.launching import launch

        return launch(batches, queue)
    return carry_out(batches, configs[0])


def prepare(configs: Sequence[Config], is_study: bool) -> list[Batch]:
    """Build and check all runs. Equal backbones and benchmarks are built once, and equal runs are one."""
    from imug_tts.runs import check, titles

    shared = assemble.Shared()
    arms = [assemble.build_arm(config, shared) for config in configs]
    for arm in arms:
        check(arm)
    batches: dict[tuple[Path, int | None, Share], Batch] = {}
    folders: set[Path] = set()
    twice: list[str] = []
    for config, arm, title in zip(configs, arms, titles(arms), strict=True):
        settings = assemble.build_settings(assemble.RunSettings, config, assemble.RUN_PARTS)
        run, journal = _place(config, arm, title, settings, is_study)
        if run.folder in folders:
            twice.append(title)
            continue
        folders.add(run.folder)
        batch = Batch([], journal, settings.in_flight, settings.share)
        batches.setdefault(batch[1:], batch).runs.append(run)
    if twice:
        verb = "occurs" if len(twice) == 1 else "occur"
        warnings.warn(f"{', '.join(twice)} {verb} twice in the sweep and will be run once", stacklevel=1)
    return list(batches.values())


def _place(
    config: Config, arm: Arm, title: str, settings: assemble.RunSettings, is_study: bool
) -> tuple[Run, Path]:
    """The run in its folder, and the folder of its journal."""
    from imug_tts.runs import Run, folder_name

    study = settings.output if is_study and settings.output else Path("runs", settings.study)
    alone = settings.output if not is_study else None
    folder = alone or study / folder_name(arm)
    return Run(arm=arm, folder=folder, config=config, title=title), (alone or study) / "journal"


def carry_out(batches: Sequence[Batch], config: Config) -> int:
    """Execute all runs with the trackers of `config`, and print what is missing; returns the exit status."""
    from experiments.outcome import report
    from imug_tts.runs import execute

    trackers = assemble.build_trackers(config["tracking"])
    summaries = [
        summary
        for batch in batches
        for summary in execute(
            batch.runs,
            journal=batch.journal,
            trackers=trackers,
            in_flight=batch.in_flight,
            share=batch.share,
            on_probed=print,
        )
    ]
    total, folder = len(summaries), summaries[0].folder
    done = f"{total} runs are in {folder.parent}" if total > 1 else f"the run is in {folder}"
    print(f"{done}; tables and figures: python -m analysis {batches[0].journal.parent}")
    return report(summaries)


if __name__ == "__main__":
    leave(main())
