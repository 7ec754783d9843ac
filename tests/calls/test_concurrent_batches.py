"""A backbone with `concurrent_batches` = n gets up to n batches at once, and never more."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imug_tts.contracts import Backbone, BackboneError, Candidate, Capabilities, Request
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark, records, run
from imug_tts.testing.toys import CAPABILITIES, TableJudge, ToyBackbone

BEST_OF_4 = BestOfN(inner=Direct(), judge=TableJudge(scores={}), n=4)


class Fleet(Backbone):
    """Takes one call at a time on each of several servers, and counts how many it had at once."""

    identity = "toy"

    def __init__(self, servers: int) -> None:
        self.failing = False
        self.at_once = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.model = ToyBackbone()
        self._servers = servers

    @property
    def capabilities(self) -> Capabilities:
        return replace(CAPABILITIES, max_batch=1, concurrent_batches=self._servers)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        assert [len(request.seeds) for request in requests] == [1]
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        time.sleep(0.002)
        with self.lock:
            self.at_once -= 1
            if self.failing and requests[0].seeds[0] % 7 == 0:
                raise BackboneError("the server is away")
            return self.model.generate(requests)


@pytest.mark.parametrize("servers", [1, 3])
def test_as_many_calls_are_in_flight_as_the_backbone_takes(tmp_path: Path, servers: int) -> None:
    remote = Fleet(servers)
    run(tmp_path, BEST_OF_4, remote, benchmark=ToyBenchmark(num_samples=12))
    assert remote.most_at_once == servers


def test_records_do_not_depend_on_how_many(tmp_path: Path) -> None:
    run(tmp_path / "one", BEST_OF_4, ToyBackbone())
    run(tmp_path / "many", BEST_OF_4, Fleet(5))
    one, many = (records(tmp_path / name, without=["arm"]) for name in ("one", "many"))
    assert one == many


def test_calls_that_fail_fail_alone(tmp_path: Path) -> None:
    remote = Fleet(4)
    remote.failing = True
    summary = run(tmp_path, Direct(), remote, benchmark=ToyBenchmark(num_samples=12))
    assert 0 < summary.failed < summary.planned
    remote.failing = False
    assert run(tmp_path, Direct(), remote, benchmark=ToyBenchmark(num_samples=12)).missing == 0
