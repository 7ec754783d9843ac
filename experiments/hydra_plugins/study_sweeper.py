"""Hydra plugins for sweeps: the sweeper makes the combinations, the launcher composes their configurations.

Hydra finds plugins only in packages named `hydra_plugins`. It finds this one because Python puts the folder
of `run.py` on its path. The plugins use only Hydra's public plugin interface.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from experiments.overrides import without_null

__all__ = ["StudyLauncher", "StudySweeper", "SubmititLocal", "SubmititSlurm"]


class StudySweeper(Sweeper):
    """Makes every combination of the swept values, in Hydra's order."""

    def __init__(self, params: Mapping[str, Any] | None = None, max_batch_size: int | None = None) -> None:
        """`max_batch_size` is a knob of Hydra's basic sweeper; it is accepted and has no effect here."""
        del max_batch_size
        self._params = dict(params or {})

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.config = config
        self.hydra_context = hydra_context
        self.launcher = _launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        assert self.hydra_context is not None
        assert self.launcher is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        given = [f"{key}={value}" for key, value in self._params.items()]
        last = {each.get_key_element(): each for each in parser.parse_overrides([*given, *arguments])}
        choices = [list(_values(key, override)) for key, override in last.items()]
        self.launcher.launch([list(job) for job in itertools.product(*choices)], 0)


class StudyLauncher(Launcher):
    """Composes the configuration of every arm of a study and passes it to the command, which then runs them
    all.

    Hydra's own launchers read all configuration files for every job, which takes a third of a second. This
    one reads them once for each choice of groups; values that differ between jobs (`history=own,gold`) are
    set on copies.
    """

    def __init__(self, **knobs: Any) -> None:
        """The knobs are ignored here: the command reads them from the configuration of each arm."""
        del knobs

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self._master = config
        self._loader: ConfigLoader = hydra_context.config_loader
        self._task = task_function
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Pass the configuration of every job to the command. Its key `hydra` has only the launcher."""
        del initial_job_idx
        plain = frozenset(_plain_keys(self._parse(sorted({o for job in job_overrides for o in job}))))
        plain = frozenset(key for key in plain if not self._loader.get_group_options(key))
        for job in job_overrides:
            self._task(self._config(job, plain))
        return []

    def _config(self, job: Sequence[str], plain: frozenset[str]) -> DictConfig:
        values = [override for override in job if override.partition("=")[0] in plain]
        config = copy.deepcopy(self._compose(tuple(o for o in job if o not in values)))
        for override in self._parse(values):
            OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        return config

    def _compose(self, overrides: tuple[str, ...]) -> DictConfig:
        if overrides not in self._composed:
            config = self._loader.load_sweep_config(self._master, list(overrides))
            with open_dict(config):
                config.hydra = {"launcher": OmegaConf.to_container(config.hydra.launcher)}
            self._composed[overrides] = config
        return self._composed[overrides]

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        return OverridesParser.create(config_loader=self._loader).parse_overrides(list(overrides))


class SubmititLocal(StudyLauncher):
    """hydra/launcher=submitit_local: jobs are processes on this machine."""


class SubmititSlurm(StudyLauncher):
    """hydra/launcher=submitit_slurm: jobs are SLURM jobs."""


def _launcher(context: HydraContext, task: TaskFunction, config: DictConfig) -> Launcher:
    """Return the chosen launcher if it is ours, else a `StudyLauncher`: the command later refuses other
    launchers.
    """
    if str(config.hydra.launcher._target_).startswith(f"{__name__}."):
        return Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=task, config=config
        )
    launcher = StudyLauncher()
    launcher.setup(hydra_context=context, task_function=task, config=config)
    return launcher


def _values(key: str, override: Override) -> Iterator[str]:
    """Yield the override as text for each value that it sweeps over."""
    if not override.is_sweep_override():
        yield without_null(f"{key}={override.get_value_element_as_str()}")
    elif override.is_discrete_sweep():
        yield from (without_null(f"{key}={value}") for value in override.sweep_string_iterator())
    else:
        raise HydraException(f"{key}: a study sweeps over lists, choices and ranges, not over intervals")


def _plain_keys(overrides: Sequence[Override]) -> Iterator[str]:
    """Yield the keys whose values differ between jobs and do not overlap with another override."""
    by_key: dict[str, list[Override]] = {}
    for override in overrides:
        by_key.setdefault(override.get_key_element(), []).append(override)
    for key, own in by_key.items():
        is_value = all(each.type is OverrideType.CHANGE and each.package is None for each in own)
        others = (each[0].key_or_group for name, each in by_key.items() if name != key)
        if is_value and len(own) > 1 and not any(_overlap(key, other) for other in others):
            yield key


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
