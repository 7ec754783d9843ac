"""Models that share a device: loading, unloading for each other, and the message if nothing fits."""

from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from weakref import ref

import pytest

from imug_tts.calls.attempts import attempt
from imug_tts.calls.devices import DEVICES, Devices, local_models
from imug_tts.calls.memory import free_bytes, is_out_of_memory
from imug_tts.contracts import Backbone, BackboneError, Candidate, Request
from imug_tts.dialogue import Message, Text
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.local_toys import LocalToy, ToyDevice
from imug_tts.testing.runs import ToyBenchmark, records
from imug_tts.testing.toys import CAPABILITIES


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> ToyDevice:
    """A card of 10 bytes that the devices of this process know."""
    made = ToyDevice(10)
    monkeypatch.setattr(DEVICES, "free", made.free)
    return made


def request(name: str = "a", seeds: int = 1) -> Request:
    return Request(history=(Message("user", (Text(name),)),), modality="text", seeds=tuple(range(seeds)))


def ask(*models: LocalToy, seeds: int = 1) -> None:
    """Ask the models one after the other; all must answer."""
    for model in models:
        results = attempt(model, [request(seeds=seeds)])
        assert all(isinstance(result, Candidate) for result in results), results


def residents(card: ToyDevice, *weights: int) -> list[LocalToy]:
    return [LocalToy(identity="abc"[i], card=card, weights=each) for i, each in enumerate(weights)]


def test_models_that_fit_together_stay_loaded(card: ToyDevice) -> None:
    first, second = residents(card, 6, 4)
    ask(first, second, first, second)
    assert card.loads == ["a", "b"]
    assert first.is_loaded
    assert second.is_loaded


def test_a_model_makes_room_for_another_and_is_loaded_again(card: ToyDevice) -> None:
    first, second = residents(card, 6, 6)
    ask(first, second, second, first)
    assert card.loads == ["a", "b", "a"]
    assert not second.is_loaded


def test_the_model_used_longest_ago_goes_first_and_no_more_than_needed(card: ToyDevice) -> None:
    first, second, third = residents(card, 4, 4, 5)
    ask(first, second, first, third)
    assert [model.is_loaded for model in (first, second, third)] == [True, False, True]


def test_what_the_candidates_of_a_batch_take_counts(card: ToyDevice) -> None:
    first, second = residents(card, 4, 4)
    second.per_candidate = 1
    ask(first)
    ask(second, seeds=2)
    assert first.is_loaded
    ask(second, seeds=3)
    assert not first.is_loaded
    assert second.batches == [2, 3], "no batch was halved"


def test_models_on_other_devices_stay(card: ToyDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    other = ToyDevice(10)
    monkeypatch.setattr(DEVICES, "free", lambda device: (card if device == card.name else other).free(device))
    first, second = LocalToy(card=card), LocalToy(card=other)
    ask(first, second)
    assert first.is_loaded
    assert second.is_loaded


def test_a_device_whose_free_memory_is_unknown_takes_every_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEVICES, "free", lambda device: None)
    first, second = residents(ToyDevice(100), 60, 40)
    ask(first, second)
    assert first.is_loaded


def test_a_model_that_generates_is_waited_for(card: ToyDevice) -> None:
    first, second = residents(card, 6, 6)
    generates, may_end = threading.Event(), threading.Event()

    def dawdle() -> None:
        generates.set()
        assert may_end.wait(10)

    first.while_generating = dawdle
    with ThreadPoolExecutor(2) as workers:
        one = workers.submit(ask, first)
        assert generates.wait(10)
        other = workers.submit(ask, second)
        threading.Timer(0.2, may_end.set).start()
        one.result(timeout=10)
        other.result(timeout=10)
    assert card.loads == ["a", "b"]


def test_two_loaded_models_generate_at_the_same_time(card: ToyDevice) -> None:
    first, second = residents(card, 5, 5)
    ask(first, second)
    both = threading.Barrier(2, timeout=10)

    def meet() -> None:
        both.wait()

    first.while_generating = second.while_generating = meet
    with ThreadPoolExecutor(2) as workers:
        for done in [workers.submit(ask, first), workers.submit(ask, second)]:
            done.result(timeout=10)


@dataclass(frozen=True, kw_only=True)
class Pair(Backbone):
    """A model that has another one as a part."""

    inner: Backbone
    identity: str = "pair"
    capabilities = CAPABILITIES

    def generate(self, requests: list[Request]) -> list[list[Candidate]]:  # type: ignore[override]
        return self.inner.generate(requests)


def test_a_model_inside_another_makes_room_too(card: ToyDevice) -> None:
    first, second = residents(card, 6, 6)
    pair = Pair(inner=second)
    assert local_models(pair) == [second]
    ask(first)
    attempt(pair, [request()])
    assert second.is_loaded
    ask(first)
    assert not second.is_loaded


def arm_of(model: LocalToy, verifier: LocalToy) -> Arm:
    return Arm(
        backbone=model,
        roles={"verifier": verifier},
        strategy=BestOfN(n=4, inner=Direct(), judge=BackboneJudge()),
        benchmark=ToyBenchmark(num_samples=12),
    )


def played(arm: Arm, folder: Path) -> list[dict[str, object]]:
    execute([Run(arm=arm, folder=folder / "run", config={})], journal=folder / "journal")
    return records(folder / "run")


def test_an_arm_with_two_models_of_which_one_fits_gives_the_same_with_few_loads(
    card: ToyDevice, tmp_path: Path
) -> None:
    narrow = played(arm_of(*residents(card, 6, 6)), tmp_path / "narrow")
    num_loads = len(card.loads)
    card.total, card.used = 100, 0
    wide = played(arm_of(*residents(card, 6, 6)), tmp_path / "wide")
    assert narrow == wide
    assert {record["outcome"] for record in narrow} == {"scored"}
    # In each of four turns all dialogues draw, then all are judged: by a checklist, then by its questions.
    assert num_loads <= 4 * 2


def test_a_run_that_ends_does_not_wait_for_room(card: ToyDevice) -> None:
    first, second = residents(card, 6, 6)
    ask(first)
    held, waits = DEVICES.claim(first, is_busy=lambda: True), DEVICES.claim(second)
    _ = held.local
    threading.Timer(0.2, waits.stop).start()
    [result] = attempt(second, [request()], waits)
    assert isinstance(result, BackboneError)
    assert "the run stopped" in str(result)
    assert first.is_loaded


def test_a_batch_without_memory_unloads_the_others_before_it_is_halved(card: ToyDevice) -> None:
    first, second = residents(card, 4, 4)
    ask(first, second)
    shortages = iter([MemoryError("no room"), None])

    def fail_once() -> None:
        if (error := next(shortages)) is not None:
            raise error

    second.while_generating = fail_once
    ask(second, seeds=4)
    assert second.batches == [1, 4, 4]
    assert not first.is_loaded


def test_other_failures_unload_nothing(card: ToyDevice) -> None:
    first, second = residents(card, 4, 4)
    ask(first, second)

    def fail() -> None:
        raise ValueError("cannot")

    second.while_generating = fail
    attempt(second, [request()])
    assert first.is_loaded


def test_a_batch_that_does_not_fit_alone_is_halved(card: ToyDevice) -> None:
    model = LocalToy(card=card, weights=4, per_candidate=2)
    ask(model, seeds=8)
    assert model.batches == [8, 4, 2, 2, 4, 2, 2]


def test_one_candidate_that_does_not_fit_is_an_error_with_the_numbers(card: ToyDevice) -> None:
    model = LocalToy(card=card, weights=4, per_candidate=7)
    [result] = attempt(model, [request()])
    assert isinstance(result, BackboneError)
    for words in ("CUDA out of memory", card.name, "4 B for weights", "7 B for a candidate", "has 10 B"):
        assert words in str(result)
    assert "dtype" in str(result)


def test_memory_of_a_failed_batch_is_free_when_its_half_is_tried() -> None:
    class Tensor:
        pass

    held: list[ref[Tensor]] = []

    class Hoarder(LocalToy):
        def generate(self, requests: object) -> list[list[Candidate]]:
            tensor = Tensor()
            assert all(each() is None for each in held)
            held.append(ref(tensor))
            raise MemoryError

    gc.disable()
    try:
        results = attempt(Hoarder(card=ToyDevice(10)), [request(seeds=2)])
    finally:
        gc.enable()
    assert len(held) == 3
    assert all("MemoryError" in str(result) for result in results)


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
        (None, False),
    ],
)
def test_which_errors_are_shortages_of_memory(error: Exception | None, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one
    wrapped = BackboneError("the model failed")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped) == is_one


def test_torchs_own_error_is_a_shortage() -> None:
    import torch

    assert is_out_of_memory(torch.OutOfMemoryError("no"))


def test_free_memory_of_this_machine() -> None:
    free = free_bytes("cpu")
    assert free is not None
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert free_bytes("mps:0") is None


def test_room_counts_what_this_process_could_unload(card: ToyDevice) -> None:
    devices = Devices(card.free)
    model = LocalToy(card=card)
    attempt(model, [request()], devices.claim(model))
    assert card.free(card.name) == 4
    assert devices.capacity(card.name) == 10
