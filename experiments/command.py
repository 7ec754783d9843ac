"""Shared parts of the commands in this folder: configurations, help, error messages, exit statuses."""

from __future__ import annotations

import os
import re
import shlex
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from experiments.choices import HIDDEN, HYDRA_GROUPS, declare_settings, register_components
from experiments.knob_help import help_text
from experiments.overrides import without_null
from imug_tts.contracts import ConfigurationError, ModelDown, StorageError
from imug_tts.knobs import nearest
from imug_tts.records import RecordError
from imug_tts.secrecy import refuse_secrets

__all__ = [
    "CONF",
    "Config",
    "complain",
    "compose",
    "guarded",
    "leave",
    "plain",
    "take_dry_run",
    "wants_help",
]

Config = dict[str, Any]

CONF: Final = Path(__file__).parents[1] / "conf"
_HELP: Final = frozenset(["-h", "--help"])
_OWN: Final = {
    group: f". A {group} of your own needs an entry point: docs/guides/own_components.md"
    for group in HYDRA_GROUPS.values()
    if group != "tracking"
}


def guarded(work: Callable[[], int]) -> int:
    """Run a command; an error that ends it becomes one message and the exit status.

    1: a model or the disk failed; 2: the configuration is invalid; 130: interrupted.
    """
    warnings.showwarning = _show_warning
    try:
        return work()
    except (HydraException, OmegaConfBaseException) as error:
        return complain(_teach(error), 2)
    except (ConfigurationError, RecordError) as error:
        return complain(str(error), 2)
    except KeyboardInterrupt as interrupt:
        how_far = f": {interrupt}" if str(interrupt) else ""
        return complain(f"interrupted{how_far}; run the same command again to resume", 130)
    except (StorageError, ModelDown) as error:
        return complain(str(error), 1)


def leave(status: int) -> NoReturn:
    """End the process. After a failure, threads with calls in flight do not keep it alive."""
    sys.stdout.flush()
    sys.stderr.flush()
    if status and threading.active_count() > 1:
        os._exit(status)
    sys.exit(status)


def compose(name: str, about: str, arguments: Sequence[str], settings: type) -> Config | None:
    """The configuration conf/<name>.yaml with overrides; None if help was requested, which is then printed.

    `settings` is the class of the knobs that belong to no component.
    """
    from hydra import compose, initialize_config_dir

    overrides = [without_null(argument) for argument in arguments if argument not in _HELP]
    register_components()
    declare_settings(f"{name}_settings", settings)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, overrides)
    if wants_help(arguments):
        print(help_text(about, plain(config), settings))
        return None
    return plain(config)


def wants_help(arguments: Sequence[str]) -> bool:
    return bool(_HELP & set(arguments))


def plain(config: DictConfig) -> Config:
    """The configuration as dicts and lists; a required knob that is not set has the value "???"."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def take_dry_run(config: Config) -> bool:
    """Remove +dry_run from a configuration; returns its value.

    Raises:
        ConfigurationError: the value is neither true nor false.
    """
    value = config.pop("dry_run", False)
    if not isinstance(value, bool):
        raise ConfigurationError(f"dry_run is {value!r}; it must be true or false")
    return value


def complain(message: str, status: int) -> int:
    """Print an error message on its own line; returns the exit status."""
    with suppress(OSError):  # the reader closed the pipe, as in `2>&1 | head`
        sys.stderr.write(f"{message}\n")
    return status


def _teach(error: Exception) -> str:
    """Hydra's error as one message, with the most similar valid name."""
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        options = [option for option in error.options if not option.startswith(HIDDEN)]
        advice = nearest(name, options)
        own = "" if advice.startswith("did you") else _OWN.get(group, "")
        return f"{group}: there is no {name!r}; {advice}{own}"
    nested = re.match(r"Could not override '(\w+)@([\w.]+)'", str(error))
    if nested:
        group, place = nested.groups()
        part = place.rpartition(".")[2]
        return (
            f"{place} cannot be set: the chosen {place.partition('.')[0]} has no {group} {part!r}; --help "
            "lists its knobs. In a sweep this may hold for one of the choices: give those that have it a "
            "command of their own, with the same study=NAME"
        )
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        return _teach_knob(cause)
    if isinstance(error, OverrideParseException):
        return _teach_quoting(error.override)
    return "\n".join(line for line in str(error).splitlines() if line.strip())


def _teach_quoting(override: str) -> str:
    """A message that says how to quote an override that Hydra's grammar cannot parse."""
    key, _, value = override.partition("=")
    quoted = '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return (
        f"{override!r} cannot be read: put a value with characters such as = : {{ [ or non-ASCII letters "
        "into double quotes, and all of it into single quotes for the shell: "
        f"{shlex.quote(f'{key}={quoted}')}"
    )


def _teach_knob(error: OmegaConfBaseException) -> str:
    """A message with the valid knobs in place of an unknown one, or with the reason why a value cannot be
    set.
    """
    parent, _, knob = str(error.full_key).rpartition(".")
    node = error.parent_node
    if not isinstance(node, DictConfig) or knob in node:
        return f"{error.full_key}: {error.msg}"
    try:
        refuse_secrets({knob: "given"}, f"{parent}." if parent else "")
    except ConfigurationError as secret:
        return str(secret)
    is_plugin = "_target_" in node  # a Hydra plugin: its `name`, if any, is a knob
    component = "" if is_plugin else str(node.get("name") or "")
    owner = " ".join(filter(None, [parent or "the configuration", component]))
    hidden = ("hydra", "_target_" if is_plugin else "name")
    known = [str(key) for key in node if key not in hidden]
    below = [f"{key}.{knob}" for key in known if isinstance(node[key], DictConfig) and knob in node[key]]
    if below:
        return f"{owner} has no knob {knob!r}; did you mean {' or '.join(below)}?"
    return f"{owner} has no knob {knob!r}; {nearest(knob, known) if known else 'it has none'}"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    complain(f"warning: {message}", 0)
