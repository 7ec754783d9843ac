"""One run as wandb is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from imug_tts.contracts import PlannedRun, Record, Summary
from imug_tts.tracking.wandb.process import WriterProcess
from imug_tts.tracking.wandb.sampled import COLUMNS, SampledDialogues
from imug_tts.tracking.wandb.series import TURNS, Series, flat
from imug_tts.tracking.wandb.state import PointsState
from imug_tts.wandb_home import SETTINGS

__all__ = ["STEP", "ArmRun"]

STEP: Final = "step"
"""The series along which those of a training are drawn."""

_RECORDS: Final = ("turns.jsonl", "manifest.json", "summary.json", "config.yaml")
"""What goes into a run's artifact, of the files in its folder."""


@dataclass(kw_only=True)
class ArmRun:
    """Counts the turns of a run, or takes the steps of a training, and tells the writer how it stands."""

    plan: PlannedRun
    writer: WriterProcess
    account: Mapping[str, Any]
    """project, entity, mode and tags, as `wandb.init` takes them."""
    image_px: int
    series: Series
    sampled: SampledDialogues
    state: PointsState
    x: str = TURNS
    """The series along which all others are drawn."""
    next_point: float = 0.0
    """When the next point may be told, as `time.monotonic` counts."""
    _is_open: bool = False
    _has_new: bool = False
    """Whether this invocation answered a turn."""

    def take(self, record: Record, replayed: bool) -> None:
        """Count a turn."""
        self._has_new |= not replayed
        self.series.take(record)
        self.sampled.take(record)

    def point(self) -> None:
        """Tell how the run stands, unless an earlier invocation or another process has told it."""
        step = self.state.claim(self.series.turns)
        if step is not None:
            self._tell("row", row=self.series.row(), step=step)

    def finish(self, summary: Summary, interrupted: bool) -> None:
        """Tell the end: summary, sampled dialogues and records; nothing if that was told before."""
        if not self._has_new and (interrupted or self.state.ended):
            return
        self.point()
        # while another process has dialogues of the run in hand, that one tells the last end
        whole = not interrupted and sum(summary.outcomes.values()) + summary.unasked >= summary.planned
        self._tell(
            "end",
            step=self.state.end(whole, self.account),
            summary=self.series.row() | flat(summary.to_json() | {"interrupted": interrupted}, "final"),
            columns=COLUMNS,
            rows=self.sampled.rows(self.plan),
            panels=self.sampled.panels(self.plan),
            files=self._files() if whole else [],
            artifact=f"records-{self.state.id}",
        )

    def step(self, values: Mapping[str, Any]) -> None:
        """Tell a step of a training, unless an earlier invocation has told it."""
        self._has_new = True
        step = self.state.claim(values[STEP])
        if step is not None:
            self._tell("row", row=flat(values, ""), step=step)

    def finish_training(self, values: Mapping[str, Any]) -> None:
        """Tell the end of a training; nothing if that was told before."""
        if self._has_new or not self.state.ended:
            step = self.state.end(True, self.account)
            end: dict[str, Any] = {"columns": [], "rows": [], "panels": {}, "files": [], "artifact": ""}
            self._tell("end", step=step, summary=flat(values, "final"), **end)

    def _tell(self, what: str, **message: Any) -> None:
        if not self._is_open:
            self._is_open = True
            self.writer.send(
                {
                    "do": "open",
                    "run": self.plan.name,
                    "init": self._init(),
                    "settings": dict(SETTINGS),
                    "x": self.x,
                    "px": self.image_px,
                }
            )
        self.writer.send({"do": what, "run": self.plan.name, **message})

    def _init(self) -> dict[str, Any]:
        plan = self.plan
        config = {"study": plan.study, "run": plan.name, "planned_turns": plan.planned}
        config |= {"identity": plan.identity, "configuration": plan.config}
        words = {"id": self.state.id, "name": plan.title, "group": plan.study, "job_type": "arm"}
        return {**self.account, **words, "dir": str(plan.folder.resolve().parent), "config": config}

    def _files(self) -> list[str]:
        folder = self.plan.folder.resolve()
        return [str(folder / name) for name in _RECORDS if (folder / name).exists()]
