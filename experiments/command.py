"""What the commands of this folder share: configurations, errors in words, exit statuses."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from imug_tts import configuration
from imug_tts.contracts import ConfigurationError

__all__ = ["Config", "complain", "compose", "guarded"]

Config = dict[str, Any]

CONF = Path(__file__).parents[1] / "conf"


def guarded(work: Callable[[], int]) -> int:
    """Do the work of a command; what stops it becomes one message and the exit status.

    1: the output cannot be written; 2: it cannot work as configured; 130: interrupted.
    """
    warnings.showwarning = _show_warning
    try:
        return work()
    except (HydraException, OmegaConfBaseException) as error:
        return complain(_teach(error), 2)
    except ConfigurationError as error:
        return complain(str(error), 2)
    except KeyboardInterrupt as interrupt:
        return complain(f"{interrupt}\nstart the same command again to go on".strip(), 130)
    except RuntimeError as error:
        from imug_tts.files import StorageError

        if isinstance(error, StorageError):
            return complain(str(error), 1)
        raise


def compose(name: str, about: str, arguments: Sequence[str]) -> Config | None:
    """The configuration conf/<name>.yaml with overrides; None when help was asked for, and printed."""
    from hydra import compose, initialize_config_dir

    wants_help = bool({"-h", "--help"} & set(arguments))
    overrides = [argument for argument in arguments if argument not in ("-h", "--help")]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose(name, overrides)
    if wants_help:
        print(f"{about.strip()}\n\nKnobs (name=value), as they stand:\n\n{OmegaConf.to_yaml(config)}".strip())
        return None
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def complain(message: str, status: int) -> int:
    """Say what is wrong, on a line of its own; returns the exit status."""
    clear = "\r\x1b[K" if sys.stderr.isatty() else ""
    sys.stderr.write(f"{clear}{message}\n")
    return status


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


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"warning: {message}\n")
