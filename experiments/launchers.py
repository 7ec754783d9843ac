"""The launchers of a study as choices of Hydra, e.g. `hydra/launcher=submitit_slurm`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from experiments.choices import knob_values
from imug_tts.assemble import build_settings
from imug_tts.contracts import ConfigurationError
from imug_tts.launch import LocalQueue, Queue, SlurmQueue

__all__ = ["LAUNCHERS", "declare_launchers", "queue_of"]

LAUNCHERS: Final[Mapping[str, type[Queue]]] = {
    "submitit_local": LocalQueue,
    "submitit_slurm": SlurmQueue,
}
_PLUGINS: Final[Mapping[str, type[Queue]]] = {
    "hydra_plugins.study_sweeper.SubmititLocal": LocalQueue,
    "hydra_plugins.study_sweeper.SubmititSlurm": SlurmQueue,
}
_BASIC: Final = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


def declare_launchers() -> None:
    """Register the launchers as choices of Hydra. They replace those of hydra-submitit-launcher, if
    installed.
    """
    Plugins.instance()  # discovers the plugins, which register their own choices; ours replace them below
    for (name, cls), target in zip(LAUNCHERS.items(), _PLUGINS, strict=True):
        node = {"_target_": target, **knob_values(cls)}
        ConfigStore.instance().store(group="hydra/launcher", name=name, node=node, provider="imug_tts")


def queue_of(launchers: Sequence[Mapping[str, Any]]) -> Queue | None:
    """Return the queue that starts the arms of a study; None if all arms run in this process.

    Args:
        launchers: the value of `hydra.launcher` in the configuration of each arm.

    Raises:
        ConfigurationError: the launcher is unknown, the arms choose different ones, or a knob is wrong.
    """
    first = launchers[0]
    if any(each != first for each in launchers):
        raise ConfigurationError("the arms of this sweep choose different launchers; sweep each with its own")
    target = str(first["_target_"])
    if target == _BASIC:
        return None
    if target not in _PLUGINS:
        raise ConfigurationError(
            f"hydra.launcher is {target}, which cannot start a study; leave hydra/launcher out (one process, "
            f"in which the arms share models and batches), or choose from: {', '.join(LAUNCHERS)}"
        )
    knobs = {key: value for key, value in first.items() if key != "_target_"}
    try:
        return build_settings(_PLUGINS[target], knobs)
    except ConfigurationError as error:
        raise ConfigurationError(f"hydra.launcher: {error}") from None
