"""The page of components: ours and those of installed plugins, each with its knobs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from experiments.choices import HYDRA_GROUPS
from experiments.launchers import LAUNCHERS
from experiments.reference_pages.knobs import knob_table
from imug_tts import prompts
from imug_tts.contracts import Backbone, Benchmark, ConfigurationError, Judge, Strategy, Tracker
from imug_tts.knobs import nearest
from imug_tts.registry import GROUPS, broken, component_class, names, source_of

__all__ = ["OWN", "components_page"]

OWN: Final = "imug_tts"
_HEAD: Final = (
    "The last column says what a knob changes. *Yes*: it changes results and belongs to the identity of",
    "a run, so that two values make two runs. *No*: it changes only how a run is done, and one run goes",
    "on under another value. *Picks dialogues*: tables pool runs that differ in it. Commands have",
    "[knobs too](commands.md). The site that `make docs` builds has the components of installed plugins",
    "too.",
)
_TITLES: Final[dict[type, str]] = {
    Backbone: "Backbones",
    Strategy: "Strategies",
    Judge: "Judges",
    Benchmark: "Benchmarks",
    Tracker: "Trackers",
}


def components_page(packages: Sequence[str] = ()) -> str:
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
    yield "# Components and their knobs"
    yield ""
    yield from [*_HEAD, f"This page: `python experiments/reference.py {' '.join(packages)}`."]
    for kind, title in _TITLES.items():
        chosen = [name for name in names(GROUPS[kind]) if source_of(GROUPS[kind], name) in packages]
        lines = [line for name in chosen for line in _component(kind, name)]
        yield from ["", f"## {title}: `{HYDRA_GROUPS[kind]}=NAME`", *lines] if lines else []
    yield from _prompt_sets(packages)
    if OWN in packages:
        yield from _launchers()
    yield from _unusable(packages)


def _component(kind: type, name: str) -> Iterator[str]:
    try:
        cls = component_class(kind, name, GROUPS[kind])
    except ConfigurationError:
        return  # stands at the end of the page
    about = f"{_first_paragraph(cls)} From the package `{source_of(GROUPS[kind], name)}`."
    yield from ["", f"### {name}", "", about.strip()]
    yield from knob_table(cls)
    settings = getattr(cls, "settings", None) if kind is Backbone else None
    if settings is not None:
        yield from ["", "Settings of one call, `strategy.settings={name:value}`:"]
        yield from knob_table(settings)


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
    yield "`hydra.launcher.KNOB=VALUE`. [How to](../guides/slurm.md)"
    for name, cls in LAUNCHERS.items():
        yield from ["", f"### {name}", "", _first_paragraph(cls)]
        yield from knob_table(cls)


def _unusable(packages: Sequence[str]) -> Iterator[str]:
    reasons = [*broken(packages), *prompts.broken(packages)]
    if reasons:
        yield from ["", "## Installed, and cannot be used", "", *(f"- {reason}" for reason in reasons)]


def _first_paragraph(cls: type) -> str:
    said = " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())
    return "" if said.startswith(f"{cls.__name__}(") else said  # what dataclasses write by themselves


def _groups() -> list[str]:
    return [*GROUPS.values(), "prompts"]
