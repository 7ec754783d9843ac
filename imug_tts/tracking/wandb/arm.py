"""One run of a study as a wandb run."""

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
"""The series on the x axis of a training."""

_RECORDS: Final = ("turns.jsonl", "manifest.json", "summary.json", "config.yaml")
"""Files of a run's folder that become a wandb artifact."""


@dataclass(kw_only=True)
class ArmRun:
    """Counts the turns of a run, or takes the steps of a training, and sends them to the writer process."""

    plan: PlannedRun
    writer: WriterProcess
    account: Mapping[str, Any]
    """project, entity, mode and tags, as `wandb.init` takes them."""
    image_px: int
    series: Series
    sampled: SampledDialogues
    state: PointsState
    x: str = TURNS
    """The series on the x axis of all others."""
    next_point: float = 0.0
    """Time of `time.monotonic` from which on the next point may be logged."""
    _is_open: bool = False
    _has_new: bool = False
    """Whether this invocation answered a turn."""

    def take(self, record: Record, replayed: bool) -> None:
        """Add the record of a turn to the totals and to the sample of dialogues."""
        self._has_new |= not replayed
        self.series.take(record)
        self.sampled.take(record)

    def point(self) -> None:
        """Log the totals, unless another invocation or process has logged them."""
        step = self.state.claim(self.series.turns)
        if step is not None:
            self._send("row", row=self.series.row(), step=step)

    def finish(self, summary: Summary, interrupted: bool) -> None:
        """Log summary, sampled dialogues and records; nothing if an earlier invocation has logged them."""
        if not self._has_new and (interrupted or self.state.ended):
            return
        self.point()
        # if another process still plays dialogues of the run, that process logs the complete run
        whole = not interrupted and sum(summary.outcomes.values()) + summary.unasked >= summary.planned
        self._send(
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
        """Log a step of a training, unless an earlier invocation has logged it."""
        self._has_new = True
        step = self.state.claim(values[STEP])
        if step is not None:
            self._send("row", row=flat(values, ""), step=step)

    def finish_training(self, values: Mapping[str, Any]) -> None:
        """Log the end of a training; nothing if an earlier invocation has logged it."""
        if self._has_new or not self.state.ended:
            step = self.state.end(True, self.account)
            end: dict[str, Any] = {"columns": [], "rows": [], "panels": {}, "files": [], "artifact": ""}
            self._send("end", step=step, summary=flat(values, "final"), **end)

    def _send(self, what: str, **message: Any) -> None:
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
