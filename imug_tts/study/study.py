"""A study from Python, for scripts and notebooks: its arms, records and analysis.

>>> from imug_tts import Study
>>> study = Study("runs/notebook", benchmark={"name": "pocket_world", "num_samples": 30})   # doctest: +SKIP
>>> study.add("direct")            # doctest: +SKIP
>>> study.add("cot")               # doctest: +SKIP
>>> study.run()                    # doctest: +SKIP
>>> study.analyze()                # doctest: +SKIP
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imug_tts import assemble
from imug_tts.composition import label
from imug_tts.contracts import (
    Backbone,
    Benchmark,
    ConfigurationError,
    Judge,
    ModelDown,
    StorageError,
    Strategy,
    Summary,
)
from imug_tts.knobs import knobs_of
from imug_tts.nodes import node_of
from imug_tts.records import MANIFEST, digest
from imug_tts.registry import component_class, describe, names, without_code
from imug_tts.runs import Arm, Run, check, check_one_study, execute, folder_name, said_of, titles
from imug_tts.study.checks import check_own_class, models_of_two_versions

if TYPE_CHECKING:
    import pandas as pd

    from analysis.records import Study as StoredStudy
    from analysis.shown import Analysis

__all__ = ["ArmsFailed", "Executed", "Study"]

Said = str | Mapping[str, Any]
"""A component: its name on the command line, or a mapping of its name and knobs."""

_AGAIN: Final = "fix the causes named above, then call run() again: it retries these turns"
_OF_THE_COMMAND: Final = {
    "study": "the folder of a study is its first argument: Study('runs/NAME')",
    "output": "the folder of a study is its first argument: Study('runs/NAME')",
    "tracking": "give it to run(): study.run(tracking=['bar', 'wandb'])",
    "strategy": "give it to add(): study.add('cot')",
}
"""Keys of a configuration that are not settings of `Study` in Python, with where they are given instead."""


class ArmsFailed(RuntimeError):
    """Some arms of a study failed; all other arms were run. The cause is the first failure."""

    def __init__(self, failures: Mapping[str, Exception], num_arms: int) -> None:
        self.failures = failures
        """The error of each failed arm, by the arm's title."""
        said = "".join(f"\n  {title}: {type(each).__name__}: {each}" for title, each in failures.items())
        super().__init__(
            f"{len(failures)} of {num_arms} arms failed; the others were run:{said}\n"
            "fix these errors, then call run() again: no finished call is made again"
        )


@dataclass(frozen=True, repr=False)
class Executed:
    """The state of a study's runs. A notebook displays it as a table."""

    summaries: Mapping[str, Summary]
    """The summary of each arm, by its title."""

    @property
    def missing(self) -> int:
        """Planned turns without a final outcome, which the next run() tries again."""
        return sum(summary.missing for summary in self.summaries.values())

    def _repr_html_(self) -> str:
        from analysis.layout import to_html

        return to_html(self._table())

    def __repr__(self) -> str:
        from analysis.layout import to_text

        return to_text(self._table())

    def _table(self) -> Any:
        from analysis.layout import Table

        header = ("arm", "turns scored", "image score", "text score", "calls made now")
        rows = tuple((title, *_standing(summary)) for title, summary in self.summaries.items())
        return Table(name="runs", title="", header=header, rows=rows)


class Study:
    """The arms of a study in one folder. The command line can continue and analyse the same folder.

    Paths and identities are those of `python experiments/run.py -m ... output=FOLDER`. So an arm that the
    command has completed is complete here, and the reverse. All arms share one journal of model calls.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        backbone: Said | Backbone = "pocket",
        benchmark: Said | Benchmark = "pocket_world",
        judge: Said | Judge = "backbone",
        scorer: Said | Judge = "none",
        roles: Mapping[str, Said | Backbone] | None = None,
        **settings: Any,
    ) -> None:
        """Set what all arms have in common. This loads no weights and writes nothing.

        Args:
            folder: the folder of the runs: "runs/NAME" is `study=NAME` of the command line.
            backbone: the model under test: its name, {"name": NAME, knob: value, ...}, or an object.
            benchmark: the benchmark, in the same form.
            judge: selects and verifies inside strategies that have no judge of their own; in the same form.
            scorer: grades answers for the report if the benchmark needs a model for it; in the same form.
            roles: other models for "planner" and "verifier".
            settings: the other keys of a configuration, e.g. seed=1, history="gold", budget={"images": 4},
                in_flight=16; `python experiments/run.py --help` lists them.

        Raises:
            ConfigurationError: an unknown setting, or a value that is not allowed.
        """
        self.folder = Path(folder)
        parts = {"backbone": backbone, "benchmark": benchmark, "judge": judge, "scorer": scorer}
        self._common: dict[str, Any] = {**parts, "roles": dict(roles or {}), **settings}
        _refuse(settings, _OF_THE_COMMAND)
        self._settings = assemble.build_settings(assemble.RunSettings, self._common, assemble.RUN_PARTS)
        self._shared = assemble.Shared()
        self._arms: dict[str, _Arm] = {}

    def add(self, strategy: Said | Strategy, /, **changes: Any) -> Path:
        """Add an arm. Adding the same arm again changes nothing, so a notebook cell can run twice.

        If the class of the strategy was defined again with other code, the new arm replaces the earlier one
        in this study. The run of the earlier arm stays in the folder.

        Args:
            strategy: its name on the command line, e.g. "best_of_n_cot"; {"name": "best_of_n", "n": 8,
                "inner": "cot"}; or an object, e.g. of a class of your own.
            changes: settings of this arm that differ from those of the study, e.g. history="gold", seed=1.

        Returns:
            The folder of the arm's run.

        Raises:
            ConfigurationError: the arm cannot work; the message says what to change.
        """
        runtime = {k.name: f"give it to Study(): Study(FOLDER, {k.name}=...)" for k in _runtime_knobs()}
        _refuse(changes, {**_of_strategy(strategy), **runtime, **_OF_THE_COMMAND})
        if isinstance(strategy, type):
            raise ConfigurationError(
                f"{strategy.__name__} is a class; add an object of it: {strategy.__name__}(...)"
            )
        config = {**self._common, **changes, "strategy": strategy}
        built = assemble.build_arm(config, self._shared)
        for part in (built.strategy, built.benchmark):
            check_own_class(part)
        check(built)
        arm = _Arm(built, {key: _plain(value) for key, value in config.items()})
        self._arms[arm.key] = arm
        return self._folder_of(arm)

    def run(self, *, tracking: Iterable[Said] = ("bar",)) -> Executed:
        """Run all arms that are not complete. A finished model call is never made again.

        Failed turns and their reasons are printed to standard error. An arm that stops with an error, for
        example from its strategy, does not stop the other arms.

        Args:
            tracking: the trackers that show progress, as on the command line: "bar", "console", "wandb"; an
                empty list for none.

        Returns:
            The state of all runs.

        Raises:
            ConfigurationError: there is no arm, or the only one cannot work.
            ArmsFailed: some of several arms failed; the others were run.
            StorageError: the output cannot be written.
            KeyboardInterrupt: interrupted. Finished calls are kept, and the next run() continues.
        """
        if not self._arms:
            raise ConfigurationError("the study has no arms; add one first, e.g. study.add('direct')")
        runs = [
            Run(arm=arm.arm, folder=self._folder_of(arm), config=arm.config, title=title)
            for arm, title in zip(self._arms.values(), self._titles(), strict=True)
        ]
        check_one_study(runs)
        trackers = _trackers(tracking)
        for sentence in dict.fromkeys(models_of_two_versions(self.folder, runs)):
            warnings.warn(sentence, stacklevel=2)
        try:
            summaries = self._execute(runs, trackers)
        except StorageError:
            raise
        except Exception as error:
            if len(runs) == 1 or (isinstance(error, ModelDown) and _ask_the_same(runs)):
                raise
            summaries = self._one_by_one(runs, trackers)
        for sentence in said_of(list(summaries.values()), _AGAIN):
            sys.stderr.write(f"{sentence}\n")
        return Executed(summaries)

    def records(self) -> pd.DataFrame:
        """Return the turns of the added arms, one row each; of all runs in the folder if no arm was added.

        The columns are those of the long CSV that `python -m analysis` reads; `analysis.frame` documents
        them. A turn without a score has NaN as score, and `outcome` says how it ended.

        Raises:
            StudyError: there is no run, or the runs cannot be read; the message says where and what to do.
        """
        with _analysis_installed():
            from analysis.frame import frame_of
            from analysis.records import load_study

            stored: StoredStudy = load_study(self.folder, self._stored())
            frame = frame_of(stored)
        for warning in (*self._notes(), *stored.warnings):
            warnings.warn(warning, stacklevel=2)
        return frame

    def analyze(self, **options: Any) -> Analysis:
        """Return the analysis of the added arms, or of all runs in the folder if no arm was added.

        Args:
            options: baseline, resamples, seed, cluster and ladder, as `Analysis.of` takes them.

        Raises:
            StudyError: there is no run, or the runs cannot be compared; the message says where and what to
                do.
        """
        with _analysis_installed():
            from analysis.shown import Analysis

            return Analysis.of(self.folder, runs=self._stored(), notes=self._notes(), **options)

    def __repr__(self) -> str:
        return f"Study({str(self.folder)!r}) of {len(self._arms)} arms: {', '.join(self._titles())}"

    def _folder_of(self, arm: _Arm) -> Path:
        """Return the folder of the arm's run. It depends on the current code of the arm's classes, so it
        changes when a function that they use is defined again.
        """
        return self.folder / folder_name(arm.arm)

    def _titles(self) -> list[str]:
        return titles([arm.arm for arm in self._arms.values()])

    def _execute(self, runs: Sequence[Run], trackers: Sequence[Any]) -> dict[str, Summary]:
        summaries = execute(
            runs,
            journal=self.folder / "journal",
            trackers=trackers,
            in_flight=self._settings.in_flight,
            share=self._settings.share,
            on_probed=print,
        )
        return {run.title: summary for run, summary in zip(runs, summaries, strict=True)}

    def _one_by_one(self, runs: Sequence[Run], trackers: Sequence[Any]) -> dict[str, Summary]:
        """Run the arms one after another, so that an arm that fails does not stop the others.

        Raises:
            ArmsFailed: one or more arms failed; raised after all arms were tried.
        """
        summaries: dict[str, Summary] = {}
        failures: dict[str, Exception] = {}
        for run in runs:
            try:
                summaries |= self._execute([run], trackers)
            except StorageError:
                raise
            except Exception as error:
                failures[run.title] = error
        if failures:
            raise ArmsFailed(failures, len(runs)) from next(iter(failures.values()))
        return summaries

    def _stored(self) -> list[Path] | None:
        """Return the folders of the added arms' runs that exist; None for all runs of the folder."""
        folders = [self._folder_of(arm) for arm in self._arms.values()]
        run = [folder for folder in folders if (folder / MANIFEST).exists()]
        if folders and not run:
            raise ConfigurationError("no arm of this study has been run yet; call run() first")
        return run or None

    def _notes(self) -> list[str]:
        """Return a note that names the arms that were not run yet, if there are any."""
        waiting = [
            title
            for arm, title in zip(self._arms.values(), self._titles(), strict=True)
            if not (self._folder_of(arm) / MANIFEST).exists()
        ]
        return [f"not run yet, so left out: {', '.join(waiting)}; call run()"] if waiting else []


@dataclass(frozen=True)
class _Arm:
    """An arm of the study, and its configuration as plain values."""

    arm: Arm
    config: Mapping[str, Any]

    @property
    def key(self) -> str:
        """A hash of the arm's identity without code: the same for an arm whose classes were defined again."""
        return digest({"label": label(self.arm.strategy), "identity": without_code(self.arm.identity)})


def _runtime_knobs() -> Iterator[Any]:
    return (knob for knob in knobs_of(assemble.RunSettings).values() if knob.runtime)


def _of_strategy(strategy: object) -> dict[str, str]:
    """Where the knobs of a strategy belong, except those with the name of a setting of the study."""
    node = node_of(Strategy, strategy)
    if not isinstance(node, Mapping) or node.get("name") not in names("strategies"):
        return {}
    known = knobs_of(component_class(Strategy, node["name"], "strategy"))
    settings = {*knobs_of(assemble.RunSettings), *assemble.RUN_PARTS}
    name = strategy if isinstance(strategy, str) else node["name"]
    return {
        key: f"it is a knob of the strategy: add({{'name': {name!r}, {key!r}: ...}})"
        for key in known.keys() - settings
    }


def _refuse(given: Iterable[str], elsewhere: Mapping[str, str]) -> None:
    for key in given:
        if key in elsewhere:
            raise ConfigurationError(f"{key} cannot be set here; {elsewhere[key]}")


def _plain(value: Any) -> Any:
    """Return a value of a configuration with its component objects replaced by their descriptions."""
    if isinstance(value, (Backbone, Strategy, Judge, Benchmark)):
        return describe(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _trackers(tracking: Iterable[Said]) -> Sequence[Any]:
    named = [tracking] if isinstance(tracking, (str, Mapping)) else list(tracking)
    return assemble.build_trackers({str(place): each for place, each in enumerate(named)})


def _ask_the_same(runs: Sequence[Run]) -> bool:
    """Return whether all runs use the same model objects."""
    return len({frozenset(map(id, run.models.values())) for run in runs}) == 1


def _standing(summary: Summary) -> tuple[str, ...]:
    scores = (f"{summary.scores[m]:.3f}" if m in summary.scores else "-" for m in ("image", "text"))
    return f"{summary.scored:,} of {summary.planned:,}", *scores, f"{summary.spent.calls:,}"


@contextmanager
def _analysis_installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{error.name} is not installed, and the analysis needs it; run: pip install -e '.[analysis]'"
        ) from error
