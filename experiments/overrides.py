"""Overrides of a sweep on the command line, checked by each job of the sweep and not by Hydra before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import OverrideType
from hydra.errors import HydraException

__all__ = ["for_every_job", "is_sweep"]


def is_sweep(arguments: Sequence[str]) -> bool:
    return bool({"-m", "--multirun"} & set(arguments))


def for_every_job(arguments: Sequence[str]) -> list[str]:
    """The arguments of a sweep, in which a knob that is set once is a sweep over one value.

    Before it sweeps, Hydra sets such knobs on the choices of the files, and not on those that are swept:
    `-m strategy=best_of_n,best_of_n_cot strategy.n=8` would be refused, because direct has no n.
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
        return False  # a flag, or an override of which Hydra says what is wrong
    is_knob = override.type is OverrideType.CHANGE and "." in override.key_or_group and not override.package
    return is_knob and not override.is_sweep_override() and not argument.startswith(("hydra.", "-"))
