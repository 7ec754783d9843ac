"""Hydra's basic sweep, fast: jobs that differ in plain values share one composition.

Hydra finds plugins in packages of the name `hydra_plugins` alone, and this one because Python puts
the folder of `run.py` on its path.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from experiments.command import refuse_launchers

__all__ = ["StudySweeper"]


class StudySweeper(BasicSweeper):
    """Hands every job of a sweep to the task function, in this process and in Hydra's order.

    Hydra reads all files of the configuration twice for every job, a third of a second each. Here that
    happens once for each choice of groups; swept plain values (`history=own,gold`) are set on copies.
    """

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        refuse_launchers(config.hydra.launcher._target_)
        self._master = config
        self._loader: ConfigLoader = hydra_context.config_loader
        self._task = task_function
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def sweep(self, arguments: list[str]) -> None:
        overrides = self._parse([*self._parse_config(), *arguments])
        plain = frozenset(_plain_sweeps(overrides, self._loader))
        for jobs in self.split_arguments(overrides, None):
            for job in jobs:
                self._task(self._config(job, plain))

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
                del config["hydra"]
            self._composed[overrides] = config
        return self._composed[overrides]

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        return OverridesParser.create(config_loader=self._loader).parse_overrides(list(overrides))


def _plain_sweeps(overrides: Sequence[Override], loader: ConfigLoader) -> Iterator[str]:
    """Keys of swept values that choose no group, and that no other override touches."""
    last: Mapping[str, Override] = {override.get_key_element(): override for override in overrides}
    for key, override in last.items():
        is_value = override.type is OverrideType.CHANGE and override.package is None
        if (
            is_value
            and override.is_sweep_override()
            and not loader.get_group_options(key)
            and not any(_overlap(key, other.key_or_group) for name, other in last.items() if name != key)
        ):
            yield key


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
