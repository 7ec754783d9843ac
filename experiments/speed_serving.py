"""Speed of the /infer client: servers of fixed latency on this machine, a whole run through the engine.

Each server processes one call at a time; by default the client keeps a second call queued there. `time over
ideal` is the time from the first to the last dialogue, divided by the ideal time: the number of calls divided
by the sum of the servers' rates. `experiments/speed.py` compares these figures with their targets; this file
prints more detail:

    python experiments/speed_serving.py
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from experiments.speed_process import finish
from imug_tts.testing.infer_servers import process, stats, unused_url

__all__ = [
    "client_peak_mb",
    "four_servers_over_ideal",
    "one_dead_of_four_over_ideal",
    "one_server_over_ideal",
    "one_slow_of_four_over_ideal",
]

SAMPLES = 200
LATENCY_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Played:
    """A run that ended. `calls` are the calls that reached each server."""

    planned: int
    scored: int
    calls: Sequence[int]
    seconds: float
    peak_mb: float


def one_server_over_ideal() -> float:
    """Time over ideal with one server of 20 ms."""
    return _time_over_ideal([LATENCY_S])


def four_servers_over_ideal() -> float:
    """Time over ideal with four servers of 20 ms."""
    return _time_over_ideal([LATENCY_S] * 4)


def one_slow_of_four_over_ideal() -> float:
    """Time over the ideal of the mix, with three servers of 20 ms and one of 100 ms."""
    return _time_over_ideal([LATENCY_S] * 3 + [5 * LATENCY_S])


def one_dead_of_four_over_ideal() -> float:
    """Time over the ideal of three servers, with no server at a fourth address."""
    return _time_over_ideal([LATENCY_S] * 3, dead=1)


def client_peak_mb() -> float:
    """Peak resident memory of the run's process in MB: pictures of 1.6 MB, 200 dialogues in flight."""
    with process(LATENCY_S, 1.6) as first, process(LATENCY_S, 1.6) as second:
        return _play([first, second]).peak_mb


def _time_over_ideal(latencies_s: Sequence[float], dead: int = 0) -> float:
    """The minimum of three runs: other load of the machine only adds time."""
    return min(_time_of_a_run_over_ideal(latencies_s, dead) for _ in range(3))


def _time_of_a_run_over_ideal(latencies_s: Sequence[float], dead: int) -> float:
    with ExitStack() as stack:
        urls = [stack.enter_context(process(latency_s)) for latency_s in latencies_s]
        played = _play([*urls, *(unused_url() for _ in range(dead))], counted=urls)
    if played.scored < played.planned:
        raise RuntimeError(f"{played.planned - played.scored} turns were lost")
    over_ideal = played.seconds * sum(1 / latency_s for latency_s in latencies_s) / sum(played.calls)
    print(f"  {over_ideal:.3f}; {played}", file=sys.stderr)
    return over_ideal


def _play(urls: Sequence[str], counted: Sequence[str] = ()) -> Played:
    """The results of a run of the pocket world's dialogues in a process of its own."""
    done = finish(__file__, "play", *urls)
    client = json.loads(done.stdout)
    return Played(**client, peak_mb=done.peak_mb, calls=[stats(url).total() for url in counted])


def _play_here(urls: Sequence[str]) -> None:
    """Run the dialogues and print the run's own results."""
    from imug_tts import Direct, PocketWorld
    from imug_tts.backbones.imug_server import ImugServerBackbone
    from imug_tts.runs import Arm, Run, execute

    arm = Arm(
        backbone=ImugServerBackbone(urls=tuple(urls), model="fake"),
        strategy=Direct(),
        benchmark=PocketWorld(num_samples=SAMPLES),
    )
    with tempfile.TemporaryDirectory() as folder:
        run = Run(arm=arm, folder=Path(folder, "run"), config={})
        journal = Path(folder, "journal")
        [summary] = execute([run], journal=journal, in_flight=SAMPLES)
    client = {"planned": summary.planned, "scored": summary.scored, "seconds": summary.seconds}
    print(json.dumps(client))


def main() -> None:
    for name in __all__:
        print(f"{name:30} {globals()[name]():8.3f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["play"]:
        _play_here(sys.argv[2:])
    else:
        main()
