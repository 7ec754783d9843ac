"""Converts the command line to Hydra's grammar; each job of a sweep checks the overrides of the sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException

from experiments.choices import HYDRA_GROUPS
from imug_tts.contracts import ConfigurationError

__all__ = ["as_hydra_reads", "for_every_job", "is_sweep", "without_null"]

_FLAGS: Final = frozenset(
    [
        *("--cfg", "-c", "--package", "-p", "--run", "-r", "--multirun", "-m", "--resolve", "--info", "-i"),
        *("--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--hydra-help", "--version"),
        *("--shell-completion", "-sc", "--experimental-rerun"),
    ]
)
_MODES: Final = frozenset(
    ["--cfg", "-c", "--run", "-r", "--multirun", "-m", "--info", "-i", "--shell-completion", "-sc"]
)
_GROUPS: Final = frozenset([*HYDRA_GROUPS.values(), "experiment"])
_NEVER_NULL: Final = frozenset([*HYDRA_GROUPS.values(), "judge@scorer"])


def is_sweep(arguments: Sequence[str]) -> bool:
    return bool({"-m", "--multirun"} & set(arguments))


def as_hydra_reads(arguments: Sequence[str]) -> list[str]:
    """The arguments with flags before overrides, otherwise in order: Hydra accepts no flag between overrides.

    Raises:
        ConfigurationError: a flag does not exist, two flags exclude each other, or a group is set to null.
    """
    _check_flags([argument.partition("=")[0] for argument in arguments if argument.startswith("-")])
    overrides = [each for each in arguments if _is_override(each)]
    # Any other word may be the value of the flag before it.
    flags = [each for each in arguments if not _is_override(each) and each not in ("-m", "--multirun")]
    return [*(["-m"] if is_sweep(arguments) else []), *flags, *map(without_null, overrides)]


def without_null(override: str) -> str:
    """The override, with a choice of null rewritten to Hydra's form of removing the choice.

    Raises:
        ConfigurationError: a whole group is set to null.
    """
    key, _, value = override.partition("=")
    group, place, _ = key.partition("@")
    if value != "null" or not (group in _GROUPS or place or key.startswith("hydra/")):
        return override
    if key in _NEVER_NULL or key.startswith("hydra/"):
        none = f"write {key}=none" if group in ("judge", "tracking") else f"leave {key}=null out"
        raise ConfigurationError(f"{key} cannot be null; {none}")
    return f"~{key}"


def for_every_job(arguments: Sequence[str]) -> list[str]:
    """The arguments of a sweep, with every single-valued knob rewritten to a sweep over one value.

    Otherwise Hydra would apply such knobs to the choices in the files instead of the swept choices:
    `-m strategy=best_of_n,best_of_n_cot strategy.n=8` would be rejected, because direct has no n.
    """
    parser = OverridesParser.create()
    return list(_deferred(parser, arguments)) if is_sweep(arguments) else list(arguments)


def _deferred(parser: OverridesParser, arguments: Sequence[str]) -> Iterator[str]:
    for argument in arguments:
        key, _, value = argument.partition("=")
        yield f"{key}=choice({value})" if _is_one_value(parser, argument) else argument


def _is_one_value(parser: OverridesParser, argument: str) -> bool:
    try:
        override = parser.parse_override(argument)
    except HydraException:
        return False  # a flag, or an override whose error Hydra reports
    is_knob = override.type is OverrideType.CHANGE and "." in override.key_or_group and not override.package
    if override.is_sweep_override() or override.value() is None:  # choice() takes no null
        return False
    return is_knob and not argument.startswith(("hydra.", "-"))


def _is_override(argument: str) -> bool:
    return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))


def _check_flags(flags: Sequence[str]) -> None:
    unknown = next((flag for flag in flags if flag not in _FLAGS), None)
    if unknown is not None:
        word = unknown.lstrip("-").replace("-", "_")
        raise ConfigurationError(
            f"there is no flag {unknown}; settings have no dashes: "
            + ("+dry_run=true" if word == "dry_run" else f"{word}=VALUE")
        )
    modes = list(dict.fromkeys("-m" if flag == "--multirun" else flag for flag in flags if flag in _MODES))
    if len(modes) > 1:
        raise ConfigurationError(f"{' and '.join(modes)} exclude each other; give one of them")
