"""Print what can be configured, as Markdown: every component with its knobs, and the knobs of the commands.

    python experiments/reference.py                                    ours and those of installed plugins
    python experiments/reference.py imug_tts > docs/reference.md       those of one package alone

Exit status: 0, or 2 when there is no such package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import MISSING
from typing import Any, Final

from experiments.choices import HYDRA_GROUPS
from experiments.command import guarded, wants_help
from experiments.launchers import LAUNCHERS
from experiments.qualify import QualifySettings
from experiments.score import ScoreSettings
from experiments.type_words import type_in_words
from imug_tts import prompts
from imug_tts.assemble import RunSettings
from imug_tts.contracts import Backbone, Benchmark, ConfigurationError, Judge, Strategy, Tracker
from imug_tts.knobs import Knob, knobs_of, nearest
from imug_tts.registry import GROUPS, broken, component_class, names, source_of

__all__ = ["OWN", "reference"]

OWN: Final = "imug_tts"
_TITLES: Final[dict[type, str]] = {
    Backbone: "Backbones",
    Strategy: "Strategies",
    Judge: "Judges",
    Benchmark: "Benchmarks",
    Tracker: "Trackers",
}
_TABLE: Final = (
    "| knob | type | default | range | meaning | changes results |",
    "|---|---|---|---|---|---|",
)


def main() -> int:
    return guarded(_main)


def _main() -> int:
    if wants_help(sys.argv[1:]):
        print((__doc__ or "").strip())
        return 0
    print(reference(sys.argv[1:]))
    return 0


def reference(packages: Sequence[str] = ()) -> str:
    """The page, of all installed packages or of those named.

    Raises:
        ConfigurationError: a package declares no component.
    """
    known = sorted({source_of(group, name) for group in _groups() for name in names(group)})
    for package in packages:
        if package not in known:
            raise ConfigurationError(f"no components are from {package!r}; {nearest(package, known)}")
    return "\n".join(_page(list(packages) or known))


def _page(packages: Sequence[str]) -> Iterator[str]:
    yield "# Reference"
    yield ""
    yield "Every component and its knobs, as the code declares them. This page is printed by"
    yield f"`python experiments/reference.py {' '.join(packages)}`."
    for kind, title in _TITLES.items():
        chosen = [name for name in names(GROUPS[kind]) if source_of(GROUPS[kind], name) in packages]
        lines = [line for name in chosen for line in _component(kind, name)]
        yield from ["", f"## {title}: `{HYDRA_GROUPS[kind]}=NAME`", *lines] if lines else []
    yield from _prompt_sets(packages)
    if OWN in packages:
        yield from _launchers()
        yield from _commands()
    yield from _unusable(packages)


def _component(kind: type, name: str) -> Iterator[str]:
    try:
        cls = component_class(kind, name, GROUPS[kind])
    except ConfigurationError:
        return  # stands at the end of the page
    about = f"{_first_paragraph(cls)} From the package `{source_of(GROUPS[kind], name)}`."
    yield from ["", f"### {name}", "", about.strip()]
    yield from _table(cls)
    settings = getattr(cls, "settings", None) if kind is Backbone else None
    if settings is not None:
        yield from ["", "Settings of one call, `strategy.settings={name:value}`:"]
        yield from _table(settings)


def _prompt_sets(packages: Sequence[str]) -> Iterator[str]:
    rows = []
    for name in prompts.available():
        if (package := source_of("prompts", name)) in packages:
            with suppress(ConfigurationError):  # stands at the end of the page
                rows.append(f"| {name} | `{package}` | {', '.join(prompts.own_names(name))} |")
    if rows:
        yield from ["", "## Prompt sets", "", "A backbone names its set in `Capabilities.prompts`."]
        yield from ["", "| set | package | prompts |", "|---|---|---|", *rows]


def _launchers() -> Iterator[str]:
    yield from ["", "## Launchers: `hydra/launcher=NAME`", ""]
    yield "What starts the arms of a study. Without one they share this process; knobs are set as"
    yield "`hydra.launcher.KNOB=VALUE`. [How to](../slurm/README.md)"
    for name, cls in LAUNCHERS.items():
        yield from ["", f"### {name}", "", _first_paragraph(cls)]
        yield from _table(cls)


def _commands() -> Iterator[str]:
    from experiments.check_data import CheckSettings
    from experiments.choose_temperatures import ChoiceSettings
    from experiments.drivebench import DriveBenchSettings
    from experiments.export import ExportSettings

    settings: dict[str, type] = {
        "run.py": RunSettings,
        "qualify.py": QualifySettings,
        "score.py": ScoreSettings,
        "drivebench.py": DriveBenchSettings,
        "check_data.py": CheckSettings,
        "export.py": ExportSettings,
        "choose_temperatures.py": ChoiceSettings,
    }
    try:
        from imug_tts.serving import ServiceSettings
    except ImportError:  # an extra
        pass
    else:
        settings["serve.py"] = ServiceSettings
    yield from ["", "## Commands"]
    for command, cls in settings.items():
        yield from ["", f"### experiments/{command}"]
        yield from _table(cls)


def _unusable(packages: Sequence[str]) -> Iterator[str]:
    reasons = [*broken(packages), *prompts.broken(packages)]
    if reasons:
        yield from ["", "## Installed, and cannot be used", "", *(f"- {reason}" for reason in reasons)]


def _table(cls: type) -> Iterator[str]:
    rows = [*_rows(cls)]
    yield from ["", *_TABLE, *rows] if rows else ["", "It has no knobs."]


def _rows(cls: type, prefix: str = "") -> Iterator[str]:
    for name, knob in knobs_of(cls).items():
        is_group = isinstance(knob.hint, type) and bool(knobs_of(knob.hint)) and knob.part is None
        default = "" if is_group else _default(knob)
        shown = (f"`{prefix}{name}`", type_in_words(knob.hint), default, knob.range, knob.meaning)
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in (*shown, _effect(knob)))} |"
        if is_group:
            yield from _rows(knob.hint, f"{prefix}{name}.")


def _default(knob: Knob) -> str:
    if knob.default is not MISSING:
        return f"`{json.dumps(knob.default, default=_plain)}`"
    if knob.is_list:
        return "must be set"
    first: dict[type | None, str] = {
        Strategy: "`direct`",
        Judge: "the run's judge",
        Benchmark: "the run's benchmark",
    }
    return first.get(knob.part, "must be set")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (set, frozenset)) else str(value)


def _effect(knob: Knob) -> str:
    if knob.selects:
        return "picks dialogues"
    return "no" if knob.runtime else "yes"


def _first_paragraph(cls: type) -> str:
    said = " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())
    return "" if said.startswith(f"{cls.__name__}(") else said  # what dataclasses write by themselves


def _groups() -> list[str]:
    return [*GROUPS.values(), "prompts"]


if __name__ == "__main__":
    sys.exit(main())
