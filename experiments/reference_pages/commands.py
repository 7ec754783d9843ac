"""The page of commands: what each is for, its options and exit statuses."""

from __future__ import annotations

import ast
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from experiments.reference_pages.knobs import PIPE, knob_table
from experiments.score import ScoreSettings
from imug_tts.assemble import RunSettings

__all__ = ["commands", "commands_page", "parser_of", "settings_of"]

_ROOT: Final = Path(__file__).parents[2]
_MODULES: Final = ("analysis", "analysis.label", "analysis.drivebench", "imug_tts.records")
"""Commands that are started with `python -m`."""
_FIRST: Final = ("run", "status", "score", "qualify", "choose_temperatures", "check_data", "export", "serve")
_CHOICES: Final = """# Commands

Commands with a table of knobs take `name=value` (Hydra). Their components (`strategy`, `backbone`, `judge`,
`benchmark`, `tracking`) are chosen by name and have the knobs of the [components](components.md); the tables
below have the knobs of the command itself. `--help` prints both. `+dry_run=true` checks everything and makes
no call of a model. [Exit statuses](outcomes.md) mean the same everywhere."""


def commands() -> list[str]:
    """Return every command as it is invoked after `python`: "experiments/run.py" or "-m analysis"."""
    found = [path.stem for path in sorted((_ROOT / "experiments").glob("*.py")) if _is_command(path)]
    scripts = [*_FIRST, *(name for name in found if name not in _FIRST)]
    return [*(f"experiments/{name}.py" for name in scripts), *(f"-m {module}" for module in _MODULES)]


@cache
def settings_of() -> Mapping[str, type]:
    """Return the class that declares a command's own knobs, by the command's name.

    Commands without knobs are absent, and so are commands whose extra is not installed.
    """
    from experiments.check_data import CheckSettings
    from experiments.choose_temperatures import ChoiceSettings
    from experiments.drivebench import DriveBenchSettings
    from experiments.export import ExportSettings
    from experiments.qualify import QualifySettings
    from imug_tts.training.settings import DistillSettings

    settings: dict[str, type] = {
        "run": RunSettings,
        "qualify": QualifySettings,
        "score": ScoreSettings,
        "check_data": CheckSettings,
        "distill": DistillSettings,
        "drivebench": DriveBenchSettings,
        "export": ExportSettings,
        "choose_temperatures": ChoiceSettings,
    }
    try:
        from imug_tts.serving import ServiceSettings
    except ImportError:  # an extra
        return settings
    return settings | {"serve": ServiceSettings}


def commands_page() -> str:
    """The page as Markdown."""
    return "\n".join([_CHOICES, *(line for command in commands() for line in _command(command))])


def _command(command: str) -> Iterator[str]:
    path = _source(command)
    yield from ["", f"## {command}", "", "```text", _docstring(path), "```"]
    settings = settings_of().get(path.stem)
    if settings is not None:
        yield from knob_table(settings)
    elif "def parser()" in path.read_text(encoding="utf-8"):
        yield from _options(parser_of(command))


def _options(parser: ArgumentParser) -> Iterator[str]:
    yield from ["", "| option | default | meaning |", "|---|---|---|"]
    for action in parser._actions:
        if action.dest != "help":
            name = ", ".join(action.option_strings) or action.dest
            about = (action.help or "").replace("|", PIPE)
            yield f"| `{name}` | {_default(action.default, required=action.required)} | {about} |"


def _default(value: Any, *, required: bool) -> str:
    if required:
        return "must be given"
    return f"`{value}`" if value not in (None, False, []) else ""


def parser_of(command: str) -> ArgumentParser:
    """The parser of a command that takes options: "experiments/status.py" or "-m analysis"."""
    name = f"{command[3:]}.__main__" if command.startswith("-m ") else command[:-3].replace("/", ".")
    make: Callable[[], ArgumentParser] = import_module(name).parser
    return make()


def _source(command: str) -> Path:
    if command.startswith("-m "):
        return _ROOT.joinpath(*command[3:].split("."), "__main__.py")
    return _ROOT / command


def _docstring(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip()


def _is_command(path: Path) -> bool:
    """Whether users start the script, as its docstring then says."""
    return f"python experiments/{path.name}" in _docstring(path)
