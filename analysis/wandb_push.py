"""Pushes the outputs of an analysis to wandb, into the group of its study."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.arms import arm_names
from analysis.wandb_workspace import ARM, TURN, Place, curves, make
from imug_tts.records import read_manifest, run_folders
from imug_tts.wandb_home import FOLDER, PROJECT, SETTINGS, environment, refused_uploads, word

if TYPE_CHECKING:
    import wandb

__all__ = ["PushError", "push"]

_NOTE = "pushed.txt"
"""The file that names the latest pushed analysis, so that an analysis is not pushed twice."""
_BEGIN_S = 60
"""Timeout of the server's answer when a run begins, in seconds."""
_PATIENCE_S = 300
"""Timeout of each run's upload in seconds; data not uploaded by then stays on this machine."""


class PushError(Exception):
    """The push failed completely or partly. The message says why."""


def push(study: Path, out: Path) -> str:
    """Push tables, figures and findings as a wandb run of their own, and intervals into the existing runs of
    the arms.

    Args:
        study: the study's folder, or its CSV.
        out: the folder of the analysis.

    Returns:
        One sentence that says where the results are.

    Raises:
        PushError: wandb is not installed, or failed.
    """
    folder = (out if study.is_file() else study).resolve() / FOLDER
    for name, value in {**environment(folder), "WANDB_SILENT": "true"}.items():
        os.environ.setdefault(name, value)
    try:
        return _Push(study, out, folder).everything()
    except ModuleNotFoundError:
        raise PushError("wandb is not installed; install it with: pip install wandb") from None
    except PushError:
        raise
    except Exception as error:  # wandb's errors have no common kind
        raise PushError(f"wandb failed: {type(error).__name__}: {error}") from error


class _Push:
    def __init__(self, study: Path, out: Path, folder: Path) -> None:
        import wandb

        self._wandb = wandb
        self._out = out
        self._folder = folder
        self._study = study
        self._group = study.stem if study.is_file() else study.resolve().name
        self._content = (out / "analysis.json").read_bytes()
        self._analysis = json.loads(self._content)
        self._arms = [
            (name, told) for name, told in _arms(study, folder) if name in self._analysis["strategies"]
        ]
        self._mode: Any = os.environ.get("WANDB_MODE") or (
            "online" if wandb.login(prompt=False) else "offline"
        )

    def everything(self) -> str:
        pushed = json.dumps([self._own_id(), self._mode, [arm["id"] for _, arm in self._arms]])
        note = self._folder / _NOTE
        if note.is_file() and note.read_text(encoding="utf-8") == pushed:
            return f"pushed to wandb before: this analysis, group {self._group}"
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._mode in ("online", "shared"):
            sys.stderr.write(
                f"pushing the analysis and {len(self._arms)} runs to wandb; for each, the server has "
                f"{_BEGIN_S} s to answer and {_PATIENCE_S} s to take the data\n"
            )
        place = self._push_analysis()
        self._push_arms()
        said = f"pushed to wandb: the analysis and intervals of {len(self._arms)} runs, group {self._group}"
        shown = self._workspace(place)
        note.write_text(pushed, encoding="utf-8")
        if self._mode == "offline":
            said = f"{said}; send it with: wandb sync {self._folder}"
        return f"{said}\n{shown}"

    def _push_analysis(self) -> Place:
        """Push tables, figures, findings and numbers of the study; returns where they are in wandb."""
        where = self._place(self._arms[0][1] if self._arms else {})
        with self._begin("analysis", self._own_id(), where) as run:
            run.define_metric(TURN)
            for head in ("own", "gold"):
                run.define_metric(f"{head}/*", step_metric=TURN)
            # explicit steps, so that a repeated push does not duplicate rows
            for step, row in enumerate([*curves(self._analysis), self._shown()], start=1):
                run.log(row, step=step)
            run.summary.update(self._numbers())
            run.log_artifact(self._files())
            place, log = (
                Place(run.entity, run.project, self._group, self._own_id()),
                run.settings.log_internal,
            )
        if refused := refused_uploads(Path(log)):
            raise PushError(
                f"the wandb server {refused}; tables or figures are missing there; push again later"
            )
        return place

    def _push_arms(self) -> None:
        costs = {arm["strategy"]: arm["cost"] or {} for arm in self._analysis["arms"]}
        for strategy, arm in self._arms:
            numbers = _estimates(self._analysis["strategies"][strategy], ARM)
            numbers |= {f"{ARM}/cost/{kind}": cost for kind, cost in costs.get(strategy, {}).items()}
            with self._begin("arm", arm["id"], self._place(arm)) as run:
                run.summary.update(numbers)

    def _workspace(self, place: Place) -> str:
        """Create or update the workspace; returns a sentence with its address, or with the reason why there
        is none.
        """
        if self._mode == "offline":
            later = f"after syncing the runs, create it with: python -m analysis {self._study} --wandb"
            return f"no workspace, because workspaces exist on the wandb server only; {later}"
        try:
            return f"workspace: {make(self._analysis, place, self._folder)}"
        except ModuleNotFoundError:
            return "no workspace, because wandb-workspaces is not installed: pip install wandb-workspaces"

    def _begin(self, kind: str, id: str, where: Mapping[str, Any]) -> wandb.Run:
        named: dict[str, Any] = {"name": "analysis"} if kind == "analysis" else {}
        return self._wandb.init(
            **where,
            **named,
            id=id,
            group=self._group,
            job_type=kind,
            dir=str(self._folder.parent),
            mode=self._mode,
            resume="allow",
            reinit="create_new",
            settings=self._wandb.Settings(
                **SETTINGS,
                init_timeout=_BEGIN_S,
                finish_timeout=_PATIENCE_S,
                finish_timeout_raises=True,
            ),
        )

    def _place(self, arm: Mapping[str, Any]) -> dict[str, Any]:
        project = arm.get("project") or os.environ.get("WANDB_PROJECT") or PROJECT
        return {"project": project, "entity": arm.get("entity")}

    def _own_id(self) -> str:
        """The wandb id of this analysis: the same content always has the same id."""
        return f"{word(self._group)}-analysis-{hashlib.sha256(self._content).hexdigest()[:8]}"

    def _shown(self) -> dict[str, Any]:
        """Tables, figures and findings as wandb objects."""
        tables = {f"tables/{path.stem}": self._table(path) for path in self._written("tables/*.md")}
        figures = {
            f"figures/{path.stem}": self._wandb.Image(str(path)) for path in self._written("figures/*.png")
        }
        said = self._analysis["sentences"]
        rows: list[Any] = [[name, self._analysis["tiers"][name], sentence] for name, sentence in said.items()]
        findings = self._wandb.Table(columns=["strategy", "tier", "finding"], data=rows)
        return {**tables, **figures, "findings": findings}

    def _table(self, path: Path) -> wandb.Table:
        header, _, *rows = list[Any](_cells(path))
        return self._wandb.Table(columns=header, data=rows)

    def _numbers(self) -> dict[str, Any]:
        """Every estimate with its interval, and every finding."""
        numbers: dict[str, Any] = {
            f"findings/{name}": sentence for name, sentence in self._analysis["sentences"].items()
        }
        for strategy, estimates in self._analysis["strategies"].items():
            numbers |= _estimates(estimates, f"analysis/{strategy}")
        return numbers

    def _files(self) -> wandb.Artifact:
        artifact = self._wandb.Artifact(f"{self._own_id()}-files", type="analysis")
        for pattern in ("analysis.json", "report.html", "tables/*", "figures/*"):
            for path in self._written(pattern):
                artifact.add_file(str(path), name=path.relative_to(self._out).as_posix(), skip_cache=True)
        return artifact

    def _written(self, pattern: str) -> list[Path]:
        return sorted(self._out.glob(pattern))


def _arms(study: Path, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name in the tables of each run that was tracked in wandb, with its id, project and entity."""
    names = {} if study.is_file() else arm_names(read_manifest(run) for run in sorted(run_folders(study)))
    for run, name in names.items():
        note = folder / f"{run.name}.json"
        if note.is_file():
            yield name, json.loads(note.read_bytes())


def _cells(path: Path) -> Iterator[list[Any]]:
    """The cells of each row of a Markdown table."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            yield [re.sub(r"\\([|*])", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _estimates(estimates: Mapping[str, Any], head: str) -> dict[str, float]:
    """The defined estimates and the ends of their intervals, by wandb key."""
    named = {}
    for name, found in estimates.items():
        if found and found["est"] is not None:
            named[f"{head}/{name}"] = found["est"]
            low, high = found["ci"] or (None, None)
            ends = {"low": low, "high": high}
            named |= {f"{head}/{name}/{end}": value for end, value in ends.items() if value is not None}
    return named
