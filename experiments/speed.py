"""Speed and memory figures, each measured by one invocation on one machine.

    python experiments/speed.py [NAME ...] [--json FILE]

Prints each figure with its target; the exit status is 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from imug_tts import PocketBackbone
    from imug_tts.contracts import Strategy

ROOT = Path(__file__).parents[1]
RUN = ROOT / "experiments" / "run.py"
DIALOGUES = 64


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A performance figure: the function that measures it, and its target."""

    measure: Callable[[], float]
    bound: Literal["at least", "at most"]
    target: float

    def met(self, value: float) -> bool:
        return value >= self.target if self.bound == "at least" else value <= self.target


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds of a run from its first to its last dialogue, and the seconds inside forward passes."""

    seconds: float
    forward_seconds: float


def engine_vs_sequential() -> float:
    """Speedup of the engine over one dialogue at a time with transformers' `generate`."""
    return _sequential_seconds() / _direct(DIALOGUES).seconds


def best_of_8_vs_direct() -> float:
    """Time of self-judged Best-of-8 divided by that of direct, on the same 16 dialogues.

    With many more dialogues direct fills its batches by itself, and the ratio measures arithmetic only.
    """
    from imug_tts import BackboneJudge, BestOfN, Direct

    best = _run(BestOfN(n=8, judge=BackboneJudge(), inner=Direct()), 16)
    return best.seconds / _direct(16).seconds


def outside_forward_share() -> float:
    """Share of the wall time of a direct run without a running forward pass."""
    timed = _direct(300)
    return 1 - timed.forward_seconds / timed.seconds


def resume_finished_s() -> float:
    """Seconds of an invocation on a complete run of 300 dialogues."""
    with tempfile.TemporaryDirectory() as folder:
        command = [RUN, "tracking=none", f"output={folder}/run"]
        _process_seconds(*command)
        return _process_seconds(*command)


def help_s() -> float:
    """Seconds of `--help`; the minimum of three."""
    return min(_process_seconds(RUN, "--help") for _ in range(3))


def demo_peak_mb() -> float:
    """Peak resident memory of the demo's sweep, in MB."""
    from experiments.speed_process import finish

    with tempfile.TemporaryDirectory() as folder:
        return finish(RUN, "-m", "experiment=demo", f"output={folder}/demo", "tracking=none").peak_mb


def of(module: str, name: str) -> Callable[[], float]:
    """The figure `name` of a module in this folder, which is imported when the figure is measured."""

    def measure() -> float:
        figure: Callable[[], float] = getattr(import_module(f"experiments.{module}"), name)
        return figure()

    return measure


FIGURES = {
    "engine_vs_sequential": Figure(measure=engine_vs_sequential, bound="at least", target=5),
    "best_of_8_vs_direct": Figure(measure=best_of_8_vs_direct, bound="at most", target=4),
    "outside_forward_share": Figure(measure=outside_forward_share, bound="at most", target=0.15),
    "resume_finished_s": Figure(measure=resume_finished_s, bound="at most", target=3),
    "help_s": Figure(measure=help_s, bound="at most", target=1.5),
    "demo_peak_mb": Figure(measure=demo_peak_mb, bound="at most", target=2048),
    "bootstrap_cpu_s": Figure(measure=of("speed_analysis", "bootstrap_cpu_s"), bound="at most", target=2),
    "analysis_cpu_s": Figure(measure=of("speed_analysis", "analysis_cpu_s"), bound="at most", target=40),
    "analysis_peak_mb": Figure(
        measure=of("speed_analysis", "analysis_peak_mb"), bound="at most", target=1024
    ),
    "one_server": Figure(measure=of("speed_serving", "one_server_over_ideal"), bound="at most", target=1.10),
    "four_servers": Figure(
        measure=of("speed_serving", "four_servers_over_ideal"), bound="at most", target=1.15
    ),
    "one_slow_of_four": Figure(
        measure=of("speed_serving", "one_slow_of_four_over_ideal"), bound="at most", target=1.25
    ),
    "one_dead_of_four": Figure(
        measure=of("speed_serving", "one_dead_of_four_over_ideal"), bound="at most", target=1.4
    ),
    "image_judging": Figure(measure=of("speed_judging", "judging_over_ideal"), bound="at most", target=1.15),
    "tracking_overhead": Figure(
        measure=of("speed_tracking", "tracking_overhead"), bound="at most", target=0.03
    ),
    "tracking_cpu_overhead": Figure(
        measure=of("speed_tracking", "tracking_cpu_overhead"), bound="at most", target=0.03
    ),
    "launched_over_in_process": Figure(
        measure=of("speed_launching", "launched_over_in_process"), bound="at most", target=1.15
    ),
    "rule_scoring_s": Figure(measure=of("speed_judging", "rule_scoring_s"), bound="at most", target=5),
    "journal_index_cpu_s": Figure(
        measure=of("speed_scale", "journal_index_cpu_s"), bound="at most", target=10
    ),
    "journal_start_cpu_s": Figure(
        measure=of("speed_scale", "journal_start_cpu_s"), bound="at most", target=10
    ),
    "journal_start_mb": Figure(measure=of("speed_scale", "journal_start_mb"), bound="at most", target=500),
    "resume_peak_mb": Figure(measure=of("speed_scale", "resume_peak_mb"), bound="at most", target=200),
    "resume_study_cpu_s": Figure(measure=of("speed_scale", "resume_study_cpu_s"), bound="at most", target=30),
    "status_cpu_s": Figure(measure=of("speed_scale", "status_cpu_s"), bound="at most", target=30),
    "dry_run_cpu_s": Figure(measure=of("speed_scale", "dry_run_cpu_s"), bound="at most", target=60),
    "dry_run_mb": Figure(measure=of("speed_scale", "dry_run_mb"), bound="at most", target=500),
    "janus_best_of_8": Figure(measure=of("speed_native", "janus_best_of_8"), bound="at least", target=2),
    "emu3_best_of_8": Figure(measure=of("speed_native", "emu3_best_of_8"), bound="at least", target=2),
    "janus_second_turn": Figure(
        measure=of("speed_native", "janus_second_turn"), bound="at least", target=0.6
    ),
    "emu3_second_turn": Figure(measure=of("speed_native", "emu3_second_turn"), bound="at least", target=0.6),
    "bagel_best_of_8": Figure(measure=of("speed_native", "bagel_best_of_8"), bound="at least", target=2),
    "bagel_second_turn": Figure(
        measure=of("speed_native", "bagel_second_turn"), bound="at least", target=0.6
    ),
    "drive_kd_step": Figure(
        measure=of("speed_training", "drive_kd_step_over_ideal"), bound="at most", target=1.3
    ),
    "drive_kd_memory": Figure(
        measure=of("speed_training", "map_memory_over_full"), bound="at most", target=0.5
    ),
    "client_peak_mb": Figure(measure=of("speed_serving", "client_peak_mb"), bound="at most", target=400),
}


def _process_seconds(*command: object) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - started


@cache
def _direct(num_dialogues: int) -> Timed:
    from imug_tts import Direct

    return _run(Direct(), num_dialogues)


def _run(strategy: Strategy, num_dialogues: int) -> Timed:
    """The times of a run through the engine with an empty prefix cache and a new journal; weights are loaded
    before.
    """
    from imug_tts import PocketWorld
    from imug_tts.runs import Arm, Run, execute

    backbone = _loaded_backbone()
    arm = Arm(backbone=backbone, strategy=strategy, benchmark=PocketWorld(num_samples=num_dialogues))
    with tempfile.TemporaryDirectory() as folder:
        run = Run(arm=arm, folder=Path(folder, "run"), config={})
        forward = backbone.forward_seconds
        [summary] = execute([run], journal=Path(folder, "journal"))
        return Timed(seconds=summary.seconds, forward_seconds=backbone.forward_seconds - forward)


def _loaded_backbone() -> PocketBackbone:
    from imug_tts import Conversation, Direct, PocketBackbone

    backbone = PocketBackbone()
    Conversation(backbone, Direct()).say("draw a red star at b2", modality="image")
    return backbone


def _sequential_seconds() -> float:
    """Seconds of the dialogues one at a time; each turn is one `generate` of transformers."""
    from experiments.plain_generate import PlainPocket
    from imug_tts import PocketWorld

    model, samples = PlainPocket(), PocketWorld(num_samples=DIALOGUES).samples()
    model.play(samples[0])
    started = time.perf_counter()
    for sample in samples:
        model.play(sample)
    return time.perf_counter() - started


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    command = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    command.add_argument("names", nargs="*", metavar="NAME", help=f"figures to measure: {', '.join(FIGURES)}")
    command.add_argument("--json", type=Path, help="also write {name: {value, target, met}} to this file")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser()
    options = command.parse_args(arguments)
    unknown = set(options.names) - FIGURES.keys()
    if unknown:
        command.error(f"there is no figure {', '.join(sorted(unknown))}; choose from {', '.join(FIGURES)}")
    results: dict[str, dict[str, Any]] = {}
    for name in options.names or FIGURES:
        figure = FIGURES[name]
        value = figure.measure()
        results[name] = {"value": value, "target": figure.target, "met": figure.met(value)}
        verdict = "met" if figure.met(value) else "MISSED"
        print(f"{name:24} {value:10.3f}   {figure.bound} {figure.target:g}   {verdict}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if all(result["met"] for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
