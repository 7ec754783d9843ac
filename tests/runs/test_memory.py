"""Weights that do not fit are refused before any of them is loaded; dry runs report the need for memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from experiments.dry_run import print_plans
from imug_tts.calls.devices import DEVICES
from imug_tts.contracts import ConfigurationError
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import Direct
from imug_tts.testing.local_toys import LocalToy, ToyDevice
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import CAPABILITIES

GB = 1000**3


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> ToyDevice:
    """A card of 24 GB that the devices of this process know."""
    made = ToyDevice(24 * GB)
    monkeypatch.setattr(DEVICES, "free", made.free)
    return made


def run_of(model: LocalToy, folder: Path) -> Run:
    arm = Arm(backbone=model, strategy=Direct(), benchmark=ToyBenchmark(num_samples=1))
    return Run(arm=arm, folder=folder / "run", config={}, title="an arm")


def test_weights_that_do_not_fit_are_refused_with_the_numbers(card: ToyDevice, tmp_path: Path) -> None:
    model = LocalToy(card=card, weights=29 * GB)
    with pytest.raises(ConfigurationError) as refused:
        execute([run_of(model, tmp_path)], journal=tmp_path / "journal")
    for words in (
        "generator",
        "LocalToy",
        "29.0 GB",
        f"{card.name} has 24.0 GB",
        "dtype=bfloat16",
        "device_map",
    ):
        assert words in str(refused.value)
    assert not list(tmp_path.iterdir())
    assert model.batches == []


def test_two_models_that_fit_one_after_the_other_are_no_mistake(card: ToyDevice, tmp_path: Path) -> None:
    first, second = (LocalToy(identity=name, card=card, weights=20 * GB) for name in "ab")
    for model in (first, second):
        execute([run_of(model, tmp_path / model.identity)], journal=tmp_path / "journal")
    assert card.loads == ["a", "b"]


def test_a_run_that_is_over_needs_no_room(card: ToyDevice, tmp_path: Path) -> None:
    model = LocalToy(card=card, weights=20 * GB)
    execute([run_of(model, tmp_path)], journal=tmp_path / "journal")
    model.unload()
    card.total = 10 * GB
    [summary] = execute([run_of(model, tmp_path)], journal=tmp_path / "journal")
    assert summary.scored == 4


def test_weights_that_accelerate_spreads_need_not_fit_one_device(card: ToyDevice, tmp_path: Path) -> None:
    class Spread(LocalToy):
        is_spread = True

    model = Spread(card=card, weights=29 * GB)
    card.take = lambda count: None  # type: ignore[method-assign]
    [summary] = execute([run_of(model, tmp_path)], journal=tmp_path / "journal")
    assert summary.scored == 4


def facts_of(model: LocalToy, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert print_plans([run_of(model, folder)]) == 0
    return capsys.readouterr().out


def test_a_dry_run_says_what_a_model_takes_and_sees(
    card: ToyDevice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sees = replace(
        CAPABILITIES, context_images=3, logits=False, limits=("It was not trained to edit images.",)
    )
    model = LocalToy(card=card, weights=20 * GB, per_candidate=GB // 2, capabilities=sees)
    said = facts_of(model, tmp_path, capsys)
    assert (
        f"LocalToy on {card.name} (24.0 GB free): 20.0 GB of weights, 0 B a turn, 500.0 MB a candidate"
        in said
    )
    assert "batches of up to 8 of max_batch=16 fit" in said
    assert "writes image and text; reads images; draws from the newest 3 images of the history" in said
    assert "seeds exact; no P(yes)" in said
    assert "It was not trained to edit images." in said
    assert model.batches == []


def test_a_dry_run_says_that_weights_do_not_fit(
    card: ToyDevice, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "THAT DOES NOT FIT" in facts_of(LocalToy(card=card, weights=30 * GB), tmp_path, capsys)


def test_a_dry_run_on_a_machine_without_the_device_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = ToyDevice(24 * GB)
    card.name = "cuda:99"
    model = LocalToy(card=card)
    said = facts_of(model, tmp_path, capsys)
    assert "cuda:99, which cannot be used here: there is no device cuda:99; PyTorch finds here: cpu" in said
