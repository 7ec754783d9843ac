"""Compose the configurations of a command that executes one run or, with -m, a study of many runs."""

from __future__ import annotations

import os
import sys
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from experiments.choices import declare_settings, register_components
from experiments.command import CONF, Config, plain
from experiments.launchers import declare_launchers
from experiments.overrides import as_hydra_reads, for_every_job
from imug_tts.contracts import ConfigurationError

__all__ = ["compose_all"]


def compose_all(name: str, settings: type) -> tuple[list[Config], list[Config], bool]:
    """Compose conf/<name>.yaml with the command line of this process.

    Args:
        settings: the class that declares the command's own knobs.

    Returns:
        The configuration of each run, the launcher of each run, and whether -m makes them a study.

    Raises:
        ConfigurationError: a study was chosen without -m.
    """
    configs: list[Config] = []
    launchers: list[Config] = []
    single: list[Any] = []
    register_components()
    declare_settings(f"{name}_settings", settings)
    declare_launchers()

    @hydra.main(config_path=str(CONF), config_name=name, version_base="1.3")
    def collect(config: DictConfig) -> None:
        if HydraConfig.initialized():  # false for configurations from our sweeper
            single.append(HydraConfig.get())
        else:
            launchers.append(plain(config.hydra.launcher))
        configs.append({key: value for key, value in plain(config).items() if key != "hydra"})

    # Let Hydra raise its errors instead of printing them, so that main() reports them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    sys.argv[1:] = for_every_job(as_hydra_reads(sys.argv[1:]))
    collect()
    for job in single:
        launchers.append(plain(job.launcher))
        if job.sweeper.params:
            choice = job.runtime.choices.experiment
            raise ConfigurationError(f"experiment={choice} is a study of many runs; add -m")
    return configs, launchers, not single
