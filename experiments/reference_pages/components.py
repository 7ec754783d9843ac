"""The pages of components: ours and those of installed plugins, each kind on a page, with their knobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from experiments.launchers import LAUNCHERS
from experiments.reference_pages.knobs import knob_rows, knob_table
from imug_tts import prompts
from imug_tts.contracts import Backbone, Benchmark, ConfigurationError, Judge, Strategy, Tracker
from imug_tts.knobs import nearest
from imug_tts.nodes import COMPOSITIONS
from imug_tts.registry import GROUPS, broken, component_class, names, source_of

__all__ = ["COMPONENT_PAGES", "OWN", "component_pages"]

OWN: Final = "imug_tts"
_INDEX: Final = "components.md"
_COLUMNS: Final = """The last column of a table of knobs says what a knob changes:

- *yes*: it changes results and belongs to the identity of a run, so that two values make two runs.
- *no*: it changes only how a run is done. One run goes on under another value.
- *picks dialogues*: it chooses dialogues and changes none of them. Tables pool runs that differ in it.

A knob whose type is a component, such as `inner`, is a *part*: `strategy@strategy.inner=cot` chooses it, and
`strategy.inner.plan_tokens=64` sets a knob of it. A knob of the type *list of judges* takes a list of nodes:
`'judge.members=[{name: backbone}, {name: clip_score, folder: DIR}]'`. [Commands](commands.md) have knobs too.
The site that `make docs` builds shows the components of installed plugins as well."""


class _Page(NamedTuple):
    title: str
    chosen_by: str
    about: str


_PAGES: Final[Mapping[type, _Page]] = {
    Backbone: _Page(
        "Backbones",
        "backbone",
        "The model under test, or with `backbone@roles.ROLE=NAME` the one that plays a role. What each can "
        "do, and how it is started: [models](../start/models.md).",
    ),
    Strategy: _Page("Strategies", "strategy", "How a turn is answered."),
    Judge: _Page(
        "Judges",
        "judge",
        "What selects or verifies in a strategy ([guide](../guides/judges.md)). `judge@scorer=NAME`, with "
        "knobs `scorer.KNOB=VALUE`, chooses what grades for the report.",
    ),
    Benchmark: _Page("Benchmarks", "benchmark", "The dialogues, their reference outputs and their scores."),
    Tracker: _Page(
        "Trackers",
        "tracking",
        "What shows the progress of runs: `tracking=[console,wandb]`. Knobs are set below the name: "
        "`tracking.wandb.project=NAME`.",
    ),
}
COMPONENT_PAGES: Final = (_INDEX, *(f"{page.title.lower()}.md" for page in _PAGES.values()), "launchers.md")
"""The names of the files."""


def component_pages(packages: Sequence[str] = ()) -> dict[str, str]:
    """The pages by file name, of all installed packages or of those named; none without a component.

    Raises:
        ConfigurationError: a package declares no component.
    """
    known = sorted({source_of(group, name) for group in _groups() for name in names(group)})
    for package in packages:
        if package not in known:
            raise ConfigurationError(f"no components are from {package!r}; {nearest(package, known)}")
    wanted = list(packages) or known
    lines = {_INDEX: [*_index(wanted)]}
    for kind, page in _PAGES.items():
        if any(_chosen(kind, wanted)):
            lines[f"{page.title.lower()}.md"] = [*_page(kind, wanted)]
    if OWN in wanted:
        lines["launchers.md"] = [*_launchers()]
    return {name: "\n".join(said) for name, said in lines.items()}


def _index(packages: Sequence[str]) -> Iterator[str]:
    yield from ["# Components and their knobs", "", _COLUMNS, ""]
    yield f"These pages: `python experiments/reference.py {' '.join(packages)}`."
    for kind, page in _PAGES.items():
        chosen = _chosen(kind, packages)
        if chosen:
            file = f"{page.title.lower()}.md"
            yield from [
                "",
                f"## {page.title}: `{page.chosen_by}=NAME`",
                "",
                "| name | what it is |",
                "|---|---|",
            ]
            yield from (
                f"| [{name}]({file}#{name}) | {_first_paragraph(cls)} |" for name, cls in chosen.items()
            )
    if OWN in packages:
        yield from ["", "## Launchers: `hydra/launcher=NAME`", "", "| name | what it is |", "|---|---|"]
        yield from (f"| [{n}](launchers.md#{n}) | {_first_paragraph(cls)} |" for n, cls in LAUNCHERS.items())
    yield from _prompt_sets(packages)
    yield from _unusable(packages)


def _page(kind: type, packages: Sequence[str]) -> Iterator[str]:
    title, chosen_by, about = _PAGES[kind]
    yield from [f"# {title}: `{chosen_by}=NAME`", ""]
    yield f"{about} The [columns](components.md) of the tables."
    for name, cls in _chosen(kind, packages).items():
        said = f"{_first_paragraph(cls)} From the package `{source_of(GROUPS[kind], name)}`."
        yield from ["", f"## {name}", "", said.strip(), *knob_table(cls)]
        settings = getattr(cls, "settings", None) if kind is Backbone else None
        yield from _settings(cls, settings) if settings is not None else ()
    if kind is Strategy and OWN in packages:
        yield from ["", "## Compositions", "", "Names for nestings; every knob of a layer can be set.", ""]
        yield from ["| name | stands for |", "|---|---|"]
        yield from (f"| {name} | {_options(node)} |" for name, node in COMPOSITIONS.items())


def _settings(cls: type, settings: type) -> Iterator[str]:
    """What one call may set: names alone where the table of the backbone says the same."""
    there = dict(knob_rows(cls))
    rows = dict(knob_rows(settings))
    same = [name for name, row in rows.items() if there.get(name) == row]
    yield from ["", "Settings of one call, `strategy.settings={name:value}`:"]
    if same:
        yield from ["", f"As above: {', '.join(f'`{name}`' for name in same)}."]
    if len(same) < len(rows):
        yield from knob_table(settings, leave_out=same)


def _options(node: Mapping[str, Any]) -> str:
    """A composition as the options of a command line."""
    kinds = {"inner": "strategy", "judge": "judge"}
    parts = [f"{kinds[key]}@strategy.{key}={value}" for key, value in node.items() if key in kinds]
    knobs = [f"strategy.{key}={value}" for key, value in node.items() if key not in {"name", *kinds}]
    said = " ".join(["strategy=" + node["name"], *parts, *knobs])
    return f"`{said}`"


def _prompt_sets(packages: Sequence[str]) -> Iterator[str]:
    rows = []
    for name in prompts.available():
        if (package := source_of("prompts", name)) in packages:
            with suppress(ConfigurationError):  # stands at the end of the page
                rows.append(f"| {name} | `{package}` | {', '.join(prompts.own_names(name))} |")
    if rows:
        yield from [
            "",
            "## Prompt sets",
            "",
            "A backbone names its set in `Capabilities.prompts`; no knob does.",
        ]
        yield from ["", "| set | package | prompts |", "|---|---|---|", *rows]


def _launchers() -> Iterator[str]:
    yield from ["# Launchers: `hydra/launcher=NAME`", ""]
    yield "What starts the arms of a study ([guide](../guides/slurm.md)). Without one they share a process."
    yield "Knobs are set as `hydra.launcher.KNOB=VALUE`. The [columns](components.md) of the tables."
    for name, cls in LAUNCHERS.items():
        yield from ["", f"## {name}", "", _first_paragraph(cls), *knob_table(cls)]


def _unusable(packages: Sequence[str]) -> Iterator[str]:
    reasons = [*broken(packages), *prompts.broken(packages)]
    if reasons:
        yield from ["", "## Installed, and cannot be used", "", *(f"- {reason}" for reason in reasons)]


def _chosen(kind: type, packages: Sequence[str]) -> dict[str, type]:
    """The components of a kind and of these packages that can be loaded; others are named by `_unusable`."""
    found = {}
    for name in names(GROUPS[kind]):
        if source_of(GROUPS[kind], name) in packages:
            with suppress(ConfigurationError):
                found[name] = component_class(kind, name, GROUPS[kind])
    return found


def _first_paragraph(cls: type) -> str:
    said = " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split())
    return "" if said.startswith(f"{cls.__name__}(") else said  # what dataclasses write by themselves


def _groups() -> list[str]:
    return [*GROUPS.values(), "prompts"]
