"""The training loop on a tiny student: batches, memory that does not suffice, checkpoints, failures."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator  # type: ignore[import-untyped]

from imug_tts.contracts import ConfigurationError, StorageError
from imug_tts.training.data import Record, read_records
from imug_tts.training.distiller import Distiller, Report
from imug_tts.training.encoding import Encoder
from imug_tts.training.method import Method, Signal
from imug_tts.training.models import load_student
from imug_tts.training.settings import TrainingSettings
from imug_tts.training.trainer import CHECKPOINT, LOG, Trainer, TrainingFailed, rate_at
from tests.training.tiny import write_models, write_triad

CPU = torch.device("cpu")
SUPERVISED: Mapping[str, Any] = {
    **dict.fromkeys(("perception", "reasoning", "planning"), Signal()),
    "projection": "none",
    "reweight": False,
}
Change = Callable[[Trainer], None]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_models(folder, "internvl3", teachers=0)
    write_triad(folder / "data", 5)
    return folder


def trainer(models: Path, folder: Path, method: Method | None = None, **settings: Any) -> Trainer:
    """A student on hard labels alone."""
    method = method or Method(**SUPERVISED)
    student = load_student(models / "student", method, dtype=torch.float32, device=CPU, train_vision=False)
    chosen: dict[str, Any] = {"precision": "float32", "image_px": 16, "learning_rate": 1e-3} | settings
    return Trainer(
        distiller=Distiller(method, student),
        records=read_records(models / "data" / "triad.jsonl"),
        encoder=Encoder(models / "student", student.model.config, 16),
        settings=TrainingSettings(**chosen),
        seed=0,
        folder=folder,
        identity="one",
        accelerator=Accelerator(cpu=True),
    )


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LOG).read_text().splitlines()]


def weights_of(one: Trainer) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in one.parameters.values()]


def failing(one: Trainer, monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
    """Memory does not suffice for the calls of which `fails` is true, counted from 0."""
    calls, real = iter(range(1000)), Distiller.gradient

    def gradient(self: Distiller, *given: Any) -> tuple[Any, Report]:
        if fails(next(calls)):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, *given)

    monkeypatch.setattr(Distiller, "gradient", gradient)


def test_the_last_batch_is_divided_by_its_true_size(models: Path, tmp_path: Path) -> None:
    norms = []
    for name, as_released in (("own", False), ("released", True)):
        method = Method(**SUPERVISED, as_released=as_released)
        trainer(models, tmp_path / name, method, batch=4, max_norm=1e9).train()
        first, last = log_of(tmp_path / name)
        assert (first["records"], last["records"], last["of"]) == (4, 1, 2)
        norms.append((first["gradient_norm"], last["gradient_norm"]))
    assert norms[0][0] == pytest.approx(norms[1][0])
    assert norms[0][1] == pytest.approx(4 * norms[1][1], rel=1e-4)


def test_only_the_language_model_is_trained_unless_asked(models: Path, tmp_path: Path) -> None:
    assert all("language_model" in name for name in trainer(models, tmp_path).parameters)
    whole = load_student(
        models / "student", Method(**SUPERVISED), dtype=torch.float32, device=CPU, train_vision=True
    )
    assert any("vision_tower" in name for name in Distiller(Method(**SUPERVISED), whole).trained())


def test_a_record_that_does_not_fit_is_counted_and_the_others_keep_their_gradients(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = trainer(models, tmp_path, batch=3, max_steps=1)
    places = one._places(0)
    expected: list[torch.Tensor | None] = [None] * len(one.parameters)
    for number in (0, 2):
        record: Record = one.records[places[number]]
        gradient, _ = one.distiller.gradient(
            one.encoder.encode(record), record.question_type, one.weights.now(), random.Random(0)
        )
        for slot, own in enumerate(gradient):
            held = expected[slot]
            expected[slot] = own if held is None else held if own is None else held + own
    norm = math.sqrt(sum(float((own / 2).square().sum()) for own in expected if own is not None))
    failing(one, monkeypatch, lambda call: call == 1)
    progress = one.train()
    (step,) = log_of(tmp_path)
    assert (progress.records, progress.skipped, step["records"], step["skipped"]) == (2, 1, 2, 1)
    assert step["gradient_norm"] == pytest.approx(norm, rel=1e-5)


def test_training_stops_with_a_reason(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = trainer(models, tmp_path / "nan")
    next(iter(broken.parameters.values())).data.fill_(math.nan)
    with pytest.raises(TrainingFailed, match=r"the loss labels is nan at step 1, record \d"):
        broken.train()
    full = trainer(models, tmp_path / "full")
    failing(full, monkeypatch, lambda call: True)
    with pytest.raises(TrainingFailed, match="none of the 4 records of the first step fits into memory; set"):
        full.train()


def test_a_checkpoint_goes_on_with_the_same_next_step(models: Path, tmp_path: Path) -> None:
    whole = trainer(models, tmp_path / "whole", epochs=2, schedule="cosine", warmup_steps=1)
    whole.train()
    parts = tmp_path / "parts"
    cut = trainer(models, parts, epochs=2, schedule="cosine", warmup_steps=1, save_every=3)
    cut.tell = stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    with (parts / LOG).open("a") as log:
        log.write('{"step": 4, "cut')
    again = trainer(models, parts, epochs=2, schedule="cosine", warmup_steps=1, save_every=3)
    assert again.progress.step == 3
    again.train()
    for one, other in zip(weights_of(whole), weights_of(again), strict=True):
        assert torch.equal(one, other)
    assert log_of(parts) == log_of(tmp_path / "whole")


def stop_after(steps: int) -> Callable[[Mapping[str, Any]], None]:
    """Interrupt in the step after the checkpoint."""

    def tell(report: Mapping[str, Any]) -> None:
        if report["step"] > steps:
            raise KeyboardInterrupt

    return tell


def test_a_checkpoint_of_another_training_a_damaged_one_and_a_failed_write_are_said(
    models: Path, tmp_path: Path
) -> None:
    trainer(models, tmp_path).train()
    other = trainer(models, tmp_path / "new")
    other.folder, other.identity = tmp_path, "two"
    with pytest.raises(ConfigurationError, match=r"is of another training: its configuration"):
        other.__post_init__()
    (tmp_path / CHECKPOINT).write_bytes(b"half")
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*; remove it to begin anew"):
        trainer(models, tmp_path)
    blocked = trainer(models, tmp_path / "blocked")
    (tmp_path / "blocked" / CHECKPOINT / "in the way").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"cannot write to .*blocked"):
        blocked.train()


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.505]),
        ("cosine", [0.5, 1, 1, 0.855, 0.505]),
    ],
)
def test_rates_rise_and_fall(schedule: str, expected: list[float]) -> None:
    settings = TrainingSettings(learning_rate=1.0, schedule=schedule, warmup_steps=2)  # type: ignore[arg-type]
    rates = [rate_at(settings, step, 6) for step in range(5)]
    assert rates == pytest.approx(expected, abs=3e-3)
