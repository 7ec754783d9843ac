"""The training loop: steps over batches of records, on one process or several, with checkpoints.

A step divides `batch` records among the processes and applies the mean of their gradients. So the number of
processes changes results only by rounding. The last batch of an epoch may be smaller; its mean is over its
own records.
"""

from __future__ import annotations

import json
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from imug_tts.contracts import ConfigurationError
from imug_tts.files import storage_errors, write_atomically
from imug_tts.training import checkpoint
from imug_tts.training.checkpoint import Progress
from imug_tts.training.data import Record
from imug_tts.training.distiller import Distiller, Report
from imug_tts.training.encoding import Encoder, Sample
from imug_tts.training.method import LABELS
from imug_tts.training.reports import summary_of
from imug_tts.training.settings import TrainingSettings
from imug_tts.training.weighting import LossWeights, WeightingSettings

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

__all__ = ["CHECKPOINT", "LOG", "StepReport", "Trainer", "TrainingFailed", "rate_at"]

CHECKPOINT: Final = "checkpoint.safetensors"
LOG: Final = "training.jsonl"
_AHEAD: Final = 2
"""Number of records that are encoded in advance."""

StepReport = Mapping[str, Any]
"""The numbers of one step: one line of `training.jsonl`."""


class TrainingFailed(RuntimeError):
    """Training cannot continue; the message says at which step and record, and what to do."""


@dataclass(eq=False, kw_only=True)
class Trainer:
    """Trains the student of a distiller in place, and resumes from the checkpoint in `folder`."""

    distiller: Distiller
    records: Sequence[Record]
    encoder: Encoder
    settings: TrainingSettings
    seed: int
    folder: Path
    identity: str
    """The identity of the training; a checkpoint with another identity is refused."""
    accelerator: Accelerator
    tell: Callable[[StepReport], None] = lambda report: None
    """Called in the main process with the report of every step of this invocation."""
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        method = self.distiller.method
        self.parameters = self.distiller.trained()
        self.optimizer = torch.optim.AdamW(
            list(self.parameters.values()),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
        )
        self.weights = LossWeights(
            method.weights,
            LABELS,
            WeightingSettings(
                learning_rate=method.reweight_rate,
                alpha=method.reweight_alpha,
                least_anchor=method.least_labels if method.reweight else 0.0,
                detach_targets=not method.as_released,
            ),
        )
        self.per_epoch = math.ceil(len(self.records) / self.settings.batch)
        every = self.per_epoch * self.settings.epochs
        self.total_steps = min(every, self.settings.max_steps or every)
        path = self.folder / CHECKPOINT
        if path.exists():
            self.progress = checkpoint.load(
                path, self.parameters, self.optimizer, self.weights, self.identity
            )

    def train(self) -> Progress:
        """Train to the end, from the checkpoint if there is one.

        Raises:
            TrainingFailed: a loss is not finite, or no record of the first step fits into memory.
            StorageError: the checkpoint or the log could not be written.
        """
        if self.accelerator.is_main_process:
            _keep_lines(self.folder / LOG, self.progress.step)
        with ThreadPoolExecutor(1, "encoding") as pool:
            samples = _ahead(pool, self.encoder.encode, (self.records[place] for place in self._own_places()))
            while self.progress.step < self.total_steps:
                self._step(samples)
        return self.progress

    def _step(self, samples: Iterator[Sample]) -> None:
        """Make one optimizer step: gradients of the step's records, update, log and checkpoint."""
        began = time.monotonic()
        places = self._places(self.progress.step)
        total: list[Tensor | None] = [None] * len(self.parameters)
        reports: list[tuple[int, Report | None]] = []
        for number in range(self.accelerator.process_index, len(places), self.accelerator.num_processes):
            reports.append((number, self._add(next(samples), places[number], number, total)))
        everyone = sorted(self._gathered(reports), key=lambda pair: pair[0])
        given = [report for _, report in everyone if report is not None]
        rate = rate_at(self.settings, self.progress.step, self.total_steps)
        summary = summary_of(given, self.weights.now())
        if given:
            norm = self._apply(total, len(given), rate)
            self._reweight(summary)
        elif not self.progress.records:
            raise TrainingFailed(
                f"none of the {len(places)} records of the first step fits into memory; set "
                "training.gradient_checkpointing=true, a smaller training.image_px, or take a larger GPU"
            )
        self.progress.step += 1
        self.progress.records += len(given)
        self.progress.skipped += len(everyone) - len(given)
        self.progress.seconds += time.monotonic() - began
        about = {
            "step": self.progress.step,
            "of": self.total_steps,
            "records": len(given),
            "skipped": len(everyone) - len(given),
            "learning_rate": rate,
            "gradient_norm": norm if given else None,
            **summary,
        }
        self._keep(about)

    def _add(self, sample: Sample, place: int, number: int, total: list[Tensor | None]) -> Report | None:
        """Add the gradient of a record to `total`; return its report.

        If memory does not suffice, nothing is added and None is returned.
        """
        record = self.records[place]
        shuffle = random.Random(f"{self.seed}/{self.progress.step}/{number}")
        try:
            gradient, report = self.distiller.gradient(
                sample.to(self.accelerator.device), record.question_type, self.weights.now(), shuffle
            )
        except FloatingPointError as error:
            raise TrainingFailed(
                f"{error} at step {self.progress.step + 1}, record {place + 1} of those trained on; lower "
                "training.learning_rate, or look at that record"
            ) from error
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            report = None
        if report is None:  # outside the except block, whose traceback keeps tensors of the failed pass alive
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return None
        for slot, own in enumerate(gradient):
            held = total[slot]
            if own is not None:
                total[slot] = own.clone() if held is None else held.add_(own)
        return report

    def _apply(self, total: list[Tensor | None], count: int, rate: float) -> float:
        """Apply the mean gradient with the optimizer; return the norm of the mean gradient before
        clipping.
        """
        divisor = self.settings.batch if self.distiller.method.as_released else count
        for parameter, own in zip(self.parameters.values(), total, strict=True):
            if self.accelerator.num_processes > 1:
                own = torch.zeros_like(parameter) if own is None else own
                own = self.accelerator.reduce(own, "sum")
            parameter.grad = None if own is None else own.div_(divisor)
        largest = math.inf if self.settings.max_norm is None else self.settings.max_norm
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), largest).item()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def _reweight(self, summary: Mapping[str, Any]) -> None:
        if self.distiller.method.reweight:
            self.weights.update(summary["losses"], summary["gradient_norms"])

    def _keep(self, report: StepReport) -> None:
        """Log a step; write a checkpoint every `save_every` steps and after the last step."""
        if self.accelerator.is_main_process:
            with storage_errors(self.folder), (self.folder / LOG).open("a", encoding="utf-8") as log:
                log.write(f"{json.dumps(report)}\n")
            self.tell(report)
        is_last = self.progress.step == self.total_steps
        if is_last or self.progress.step % self.settings.save_every == 0:
            if self.accelerator.is_main_process:
                checkpoint.save(
                    self.folder / CHECKPOINT,
                    self.parameters,
                    self.optimizer,
                    self.weights,
                    self.progress,
                    self.identity,
                )
            self.accelerator.wait_for_everyone()

    def _places(self, step: int) -> list[int]:
        """Return the indices of a step's records; each epoch has its own random order."""
        epoch, group = divmod(step, self.per_epoch)
        generator = torch.Generator().manual_seed(random.Random(f"{self.seed}/{epoch}").getrandbits(63))
        order = torch.randperm(len(self.records), generator=generator).tolist()
        batch = self.settings.batch
        return list(order[group * batch : (group + 1) * batch])

    def _own_places(self) -> Iterator[int]:
        """Yield the indices of the records that this process computes, from the next step on."""
        for step in range(self.progress.step, self.total_steps):
            yield from self._places(step)[self.accelerator.process_index :: self.accelerator.num_processes]

    def _gathered(self, own: list[tuple[int, Report | None]]) -> list[tuple[int, Report | None]]:
        """Return the reports of all processes."""
        if self.accelerator.num_processes == 1:
            return own
        from accelerate.utils import gather_object  # type: ignore[import-untyped]

        gathered: list[tuple[int, Report | None]] = gather_object(own)
        return gathered


def rate_at(settings: TrainingSettings, step: int, total_steps: int) -> float:
    """Return the learning rate of a step; steps are counted from 0."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(1, total_steps - settings.warmup_steps)
    shape = {"constant": 1.0, "linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (
        settings.least_rate + (1 - settings.least_rate) * shape[settings.schedule]
    )


def _ahead(
    pool: ThreadPoolExecutor, encode: Callable[[Record], Sample], records: Iterator[Record]
) -> Iterator[Sample]:
    """Yield the sample of each record; the next few records are encoded meanwhile in another thread."""
    waiting: deque[Future[Sample]] = deque()
    for record in records:
        waiting.append(pool.submit(encode, record))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _is_out_of_memory(error: RuntimeError) -> bool:
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in words


def _keep_lines(path: Path, steps: int) -> None:
    """Remove from the log the lines of steps after the checkpoint, and an incomplete last line.

    Training makes those steps again.
    """
    lines: list[bytes] = []
    if path.exists():
        whole = [
            line for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")
        ]  # a kill can leave an incomplete last line
        try:
            lines = [line for line in whole if json.loads(line)["step"] <= steps]
        except (ValueError, KeyError):
            raise ConfigurationError(f"{path} is damaged; remove it to go on without its lines") from None
    write_atomically(path, b"".join(lines))
