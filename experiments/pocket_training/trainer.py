"""The training loop: one-thread processes, a budget of steps, and checkpoints that survive a kill.

The learning rate and the start of the on-policy verifier phase depend on the share of the budget that is
spent. The budget counts steps, not minutes, so a slower machine makes the same weights.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn import functional
from torch.optim import AdamW, Muon, Optimizer

from experiments.pocket_training.config import Progress, TrainConfig
from experiments.pocket_training.model import PocketModel, Shape, tree_mask
from experiments.pocket_training.train_image_tokenizer import train_image_tokenizer
from experiments.pocket_training.trees import (
    NO_TARGET,
    ROW_TOKENS,
    WEIGHTS,
    Kind,
    Language,
    Row,
    gold_row,
    stack,
)
from experiments.pocket_training.words import build_vocabulary
from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.benchmarks.pocket_world.dialogues import make_dialogue
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.contracts import TrainingCost

_MAX_PAIRS = 64
"""Numbers of comparisons in one row are below this limit."""


def build_optimizers(model: PocketModel, muon_lr: float, adam_lr: float) -> list[Optimizer]:
    """Return Muon for the matrices of the layers, and AdamW for token tables and norms."""
    matrices = [parameter for parameter in model.layers.parameters() if parameter.ndim == 2]
    chosen = set(map(id, matrices))
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    return [
        Muon(matrices, lr=muon_lr, weight_decay=0.0),
        AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.01),
    ]


class Trainer:
    """The training in one process of a run. Rank 0 writes the checkpoints and the loss curve."""

    def __init__(self, config: TrainConfig, rank: int) -> None:
        self.config, self.rank, self.progress = config, rank, Progress()
        tokenizer = ImageTokenizer.load(config.out / "image_tokenizer.safetensors")
        self.language = Language.of(build_vocabulary(tokenizer.num_codes), tokenizer)
        torch.manual_seed(config.seed)
        self.model = PocketModel(self.language.vocabulary, self.language.shown, Shape())
        self.optimizers = build_optimizers(self.model, config.muon_lr, config.adam_lr)
        self.weights = torch.tensor([WEIGHTS[kind] for kind in Kind])
        self.own_rows: list[Row] = []
        self.saved_at = time.monotonic()
        if config.start is not None:
            self.model.from_llama(load_file(config.start / "model.safetensors"))
        self.reference = (
            copy.deepcopy(self.model).requires_grad_(False) if config.practice == "preference" else None
        )
        if self.checkpoint.exists():
            self.load()

    @property
    def checkpoint(self) -> Path:
        """One file for weights, optimizer state and progress, so that they always belong to the same step."""
        return self.config.out / "checkpoint.safetensors"

    @property
    def spent(self) -> float:
        """The share of the step budget that is spent, in [0, 1]."""
        return self.progress.step / self.config.steps

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.model.named_parameters():
            yield f"model/{name}", parameter.data
            for optimizer in self.optimizers:
                for key, value in optimizer.state.get(parameter, {}).items():
                    yield f"{key}/{name}", value

    def save(self) -> None:
        """Write the checkpoint. A kill leaves the old or the new checkpoint, never an incomplete one."""
        temporary = self.checkpoint.with_suffix(".tmp")
        tensors = {name: tensor.clone() for name, tensor in self._state()}
        save_file(tensors, temporary, metadata={"progress": json.dumps(asdict(self.progress))})
        os.replace(temporary, self.checkpoint)
        self.saved_at = time.monotonic()

    def load(self) -> None:
        """Restore weights, optimizer state and progress from the checkpoint."""
        parameters = dict(self.model.named_parameters())
        owner = {id(p): o for o in self.optimizers for group in o.param_groups for p in group["params"]}
        with safe_open(self.checkpoint, "pt") as stored:
            self.progress = Progress(**json.loads(stored.metadata()["progress"]))
            for full_name in stored.keys():  # noqa: SIM118 (not a mapping)
                key, name = full_name.split("/", 1)
                if key == "model":
                    parameters[name].data.copy_(stored.get_tensor(full_name))
                else:
                    owner[id(parameters[name])].state[parameters[name]][key] = stored.get_tensor(full_name)
        self._cut_curve()

    def _cut_curve(self) -> None:
        """Remove the lines of the curve after the checkpoint's step; resumed training writes them again."""
        if self.rank == 0 and self.curve.exists():
            lines = self.curve.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = (
                line
                for line in lines
                if line.endswith("\n") and json.loads(line)["step"] <= self.progress.step
            )
            self.curve.write_text("".join(kept), encoding="utf-8")

    def rows(self) -> list[Row]:
        """Return the rows of this step: new gold dialogues and, in the on-policy phase, practice rows."""
        config, place = self.config, self.progress.step * self.config.processes + self.rank
        own = config.on_policy_rows if self.own_rows else 0
        picks = np.random.default_rng([config.seed, place]).integers(0, max(1, len(self.own_rows)), own)
        rows = [self.own_rows[int(pick)] for pick in picks]
        for number in range(config.rows - own):
            index = place * config.rows + number
            dialogue = make_dialogue("train", config.seed, index)
            rows.append(gold_row(self.language, dialogue, Stream("pocket_rows", config.seed, index)))
        return rows

    def step(self) -> dict[str, float]:
        """Make one optimizer step together with all other processes; return the losses by kind of target."""
        started = time.monotonic()
        batch = {name: torch.from_numpy(array) for name, array in stack(self.rows()).items()}
        losses, loss = self.losses(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        self._set_learning_rates()
        self._share_gradients()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        self.progress.step += 1
        self.progress.seconds += time.monotonic() - started
        return losses

    def losses(self, batch: dict[str, Tensor]) -> tuple[dict[str, float], Tensor]:
        """Return the mean loss by kind of target (for the curve), and the loss to minimise.

        The latter is the weighted mean cross-entropy plus, if there are comparisons, their mean loss.
        """
        kept = batch["targets"].flatten() != NO_TARGET
        places = kept.nonzero()[:, 0]
        targets, kinds, pairs = (batch[name].flatten()[places] for name in ("targets", "kinds", "pairs"))
        mask = tree_mask(batch["segments"], batch["ancestors"])
        inputs = batch["ids"], batch["positions"], mask
        each = functional.cross_entropy(self.model(*inputs, places), targets, reduction="none")
        named = {
            kind.name.lower(): float(each[kinds == kind].detach().mean())
            for kind in Kind
            if bool((kinds == kind).any())
        }
        weights = self.weights[kinds]
        loss = (each * weights).sum() / weights.sum()
        if self.reference is None or not bool(pairs.any()):
            return named, loss
        compared = pairs > 0
        with torch.no_grad():
            logits = self.reference(*inputs, places[compared])
            held = functional.cross_entropy(logits, targets[compared], reduction="none")
        rows = places[compared] // batch["ids"].shape[1]
        preference = preference_loss(
            held - each[compared],
            kinds[compared] == Kind.CHOSEN,
            rows * _MAX_PAIRS + pairs[compared],
            self.config.beta,
        )
        return {**named, "preference": float(preference.detach())}, loss + preference

    def _set_learning_rates(self) -> None:
        share = min(1.0, (self.progress.step + 1) / self.config.warm_up) * min(
            1.0, max(0.0, 1 - self.spent) / self.config.decay_share
        )
        for optimizer, peak in zip(self.optimizers, (self.config.muon_lr, self.config.adam_lr), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share

    def _share_gradients(self) -> None:
        """Replace the gradients by their means over all processes."""
        if self.config.processes == 1:
            return
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.config.processes
        at = 0
        for gradient in gradients:
            gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
            at += gradient.numel()

    def play_if_due(self) -> None:
        """Play dialogues for new practice rows, every `play_every_steps` of the on-policy part of the run.

        A resumed run plays at once, because rows are not stored.
        """
        config = self.config
        due = not self.own_rows or self.progress.step % config.play_every_steps == 0
        if self.spent < 1 - config.on_policy_share or not due:
            return
        from experiments.pocket_training.practice import PRACTICES

        started = time.monotonic()
        name = (config.seed, self.progress.plays, self.rank)
        practise = PRACTICES[config.practice]
        played = practise(self.model.to_llama(), self.model.shape, self.language, name, config.play_dialogues)
        self.own_rows = [*self.own_rows[len(self.own_rows) - self._kept(len(played)) :], *played]
        self.progress.plays += 1
        self.progress.play_seconds += time.monotonic() - started
        self.progress.seconds += time.monotonic() - started

    def _kept(self, new: int) -> int:
        """Return how many of the earlier practice rows stay when `new` rows are added."""
        return min(len(self.own_rows), max(0, self.config.kept_rows - new))

    @property
    def tokens(self) -> int:
        """The token positions that all processes have trained on so far."""
        return self.progress.step * self.config.rows * self.config.processes * ROW_TOKENS

    def cost(self) -> TrainingCost:
        """Return the cost of the run so far."""
        config, done = self.config, self.progress
        return TrainingCost(
            method=config.practice,
            start=config.start_hash,
            seeds=[config.seed],
            steps=done.step,
            token_positions=self.tokens,
            seconds=round(done.seconds, 3),
            play_seconds=round(done.play_seconds, 3),
            processes=config.processes,
        )

    @property
    def curve(self) -> Path:
        """The file of running mean losses, with one line every 50 steps."""
        return self.config.out / "curve.jsonl"

    def log(self) -> None:
        """Append a line to the curve."""
        done = asdict(self.progress)
        line = {**done, "tokens": self.tokens, **done.pop("losses")}
        line.pop("losses")
        with self.curve.open("a", encoding="utf-8") as curve:
            curve.write(json.dumps({k: round(v, 5) for k, v in line.items()}) + "\n")

    @property
    def _save_is_due(self) -> bool:
        """Whether to write a checkpoint after this step.

        A run that keeps no earlier practice rows (`kept_rows` = 0) writes one exactly at the steps at which
        it plays new rows. A resumed run then trains on the same rows as a run that was not stopped.
        """
        config, now = self.config, self.progress.step
        if config.kept_rows == 0:
            return now % config.play_every_steps == 0
        return time.monotonic() - self.saved_at > config.save_every_s

    def run(self) -> None:
        """Train until the budget is spent. A process of several also stops when its parent process ends."""
        mean = self.progress.losses
        parent = os.getppid()
        while self.spent < 1 and (self.config.processes == 1 or os.getppid() == parent):
            self.play_if_due()
            for kind, value in self.step().items():
                mean[kind] = mean.get(kind, value) * 0.95 + value * 0.05
            if self.rank:
                continue
            if self.progress.step % 50 == 0:
                self.log()
            if self._save_is_due:
                self.save()
        if self.rank == 0 and (self.spent >= 1 or self.config.kept_rows):
            self.save()


def preference_loss(gained: Tensor, chosen: Tensor, pairs: Tensor, beta: float) -> Tensor:
    """Return the mean loss of direct preference optimisation (Rafailov et al. 2023, equation 7).

    Args:
        gained: log-probability of each token minus that under the reference weights, (tokens,).
        chosen: whether each token belongs to the chosen picture, (tokens,).
        pairs: the number of each token's comparison, (tokens,).
        beta: a larger value keeps the model closer to the reference weights.
    """
    _, number = torch.unique(pairs, return_inverse=True)
    signed = torch.where(chosen, gained, -gained)
    margins = torch.zeros(int(number.max()) + 1).index_add(0, number, signed)
    return -functional.logsigmoid(beta * margins).mean()


def _process(rank: int, config: TrainConfig) -> None:
    torch.set_num_threads(1)
    if config.processes > 1:
        meeting = f"file://{config.out.resolve()}/meeting-{os.getppid()}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=config.processes)
    Trainer(config, rank).run()
    if config.processes > 1:
        dist.destroy_process_group()


def saved_config(run: Path) -> TrainConfig:
    """Return the settings of the run in a folder. Raises ValueError if they cannot be read."""
    stored = _stored(run)
    start = stored["start"]
    known = {name: value for name, value in stored.items() if name not in ("start", "start_hash")}
    return TrainConfig(out=run, start=None if start is None else Path(start), **known)


def _stored(run: Path) -> dict[str, Any]:
    try:
        stored: dict[str, Any] = json.loads((run / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{run} holds no training run that can be read: {error}") from error
    return stored


def train(config: TrainConfig) -> None:
    """Run or resume a training run in `config.out`.

    Raises:
        ValueError: the folder holds a run with other settings, or the start weights cannot be read.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    _claim(config)
    tokenizer = config.out / "image_tokenizer.safetensors"
    if not tokenizer.exists():
        temporary = tokenizer.with_suffix(".tmp")
        if config.start is None:
            train_image_tokenizer(config.seed).save(temporary)
        else:
            shutil.copyfile(config.start / tokenizer.name, temporary)
        os.replace(temporary, tokenizer)
    if config.processes == 1:
        _process(0, config)
        return
    for stale in config.out.glob("meeting-*"):
        stale.unlink()
    spawn(_process, args=(config,), nprocs=config.processes)  # type: ignore[no-untyped-call]


def _claim(config: TrainConfig) -> None:
    """Write the settings into the folder of the run. If a run is there, check that its settings are equal."""
    path = config.out / "config.json"
    if path.exists():
        before, now = _stored(config.out), config.identity()
        changed = [
            f"{name} {before.get(name)} (now {value})"
            for name, value in now.items()
            if before.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"{config.out} holds a run with {', '.join(changed)}; use the same or another --out"
            )
    folder = None if config.start is None else str(config.start)
    stored = {**asdict(config), "start": folder, "start_hash": config.start_hash}
    del stored["out"]
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)
