"""One process of several that work on a run.

It answers a toy benchmark slowly, and keeps a diary of when it asked about which dialogue.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imug_tts.contracts import Candidate, Request
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Arm, Run, Share, execute
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone

__all__ = ["DIALOGUES", "Slow", "arm", "work"]

DIALOGUES = 24
_PAUSE_S = 0.02


@dataclass
class Slow(ToyBackbone):
    """Takes its time for every batch."""

    diary: Path | None = field(default=None, init=False)
    """A line for each dialogue of a batch: its name, and when the batch began and ended."""

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        if self.diary is None:
            return super().generate(requests)
        began = time.monotonic()
        time.sleep(_PAUSE_S)
        answered = super().generate(requests)
        asked = {
            match for request in requests for match in re.findall(r"turn \d of (\d+)", str(request.history))
        }
        with self.diary.open("a") as diary:
            for dialogue in sorted(asked):
                diary.write(json.dumps([dialogue, began, time.monotonic()]) + "\n")
        return answered


def arm(backbone: ToyBackbone) -> Arm:
    return Arm(
        backbone=backbone,
        strategy=BestOfN(n=3, judge=BackboneJudge(), inner=Direct()),
        benchmark=ToyBenchmark(num_samples=DIALOGUES),
    )


def work(folder: Path, shards: int, shard: int | None = None) -> None:
    """Work on the run in `folder`, two dialogues at a time."""
    model = Slow()
    model.diary = folder.parent / f"{os.getpid()}.diary"
    run = Run(arm=arm(model), folder=folder, config={})
    share = Share(shard=shard, shards=shards)
    [summary] = execute([run], journal=folder / "journal", in_flight=2, share=share)
    sys.exit(1 if summary.missing else 0)
