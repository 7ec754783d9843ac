"""Choose the image temperature of each strategy on validation dialogues.

    python experiments/choose_temperatures.py                    runs the grid and prints the best
    python experiments/choose_temperatures.py into=conf          also writes the study with these temperatures
    python experiments/choose_temperatures.py arms=[direct,cot] temperatures=[0,0.5,1]
    python experiments/choose_temperatures.py ... +dry_run=true  checks everything and prints the plan
    python experiments/run.py -m experiment=study_tuned          the study on test dialogues

A strategy that draws several candidates gets part of its gain by selecting among warm samples what one cooler
sample would give at once. With every strategy at its own best temperature, the remaining gain is due to
scaling. The grid is a study in runs/temperatures: the same command again resumes it.

Exit status: 0 if every strategy has its temperature, 1 if turns are missing or the output cannot be written,
2 if the configuration is invalid, 130 if interrupted.
"""

from __future__ import annotations

import copy
import functools
import operator
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from experiments.command import Config, compose, guarded, leave, take_dry_run
from experiments.run import carry_out, prepare
from imug_tts import assemble
from imug_tts.contracts import ConfigurationError
from imug_tts.files import FOLDER_NAME
from imug_tts.knobs import Folder, Several, component, knob

if TYPE_CHECKING:
    from imug_tts.runs import Run

_KNOB: Final = "image_temperature"
_OWN: Final = ("arms", "temperatures", "into")


@component
class ChoiceSettings(assemble.RunSettings):
    """The knobs of `choose_temperatures.py`."""

    study: str = knob(
        "Name of the study; runs/STUDY holds its runs and their journal.",
        default="temperatures",
        runtime=True,
        pattern=FOLDER_NAME,
    )
    arms: Several[str] = knob(
        "Strategies, each a choice of strategy=.",
        default=("direct", "cot", "self_verify", "best_of_n", "self_verify_cot"),
        min_length=1,
        runtime=True,
    )
    temperatures: Several[float] = knob(
        "The image temperatures to try.", default=(0.0, 0.3, 0.5, 0.7, 1.0, 1.3), min_length=2, runtime=True
    )
    into: Folder | None = knob(
        "Folder of configurations (conf) into which the chosen strategies and their study are written; null "
        "writes none.",
        default=None,
        runtime=True,
    )


def main() -> int:
    return guarded(lambda: choose(sys.argv[1:]))


def choose(arguments: Sequence[str]) -> int:
    """Run the grid, then print and write the best temperatures; returns the exit status."""
    given = ["benchmark.split=validation", *arguments]
    config = compose("choose_temperatures", __doc__ or "", given, ChoiceSettings)
    if config is None:
        return 0
    is_dry = take_dry_run(config)
    settings = assemble.build_settings(ChoiceSettings, config, assemble.RUN_PARTS)
    _refuse_the_test_split(config)
    grid = [variant for arm in dict.fromkeys(settings.arms) for variant in _variants(arm, given, settings)]
    batches = prepare([variant.config for variant in grid], is_study=True)
    runs = [run for batch in batches for run in batch.runs]
    if len(runs) < len(grid):
        raise ConfigurationError("arms: two arms are the same strategy; name each once")
    if is_dry:
        from experiments.dry_run import print_plans

        return print_plans(runs)
    return carry_out(batches, config) or _say(grid, runs, settings, arguments)


class _Variant(NamedTuple):
    """A strategy at one temperature."""

    arm: str
    temperature: float
    places: tuple[str, ...]
    """Paths of the temperature in the strategy, e.g. "inner.image_temperature"."""
    config: Config


def _refuse_the_test_split(config: Config) -> None:
    if config["benchmark"]["split"] == "test":
        raise ConfigurationError(
            "benchmark.split is 'test', but a temperature chosen on test dialogues biases every score on "
            "them upwards; set benchmark.split=validation"
        )


def _variants(arm: str, given: Sequence[str], settings: ChoiceSettings) -> list[_Variant]:
    """The arm at each temperature at which it works: an arm that selects among samples cannot be greedy.

    Raises:
        ConfigurationError: the arm works at fewer than two temperatures.
    """
    from imug_tts.runs import check

    config = _composed(arm, given)
    places = tuple(_places(config["strategy"]))
    if not places:
        raise ConfigurationError(f"arms: {arm} has no {_KNOB}, so there is nothing to choose")
    works: list[_Variant] = []
    refused: list[ConfigurationError] = []
    for temperature in sorted(set(settings.temperatures)):
        variant = _Variant(arm, temperature, places, _at(config, places, temperature))
        try:
            check(assemble.build_arm(variant.config))
        except ConfigurationError as error:
            refused.append(error)
            print(f"{arm} is omitted at {_KNOB} {temperature:g}: {error}")
        else:
            works.append(variant)
    if len(works) < 2:
        raise refused[0]
    return works


def _composed(arm: str, given: Sequence[str]) -> Config:
    """The configuration of a run of the arm."""
    config = compose("choose_temperatures", "", [*given, f"strategy={arm}"], ChoiceSettings)
    assert config is not None  # the arguments contain no --help
    take_dry_run(config)
    return {key: value for key, value in config.items() if key not in _OWN}


def _places(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The paths of image temperatures in the nodes of a strategy."""
    for key, value in node.items():
        if key == _KNOB:
            yield f"{prefix}{key}"
        elif isinstance(value, Mapping):
            yield from _places(value, f"{prefix}{key}.")


def _at(config: Config, places: Sequence[str], temperature: float) -> Config:
    changed = copy.deepcopy(config)
    for place in places:
        *path, last = place.split(".")
        functools.reduce(operator.getitem, path, changed["strategy"])[last] = temperature
    return changed


def _say(
    grid: Sequence[_Variant], runs: Sequence[Run], settings: ChoiceSettings, arguments: Sequence[str]
) -> int:
    """Print the choice of each arm, and write the study; returns the exit status."""
    from experiments.tuned import Tuned, best, write_study

    folders = [run.folder for run in runs]
    tuned: list[Tuned] = []
    for arm in dict.fromkeys(variant.arm for variant in grid):
        places = [place for place, variant in enumerate(grid) if variant.arm == arm]
        found = best({grid[place].temperature: folders[place] for place in places})
        print(f"\n{arm}\n{found}")
        tuned.append(Tuned(arm, grid[places[0]].places, found.temperature))
    print(
        "\nThe best temperature was chosen by its score on these dialogues, so that score is biased upwards; "
        "a study on test dialogues gives an unbiased one."
    )
    if settings.into is not None:
        command = shlex.join(["python", "experiments/choose_temperatures.py", *arguments])
        for path in write_study(settings.into, tuned, command):
            print(f"written: {path}")
    return 0


if __name__ == "__main__":
    leave(main())
