"""The tracker for wandb (Weights & Biases): one wandb run per arm, grouped by study.

A separate process talks to wandb, so that wandb's import, threads and exit handlers cannot slow, hang or stop
a study.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal

from imug_tts.contracts import ConfigurationError, PlannedRun, Record, Summary, Tracker
from imug_tts.knobs import Several, component, knob
from imug_tts.secrecy import refuse_secrets
from imug_tts.tracking.wandb.account import Account
from imug_tts.tracking.wandb.arm import STEP, ArmRun
from imug_tts.tracking.wandb.process import WriterProcess
from imug_tts.tracking.wandb.sampled import SampledDialogues
from imug_tts.tracking.wandb.series import Series
from imug_tts.tracking.wandb.state import PointsState
from imug_tts.wandb_home import FOLDER, PROJECT

__all__ = ["WandbTracker"]


@component
class WandbTracker(Tracker):
    """One wandb run per arm: progress, scores, cost, dialogues and records; offline without a key."""

    project: str = knob("The wandb project.", default=PROJECT, min_length=1, runtime=True)
    entity: str | None = knob(
        "The wandb user or team; null for the owner of the key.", default=None, runtime=True
    )
    mode: Literal["auto", "online", "offline", "shared"] = knob(
        "Mode of wandb; auto takes WANDB_MODE, else online with a key and offline without one. "
        "Online becomes shared if several processes work on one run.",
        default="auto",
        runtime=True,
    )
    tags: Several[str] = knob("Tags of every wandb run.", default=(), runtime=True)
    interval_s: float = knob(
        "Least seconds between two logged points of a run.", default=5.0, ge=0, runtime=True
    )
    dialogues: int = knob(
        "Dialogues of each run that are logged with images, candidates and verdicts.",
        default=4,
        ge=0,
        runtime=True,
    )
    image_px: int = knob(
        "Longest side of logged images; larger ones are scaled down.", default=512, ge=16, runtime=True
    )
    patience_s: int = knob(
        "Seconds that wandb may take to start, and to finish uploads after the last run.",
        default=300,
        ge=1,
        runtime=True,
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_state", _State({}, None))  # the class is frozen

    def start(self, runs: Sequence[PlannedRun]) -> None:
        if not runs:
            return
        if find_spec("wandb") is None:
            raise ConfigurationError("wandb is not installed; install it with: pip install wandb")
        for run in runs:
            refuse_secrets(run.config)
            refuse_secrets(run.identity)
        account = Account.of(self.mode)
        folder = runs[0].folder.resolve().parent / FOLDER
        if account.mode == "offline":
            _print(f"wandb: {account.reason}; upload the offline runs later with: wandb sync {folder}")
        writer = WriterProcess(
            folder,
            self.patience_s,
            lambda text: _print(f"wandb: {text}"),
            is_online=account.mode in ("online", "shared"),
        )
        arms = {run.name: self._arm(run, writer, account.mode) for run in runs}
        object.__setattr__(self, "_state", _State(arms, writer))

    def call(self, run: PlannedRun) -> None:
        self._now.arms[run.name].series.calls_made += 1

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        arm = self._now.arms[run.name]
        arm.take(record, replayed)
        if not replayed and time.monotonic() >= arm.next_point:
            arm.next_point = time.monotonic() + self.interval_s
            arm.point()

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        self._now.arms[run.name].finish(summary, interrupted)

    def start_training(self, runs: Sequence[PlannedRun]) -> None:
        self.start(runs)
        for arm in self._now.arms.values():
            arm.x = STEP

    def step(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        arm = self._now.arms[run.name]
        if time.monotonic() >= arm.next_point or values[STEP] == values["of"]:
            arm.next_point = time.monotonic() + self.interval_s
            arm.step(values)

    def finish_training(self, run: PlannedRun, values: Mapping[str, Any]) -> None:
        self._now.arms[run.name].finish_training(values)

    def close(self) -> None:
        writer = self._now.writer
        if writer is None:
            return
        try:
            writer.close()
        finally:
            if writer.has_failed:
                for arm in self._now.arms.values():
                    arm.state.reopen()

    @property
    def _now(self) -> _State:
        state: _State = vars(self)["_state"]
        return state

    def _arm(self, run: PlannedRun, writer: WriterProcess, mode: str) -> ArmRun:
        if mode == "online" and run.processes > 1:
            mode = "shared"  # otherwise each process would overwrite the points of the others
        return ArmRun(
            plan=run,
            writer=writer,
            account={"project": self.project, "entity": self.entity, "mode": mode, "tags": list(self.tags)},
            image_px=self.image_px,
            series=Series(run.planned),
            sampled=SampledDialogues(self.dialogues),
            state=PointsState.of(run),
        )


class _State:
    """The runs in execution by name, and the writer process."""

    def __init__(self, arms: dict[str, ArmRun], writer: WriterProcess | None) -> None:
        self.arms = arms
        self.writer = writer


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
