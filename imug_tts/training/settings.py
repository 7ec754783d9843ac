"""The knobs of a distillation. This module imports no torch, so that the help of a command is quick."""

from __future__ import annotations

from typing import Literal

from imug_tts.files import FOLDER_NAME
from imug_tts.knobs import Folder, component, knob
from imug_tts.training.method import Method

__all__ = ["DistillSettings", "TeacherFolders", "TrainingSettings"]


@component
class TrainingSettings:
    """Duration, learning rate and precision of a training."""

    epochs: int = knob("Passes over the records.", default=1, ge=1)
    max_steps: int | None = knob("Stop after so many optimizer steps; null for all.", default=None, ge=1)
    batch: int = knob("Records of one optimizer step, over all processes.", default=4, ge=1)
    learning_rate: float = knob("AdamW's learning rate.", default=5e-5, gt=0, allow_inf_nan=False)
    weight_decay: float = knob("AdamW's weight decay.", default=0.0, ge=0, allow_inf_nan=False)
    schedule: Literal["constant", "cosine", "linear"] = knob(
        "How the learning rate falls after the warm-up, down to least_rate of it.", default="constant"
    )
    warmup_steps: int = knob("Steps in which the learning rate rises from 0.", default=0, ge=0)
    least_rate: float = knob(
        "Where a schedule ends, as a share of the learning rate.", default=0.01, ge=0, le=1
    )
    max_norm: float | None = knob(
        "Largest norm of a step's gradient; a longer one is shortened. Null: none is.", default=None, gt=0
    )
    precision: Literal["bf16", "float32", "float64"] = knob(
        "bf16: computations in bfloat16, trained weights and their gradients in float32; else all in that "
        "type. Teachers are loaded in this type.",
        default="bf16",
    )
    train_vision: bool = knob(
        "Train the vision encoder and the projector too, as the released trainer does, and not the language "
        "model alone, as the paper says.",
        default=False,
    )
    image_px: int | None = knob(
        "Each image is resized to a square of so many pixels a side; null for the size of the file.",
        default=448,
        ge=1,
    )
    gradient_checkpointing: bool = knob(
        "Compute the student's layers again in each backward pass instead of keeping what they computed.",
        default=False,
        runtime=True,
    )
    save_every: int = knob("Steps between two checkpoints.", default=200, ge=1, runtime=True)


@component
class TeacherFolders:
    """A teacher for each capability."""

    perception: Folder | None = knob("Instead of `teacher`, for perception.", default=None)
    reasoning: Folder | None = knob("Instead of `teacher`, for reasoning.", default=None)
    planning: Folder | None = knob("Instead of `teacher`, for planning.", default=None)


@component
class DistillSettings:
    """The knobs of a distillation."""

    student: Folder = knob("The folder of the model that is trained, e.g. student=/models/InternVL3-1B-hf.")
    teacher: Folder | None = knob(
        "The folder of the model that it imitates, of the same family; null where the method has no teacher.",
        default=None,
    )
    teachers: TeacherFolders = knob("Other teachers by capability.", default_factory=TeacherFolders)
    data: Folder = knob("The records to train on: a *.jsonl of one record a line, or a *.json list.")
    held_out: Folder | None = knob(
        "The records to evaluate on; null: a share of `data`, split by images.", default=None
    )
    held_out_share: float = knob(
        "The share of `data` that is held out where held_out is null.", default=0.1, ge=0, lt=1
    )
    method: Method = knob("Losses, and how they are combined.", default_factory=Method)
    training: TrainingSettings = knob("How long and how fast.", default_factory=TrainingSettings)
    seed: int = knob("Seed of the order of records and of projections.", default=0, ge=0)
    study: str = knob(
        "Name of the study; runs/STUDY holds its students.",
        default="distill",
        runtime=True,
        pattern=FOLDER_NAME,
    )
    output: Folder | None = knob(
        "Instead: the folder of the training, or with -m the folder of the study.", default=None, runtime=True
    )
