"""A wandb workspace of a study: score over turns, own versus gold history, gain versus cost, failures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Section, Workspace

__all__ = ["ARM", "TURN", "Place", "curves", "make"]

TURN = "turn"
"""The wandb metric of a dialogue's turn number, from 1; the x-axis of the analysis's scores."""
ARM = "analysis"
"""The prefix of the keys that the analysis writes into the summary of each arm's run."""
_NOTE = "workspace.json"
"""The file with the addresses of the created workspaces, by entity and project."""


class Place(NamedTuple):
    """The location of a study in wandb."""

    entity: str
    project: str
    group: str
    analysis: str
    """The id of the wandb run that holds the latest analysis."""


def curves(analysis: Mapping[str, Any]) -> list[dict[str, float]]:
    """The mean score by turn: one row per turn, one series for each strategy and history."""
    rows: dict[int, dict[str, float]] = {}
    for arm in analysis["arms"]:
        for history in ("own", "gold"):
            for number, found in enumerate(arm[history] or (), start=1):
                if found and found["est"] is not None:
                    row = rows.setdefault(number, {TURN: number})
                    row[f"{history}/{arm['strategy']}"] = found["est"]
    return [rows[number] for number in sorted(rows)]


def make(analysis: Mapping[str, Any], place: Place, folder: Path) -> str:
    """Create the workspace of a study, or update the existing one.

    Args:
        analysis: the content of analysis.json.
        place: the study whose runs the workspace shows.
        folder: the folder that stores the address of the workspace.

    Returns:
        The address.

    Raises:
        ModuleNotFoundError: wandb-workspaces is not installed.
    """
    note, name = folder / _NOTE, f"{place.entity}/{place.project}"
    kept: dict[str, str] = json.loads(note.read_bytes()) if note.is_file() else {}
    workspace: Any = _workspace(analysis, place, kept.get(name))
    workspace.save()
    note.write_text(json.dumps(kept | {name: workspace.url}), encoding="utf-8")
    return str(workspace.url)


def _workspace(analysis: Mapping[str, Any], place: Place, address: str | None) -> Workspace:
    from wandb_workspaces.workspaces import RunsetSettings, Workspace

    workspace = (None if address is None else _found(address)) or Workspace(
        entity=place.entity, project=place.project, name=f"Study {place.group}"
    )
    workspace.sections = list(_sections(analysis))
    # as text, since wandb-workspaces does not escape quotes in names
    runs = f'Metric("JobType") == "arm" or Metric("ID") == {place.analysis!r}'
    workspace.runset_settings = RunsetSettings(filters=f'Metric("Group") == {place.group!r} and ({runs})')
    return workspace


def _found(address: str) -> Workspace | None:
    """The workspace at an address; None if it was deleted."""
    from wandb_workspaces.workspaces import Workspace

    try:
        found: Workspace = Workspace.from_url(address)
    except ValueError:
        return None
    return found


def _sections(analysis: Mapping[str, Any]) -> Iterator[Section]:
    from wandb_workspaces.workspaces import Section

    panels = {
        "Score over turns": _over_turns(analysis),
        "Own against gold": _own_and_gold(analysis),
        "Gain against cost": _gain_and_cost(analysis),
        "Failures": _failures(),
    }
    for name, shown in panels.items():
        yield Section(name=name, panels=list(shown), is_open=True)


def _over_turns(analysis: Mapping[str, Any]) -> Iterator[Any]:
    for history in ("own", "gold"):
        series = [name for name in _series(analysis) if name.startswith(f"{history}/")]
        if series:
            yield _kinds().LinePlot(title=f"Score by turn, {history} history", x=TURN, y=series)
    yield _kinds().LinePlot(
        title="Mean score while runs go on",
        x="turns/done",
        y=[f"score/{history}/{modality}" for history in ("own", "gold") for modality in ("image", "text")],
    )


def _own_and_gold(analysis: Mapping[str, Any]) -> Iterator[Any]:
    series = _series(analysis)
    for arm in analysis["arms"]:
        both = [name for name in (f"own/{arm['strategy']}", f"gold/{arm['strategy']}") if name in series]
        yield _kinds().LinePlot(title=arm["strategy"], x=TURN, y=both)


def _gain_and_cost(analysis: Mapping[str, Any]) -> Iterator[Any]:
    costs: Sequence[Mapping[str, float]] = [arm["cost"] for arm in analysis["arms"] if arm["cost"]]
    for kind in costs[0] if costs else ():
        if any(cost[kind] for cost in costs):
            yield _kinds().ScatterPlot(
                title=f"Gain against {kind.replace('_', ' ')} a turn",
                x=_kinds().SummaryMetric(f"{ARM}/cost/{kind}"),
                y=_kinds().SummaryMetric(f"{ARM}/mean_gain"),
            )


def _failures() -> Iterator[Any]:
    ends = ["turns/failed", "turns/refused", "turns/unscored"]
    yield _kinds().BarPlot(title="Turns without a score", metrics=ends)
    yield _kinds().LinePlot(title="Failed turns while runs go on", x="turns/done", y=ends[:1])
    yield _kinds().LinePlot(title="Unread verdicts", x="turns/done", y=["verdicts/unread_share"])


def _kinds() -> Any:
    """The module with the panel classes, as Any because the package does not declare its exports."""
    from wandb_workspaces.reports import v2

    return v2


def _series(analysis: Mapping[str, Any]) -> list[str]:
    """The names of all curves, each once, in the order of the strategies."""
    return list(dict.fromkeys(name for row in curves(analysis) for name in row if name != TURN))
