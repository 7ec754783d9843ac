"""Runs one arm, or with -m a study of many. `--help` lists choices and knobs; `+dry_run=true` rehearses.

Exit status: 0 when no planned turn is missing, 1 when some failed or the output cannot be
written, 2 when it cannot work as configured, 130 when interrupted.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from experiments.command import Config, complain, guarded
from imug_tts import configuration
from imug_tts.contracts import ConfigurationError, Remote

if TYPE_CHECKING:
    from imug_tts.configuration import RunOptions
    from imug_tts.engine import Arm, Run
    from imug_tts.tracking import Tracker


class _Batch(NamedTuple):
    """Runs that are executed together."""

    runs: list[Run]
    journal: Path
    in_flight: int | None


def main() -> int:
    """Compose, build and check every run before the first starts; then run them in turn."""
    return guarded(_main)


def _main() -> int:
    configs, is_study = _compose()
    if not configs:  # --help, --cfg and their like
        return 0
    rehearsals = [config.pop("dry_run", False) for config in configs]
    batches = _prepare(configs, is_study)
    if any(rehearsals):
        return _rehearse([run for batch in batches for run in batch.runs])
    return _execute(batches, configuration.build_tracker(configs[0]["tracking"]))


def _compose() -> tuple[list[Config], bool]:
    """The configurations of all runs, and whether they are a study."""
    configs: list[Config] = []
    single: list[Any] = []

    @hydra.main(config_path="../conf", config_name="config", version_base="1.3")
    def collect(config: DictConfig) -> None:
        if HydraConfig.initialized():  # not by our sweeper
            single.append(HydraConfig.get())
        container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        assert isinstance(container, dict)
        configs.append({str(key): value for key, value in container.items()})

    # Hydra would print errors in its own words and exit; this way they come to main().
    os.environ["HYDRA_FULL_ERROR"] = "1"
    collect()
    if single and single[0].sweeper.params:
        choice = single[0].runtime.choices.experiment
        raise ConfigurationError(f"experiment={choice} is a study of many runs; add -m")
    return configs, not single


def _prepare(configs: Sequence[Config], is_study: bool) -> list[_Batch]:
    """Build and check all runs. Equal backbones and benchmarks are built once."""
    from imug_tts.engine import check

    shared: dict[str, Any] = {}
    arms = [configuration.build_arm(config, shared) for config in configs]
    for arm in arms:
        check(arm)
    batches: dict[tuple[Path, int | None], _Batch] = {}
    for config, arm, title in zip(configs, arms, _titles(configs, arms), strict=True):
        options = configuration.build_options(config)
        run, journal = _place(config, arm, title, options, is_study)
        batch = _Batch([], journal, options.in_flight)
        batches.setdefault((journal, options.in_flight), batch).runs.append(run)
    return list(batches.values())


def _place(config: Config, arm: Arm, title: str, options: RunOptions, is_study: bool) -> tuple[Run, Path]:
    """The run in its folder, and the folder of its journal."""
    from imug_tts.engine import Run
    from imug_tts.strategies import label

    identity = configuration.identity(config)
    name = re.sub(r"[^A-Za-z0-9._+-]+", "_", label(arm.strategy))[:120]
    study = options.output if is_study and options.output else Path("runs", options.study)
    alone = options.output if not is_study else None
    folder = alone or study / f"{name}-{configuration.digest(identity)[:8]}"
    run = Run(arm=arm, folder=folder, identity=identity, config=config, title=title)
    return run, (alone or study) / "journal"


def _execute(batches: Sequence[_Batch], tracker: Tracker) -> int:
    from imug_tts.engine import execute

    summaries = [
        summary
        for batch in batches
        for summary in execute(batch.runs, journal=batch.journal, tracker=tracker, in_flight=batch.in_flight)
    ]
    total, folder = len(summaries), summaries[0].folder
    print(f"{total} runs are in {folder.parent}" if total > 1 else f"the run is in {folder}")
    missing = sum(summary.missing for summary in summaries)
    if missing:
        return complain(f"{missing} turns are missing; start the same command again to try them again", 1)
    return 0


def _rehearse(runs: Sequence[Run]) -> int:
    """Say what the runs would ask of which models, and whether the models can be reached."""
    from imug_tts.engine import rehearse

    print("nothing is run; from the least to the most that the strategies may ask, before any journal")
    for run in runs:
        least, most = rehearse(run.arm)
        asked = [
            f"{role} {_range(least.calls[role], most.calls[role])}" for role in most.calls if most.calls[role]
        ]
        turns = sum(len(sample.questions) for sample in run.arm.benchmark.samples())
        images = _range(least.images, most.images)
        print(f"{run.title}: {turns:,} turns; calls: {', '.join(asked)}; images: {images}", end="")
        print(f"; cost: ${_range(least.dollars, most.dollars, '.2f')}" if most.dollars else "")
    models = {id(model): model for run in runs for model in run.arm.models.values()}
    away = [
        away for model in models.values() if isinstance(model, Remote) for away in model.unreachable().items()
    ]
    if any(isinstance(model, Remote) and not model.dollars_per_call for model in models.values()):
        print("calls to servers without dollars_per_call are not in any cost")
    for server, reason in away:
        complain(f"{server} cannot be used: {reason}", 1)
    return 1 if away else 0


def _range(least: float, most: float, form: str = "") -> str:
    return f"{least:,{form}}" if least == most else f"{least:,{form}} to {most:,{form}}"


def _titles(configs: Sequence[Config], arms: Sequence[Arm]) -> list[str]:
    """What each run is among the others: its strategy, and the knobs in which they differ."""
    from imug_tts.strategies import label

    knobs = [_knobs_beside_strategy(config) for config in configs]
    differing = [k for k in knobs[0] if any(other.get(k) != knobs[0][k] for other in knobs)]
    return [
        "  ".join([label(arm.strategy), *(f"{k}={_short(own.get(k))}" for k in differing)])
        for arm, own in zip(arms, knobs, strict=True)
    ]


def _knobs_beside_strategy(config: Config) -> dict[str, Any]:
    identity = configuration.identity(config)
    return dict(_leaves({key: value for key, value in identity.items() if key != "strategy"}))


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    sys.exit(main())
