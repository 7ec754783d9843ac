"""A tracker that writes the events that it receives into a file, one per line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imug_tts.contracts import PlannedRun, Record, Summary, Tracker
from imug_tts.knobs import Folder, component, knob


@component
class Ledger(Tracker):
    """Appends every event to a file as JSON."""

    file: Folder = knob("The file of the events.", default=Path("ledger.jsonl"), runtime=True)

    def start(self, runs: Sequence[PlannedRun]) -> None:
        self._write(event="start", runs=[run.name for run in runs], turns=sum(run.planned for run in runs))

    def turn(self, run: PlannedRun, record: Record, replayed: bool) -> None:
        self._write(event="turn", run=run.name, turn=record["turn"], outcome=record["outcome"])

    def finish(self, run: PlannedRun, summary: Summary, interrupted: bool) -> None:
        self._write(event="finish", run=run.name, scored=summary.scored, scores=dict(summary.scores))

    def _write(self, **event: Any) -> None:
        with self.file.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(event)}\n")
