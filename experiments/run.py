"""Runs one arm, or with -m a study of many. `--help` lists choices and knobs.

Exit status: 0 when every planned turn is scored, 1 when some are not or the output cannot be
written, 2 when it cannot work as configured, 130 when interrupted.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.sweep import StudySweeper
from imug_tts import configuration
from imug_tts.contracts import ConfigurationError

if TYPE_CHECKING:
    from imug_tts.engine import Arm, Summary
    from imug_tts.tracking import Tracker

Config = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One run, built and ready to start."""

    arm: Arm
    label: str
    identity: Mapping[str, Any]
    config: Config
    folder: Path
    journal: Path
    in_flight: int | None


def main() -> int:
    """Compose, build and check every run before the first starts; then run them in turn."""
    warnings.showwarning = _show_warning
    try:
        configs, is_study = _compose()
        return _run_all(_prepare(configs, is_study)) if configs else 0
    except (HydraException, OmegaConfBaseException) as error:
        return _complain(_teach(error), 2)
    except ConfigurationError as error:
        return _complain(str(error), 2)
    except KeyboardInterrupt as interrupt:
        return _complain(f"{interrupt}\nstart the same command again to go on".strip(), 130)
    except RuntimeError as error:
        from imug_tts.engine import StorageError

        if isinstance(error, StorageError):
            return _complain(str(error), 1)
        raise


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
    Plugins.instance().register(StudySweeper)
    collect()
    if single and single[0].sweeper.params:
        choice = single[0].runtime.choices.experiment
        raise ConfigurationError(f"experiment={choice} is a study of many runs; add -m")
    return configs, not single


def _prepare(configs: Sequence[Config], is_study: bool) -> list[_Job]:
    """Build and check all runs. Equal backbones and benchmarks are built once."""
    from imug_tts.engine import check

    shared: dict[str, Any] = {}
    jobs = [_job(config, is_study, shared) for config in configs]
    for job in jobs:
        check(job.arm)
    return jobs


def _job(config: Config, is_study: bool, shared: dict[str, Any]) -> _Job:
    from imug_tts.strategies import label

    arm = configuration.build_arm(config, shared)
    options = configuration.build_options(config)
    identity = configuration.identity(config)
    name = label(arm.strategy)
    run = f"{re.sub(r'[^A-Za-z0-9._+-]+', '_', name)[:120]}-{configuration.digest(identity)[:8]}"
    study = options.output if is_study and options.output else Path("runs", options.study)
    folder = options.output if options.output and not is_study else study / run
    return _Job(
        arm=arm,
        label=name,
        identity=identity,
        config=config,
        folder=folder,
        journal=folder / "journal" if folder == options.output else study / "journal",
        in_flight=options.in_flight,
    )


def _run_all(jobs: list[_Job]) -> int:
    """Run in order; a backbone is let go of with the last run that needs it."""
    titles, total = _titles(jobs), len(jobs)
    tracker = configuration.build_tracker(jobs[0].config["tracking"])
    folder = jobs[0].folder.parent if total > 1 else jobs[0].folder
    missing = 0
    for number, title in enumerate(titles, 1):
        tracker.announce(title, number, total)
        summary = _run(jobs.pop(0), tracker)
        missing += summary.planned - summary.scored
    print(f"{total} runs are in {folder}" if total > 1 else f"the run is in {folder}")
    if missing:
        return _complain(f"{missing} turns are not scored; start the same command again to try them again", 1)
    return 0


def _run(job: _Job, tracker: Tracker) -> Summary:
    from imug_tts.engine import execute

    return execute(
        job.arm,
        folder=job.folder,
        journal=job.journal,
        identity=job.identity,
        config=job.config,
        tracker=tracker,
        in_flight=job.in_flight,
    )


def _titles(jobs: Sequence[_Job]) -> list[str]:
    """What each run is among the others: its strategy, and the knobs in which they differ."""
    knobs = [dict(_leaves({k: v for k, v in job.identity.items() if k != "strategy"})) for job in jobs]
    differing = [k for k in knobs[0] if any(other.get(k) != knobs[0][k] for other in knobs)]
    return [
        "  ".join([job.label, *(f"{k}={_short(own.get(k))}" for k in differing)])
        for job, own in zip(jobs, knobs, strict=True)
    ]


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _teach(error: Exception) -> str:
    """Hydra's complaint in one message, with the nearest right name."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"{group}: there is no {name!r}; {configuration.nearest(name, error.options)}"
    nested = re.match(r"Could not override '(\w+)@([\w.]+)'", str(error))
    if nested:
        group, place = nested.groups()
        return f"there is no {group} at {place} to replace; what is chosen above it has no such part"
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _teach_knob(cause)
    return "\n".join(line for line in str(error).splitlines() if line.strip())


def _teach_knob(error: OmegaConfBaseException) -> str:
    """What to write in place of an unknown knob, or why a value cannot be set."""
    parent, _, knob = str(error.full_key).rpartition(".")
    node = error.parent_node
    if not isinstance(node, DictConfig) or knob in node:
        return f"{error.full_key}: {error.msg}"
    try:
        configuration.refuse_secrets({knob: "given"}, f"{parent}." if parent else "")
    except ConfigurationError as secret:
        return str(secret)
    owner = " ".join(filter(None, [parent or "the configuration", str(node.get("name") or "")]))
    known = [str(key) for key in node if key not in ("hydra", "name")]
    return f"{owner} has no knob {knob!r}; {configuration.nearest(knob, known)}"


def _complain(message: str, status: int) -> int:
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}{message}\n")
    return status


def _show_warning(message: Warning | str, *_: Any) -> None:
    sys.stderr.write(f"warning: {message}\n")


if __name__ == "__main__":
    sys.exit(main())
