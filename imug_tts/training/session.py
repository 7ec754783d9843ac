"""One distillation: check the settings, train the student, save it and measure its held-out loss."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch

from imug_tts.backbones.native.checkpoint import folder_identity, read_json
from imug_tts.contracts import ConfigurationError
from imug_tts.files import storage_errors, write_atomically
from imug_tts.training.data import Capability, Record, read_records, split_by_images
from imug_tts.training.distiller import Distiller, hidden_projections
from imug_tts.training.encoding import Encoder
from imug_tts.training.evaluation import HeldOut, held_out_losses
from imug_tts.training.models import (
    PRECISIONS,
    Reader,
    check_pair,
    check_tokens,
    config_of,
    load_student,
    load_teacher,
    weight_files,
)
from imug_tts.training.settings import DistillSettings
from imug_tts.training.trainer import CHECKPOINT, StepReport, Trainer

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

__all__ = ["METRICS", "STUDENT", "Plan", "Planner", "distill"]

STUDENT: Final = "student"
METRICS: Final = "metrics.json"
_BEFORE: Final = "held_out_before.json"
_COPIED: Final = ("tokenizer*", "*.jinja", "*processor*.json", "vocab.json", "merges.txt", "*_tokens*.json")
"""Files of a model folder that are copied unchanged; weights and configuration are written anew."""


@dataclass(frozen=True)
class Plan:
    """A distillation whose settings, models and records are checked."""

    settings: DistillSettings
    records: list[Record]
    held_out: list[Record]
    teachers: Mapping[Capability, Path]
    """The folder of the teacher of each capability that needs one."""

    @cached_property
    def inputs(self) -> dict[str, str]:
        """The digests of models and records. They do not depend on file paths."""
        folders = {"student": self.settings.student} | {f"teacher {k}": v for k, v in self.teachers.items()}
        known = {folder: folder_identity(folder, weight_files(folder)) for folder in folders.values()}
        return {
            **{name: known[folder] for name, folder in folders.items()},
            "records": _digest(self.records),
            "held_out": _digest(self.held_out),
        }


class Planner:
    """Checks the distillations of one study; a file that several of them use is read once."""

    def __init__(self) -> None:
        self._read = cache(read_records)
        self._checked: set[object] = set()

    def plan(self, settings: DistillSettings) -> Plan:
        """Check everything that can be checked without loading weights.

        Raises:
            ConfigurationError: a setting, model or record is wrong; the message says what to do.
        """
        method = settings.method
        records = self._read(settings.data)
        if settings.held_out is not None:
            held_out = self._read(settings.held_out)
        else:
            records, held_out = split_by_images(records, settings.held_out_share)
        chosen = [record for record in records if record.question_type in method.records]
        if not chosen:
            raise ConfigurationError(
                f"data: {settings.data} has no record to train on of {', '.join(method.records)}; look at "
                "question_type, method.records and held_out_share"
            )
        config_of(settings.student, "student")
        teachers = _teachers(settings)
        shown = next((record for record in chosen if record.images), chosen[0])
        for folder in dict.fromkeys(teachers.values()):
            signals = {name: one for name, one in method.signals.items() if teachers[name] == folder}
            check_pair(settings.student, folder, signals)
            place = (settings.student, folder, settings.training.image_px, settings.data)
            if place not in self._checked:
                check_tokens(settings.student, folder, shown, settings.training.image_px)
                self._checked.add(place)
        return Plan(settings, chosen, held_out, teachers)


def distill(
    plan: Plan,
    folder: Path,
    identity: str,
    arm: str,
    accelerator: Accelerator,
    tell: Callable[[StepReport], None] = lambda report: None,
) -> Mapping[str, Any]:
    """Train the student, save it and measure its held-out loss. If that is already done, return its metrics.

    Args:
        plan: the checked distillation.
        folder: the folder of this training, for `student/`, `metrics.json`, `training.jsonl` and checkpoint.
        identity: the identity of the training; a folder that holds another training is refused.
        arm: identity without the seed: trainings that differ only in their seed have the same arm.
        accelerator: the processes and devices to train on.
        tell: called with the report of every step.

    Returns:
        The content of metrics.json.

    Raises:
        ConfigurationError: the folder holds another training, or a model cannot be loaded.
        TrainingFailed: training cannot go on.
        StorageError: something could not be written.
    """
    known = _finished(folder, identity)
    if known is not None:
        return known
    before = _before(plan, folder, identity, accelerator)
    trainer = _trainer(plan, folder, identity, accelerator, tell)
    progress = trainer.train()
    if accelerator.is_main_process:
        _save_student(trainer.distiller.student, plan.settings.student, folder / STUDENT)
    accelerator.wait_for_everyone()
    del trainer
    after = held_out_losses(folder / STUDENT, plan.held_out, plan.settings.training.image_px, accelerator)
    metrics = {
        "identity": identity,
        "arm": arm,
        "method": plan.settings.method.title,
        "seed": plan.settings.seed,
        "steps": progress.step,
        "records_used": progress.records,
        "records_skipped_out_of_memory": progress.skipped,
        "seconds": progress.seconds,
        "held_out_before": before,
        "held_out": after,
        "inputs": plan.inputs,
    }
    if accelerator.is_main_process:
        write_atomically(folder / METRICS, f"{json.dumps(metrics, indent=2)}\n".encode())
        (folder / CHECKPOINT).unlink(missing_ok=True)
    accelerator.wait_for_everyone()
    return metrics


def _teachers(settings: DistillSettings) -> dict[Capability, Path]:
    """Return the folder of the teacher of each capability that needs one."""
    method = settings.method
    needed = dict.fromkeys([*method.signals, *(method.records if method.kl > 0 else ())])
    found: dict[Capability, Path] = {}
    for capability in needed:
        own: Path | None = getattr(settings.teachers, capability) or settings.teacher
        if own is None:
            raise ConfigurationError(
                f"teacher must be set: the method {settings.method.title} has one for {capability}; give "
                f"teacher=FOLDER, or teachers.{capability}=FOLDER"
            )
        found[capability] = own
    return found


def _trainer(
    plan: Plan, folder: Path, identity: str, accelerator: Accelerator, tell: Callable[[StepReport], None]
) -> Trainer:
    settings, device = plan.settings, accelerator.device
    method, training = settings.method, settings.training
    wide = torch.float32 if training.precision == "bf16" else PRECISIONS[training.precision]
    student = load_student(
        settings.student, method, dtype=wide, device=device, train_vision=training.train_vision
    )
    if training.gradient_checkpointing:
        student.model.activation_checkpointing_enable()
    teachers = _loaded_teachers(plan, PRECISIONS[training.precision], device)
    return Trainer(
        distiller=Distiller(
            method, student, teachers, hidden_projections(method, student, teachers, wide), training.precision
        ),
        records=plan.records,
        encoder=Encoder(settings.student, student.model.config, training.image_px, method.as_released),
        settings=training,
        seed=settings.seed,
        folder=folder,
        identity=identity,
        accelerator=accelerator,
        tell=tell,
    )


def _loaded_teachers(plan: Plan, dtype: torch.dtype, device: torch.device) -> dict[Capability, Reader]:
    """Load the teachers; capabilities with the same folder share one loaded teacher."""
    loaded: dict[Path, Reader] = {}
    method = plan.settings.method
    for folder in dict.fromkeys(plan.teachers.values()):
        own = {name: one for name, one in method.signals.items() if plan.teachers[name] == folder}
        loaded[folder] = load_teacher(folder, own, needs_logits=method.kl > 0, dtype=dtype, device=device)
    return {name: loaded[folder] for name, folder in plan.teachers.items()}


def _finished(folder: Path, identity: str) -> Mapping[str, Any] | None:
    """Return the metrics of a finished training; None if it is not finished."""
    path = folder / METRICS
    if not path.exists():
        return None
    try:
        metrics: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        same = metrics["identity"] == identity
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}; remove it to train anew") from error
    if not same:
        raise ConfigurationError(
            f"{folder} holds another training: its configuration, models or records have changed; choose "
            "another output"
        )
    return metrics


def _before(plan: Plan, folder: Path, identity: str, accelerator: Accelerator) -> Mapping[str, HeldOut]:
    """Return the student's held-out losses before training; measured once and stored in the folder."""
    path = folder / _BEFORE
    if path.exists():
        known = read_json(path)
        if known.get("identity") == identity:
            losses: Mapping[str, HeldOut] = known["held_out"]
            return losses
    settings = plan.settings
    found = held_out_losses(settings.student, plan.held_out, settings.training.image_px, accelerator)
    if accelerator.is_main_process:
        write_atomically(path, json.dumps({"identity": identity, "held_out": found}).encode())
    accelerator.wait_for_everyone()
    return found


def _save_student(student: Reader, source: Path, target: Path) -> None:
    """Write the student in the data type and layout of its source folder. A kill leaves no incomplete
    folder.
    """
    stored = config_of(source, "student").dtype or torch.float32
    temporary = target.with_name(f".{target.name}.tmp")
    with storage_errors(target.parent):
        for old in (temporary, target):
            shutil.rmtree(old, ignore_errors=True)
        temporary.mkdir(parents=True)
        for pattern in _COPIED:
            for file in source.glob(pattern):
                shutil.copyfile(file, temporary / file.name)
        student.model.to(stored).save_pretrained(temporary)
        temporary.replace(target)


def _digest(records: list[Record]) -> str:
    """Return the digest of records; it contains the names of image files, not their folders."""
    digest = hashlib.sha256()
    for record in records:
        names = [Path(image).name for image in record.images]
        digest.update(record.model_copy(update={"images": names}).model_dump_json().encode() + b"\n")
    return digest.hexdigest()
