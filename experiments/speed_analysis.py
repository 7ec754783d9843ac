"""Speed and memory of the analysis: the bootstrap kernel, and a complete analysis of 120,000 turns.

Figures of `experiments/speed.py`. Seconds are CPU seconds, which other programs do not affect.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.speed_process import Finished, finish

NUM_SAMPLES, NUM_TURNS, NUM_ROWS = 3113, 6, 120_000
DECAY = {"direct": 0.05, "cot": 0.03, "self_verify": 0.04, "bon4": 0.04, "bon8": 0.035, "bon16": 0.03}


def bootstrap_cpu_s() -> float:
    """CPU seconds of 10,000 resamples of 3,113 samples for 15 statistics, with draws and without imports."""
    from analysis.bootstrap import Bootstrap
    from analysis.inference import Inference
    from analysis.statistic import mean

    rng = np.random.default_rng(0)
    statistics = {str(i): mean(rng.random((NUM_SAMPLES, NUM_TURNS))) for i in range(15)}
    strata = tuple("abc"[number % 3] for number in range(NUM_SAMPLES))
    inference = Inference(clusters=np.arange(NUM_SAMPLES), bootstrap=Bootstrap(strata=strata))
    inference.closed_form(statistics["0"])
    started = time.process_time()
    inference.estimates(statistics)
    return time.process_time() - started


def analysis_cpu_s() -> float:
    """CPU seconds of `python -m analysis` on 120,000 turns: numbers, tables, figures and page."""
    return _whole_analysis().cpu_s


def analysis_peak_mb() -> float:
    """Peak memory of `python -m analysis` on 120,000 turns, in MiB."""
    return _whole_analysis().peak_mb


@cache
def _whole_analysis() -> Finished:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "runs.csv")
        _write(path)
        return finish("-m", "analysis", path, "--out", f"{folder}/out")


def _write(path: Path) -> None:
    rows = list(_rows())[:NUM_ROWS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _rows() -> Iterator[dict[str, Any]]:
    """Rows of dialogues with different lengths in 97 tasks, own and gold history, image turns."""
    rng = np.random.default_rng(0)
    for number in range(NUM_SAMPLES):
        base, length = rng.normal(0.75, 0.1), int(rng.integers(1, NUM_TURNS + 1))
        task = number % 97
        sample = {
            "class": "abc"[task % 3],
            "domain": f"d{task % 19}",
            "task": f"t{task}",
            "sample_id": number,
        }
        for strategy, decay in DECAY.items():
            for turn in range(1, length + 1):
                for history, fall in (("own", decay), ("gold", 0.01))[: 1 + (turn > 1)]:
                    score = min(1.0, max(0.0, base - fall * (turn - 1) + rng.normal(0, 0.12)))
                    shown = {"turn": turn, "modality": "image", "history": history, "score": round(score, 4)}
                    yield {"strategy": strategy, "seed": 0, **sample, **shown, "nfe": 50, "seconds": 6.0}
