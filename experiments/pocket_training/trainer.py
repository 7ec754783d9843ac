"""The training loop: processes of one thread, a budget of steps, checkpoints that survive a kill.

The share of the budget that is spent sets the learning rate and when the on-policy verifier phase begins.
Steps, not minutes, are counted: a busy or slower machine makes the same weights, later.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn import functional
from torch.optim import AdamW, Muon, Optimizer

from experiments.pocket_training.model import PocketModel, Shape, tree_mask
from experiments.pocket_training.train_image_tokenizer import train_image_tokenizer
from experiments.pocket_training.trees import NO_TARGET, Language, Row, dialogue_row, stack
from experiments.pocket_training.words import build_vocabulary
from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.benchmarks.pocket_world.dialogues import make_dialogue
from imug_tts.benchmarks.pocket_world.streams import Stream


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. A step sees `processes` x `rows` dialogues."""

    out: Path
    seed: int = 0
    steps: int = 3400
    processes: int = 2
    rows: int = 8
    muon_lr: float = 0.02
    adam_lr: float = 4e-3
    decay_share: float = 0.8
    on_policy_share: float = 0.3
    on_policy_rows: int = 2
    play_every_steps: int = 100
    play_dialogues: int = 80
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.processes < 1 or self.rows <= self.on_policy_rows:
            raise ValueError("steps and processes must be 1 or more, and rows more than on_policy_rows")


@dataclass
class Progress:
    """Where a run is: optimizer steps done, seconds they took, rounds of own dialogues played."""

    step: int = 0
    seconds: float = 0.0
    plays: int = 0


def build_optimizers(model: PocketModel, muon_lr: float, adam_lr: float) -> list[Optimizer]:
    """Muon for the matrices of the layers, AdamW for tables and norms."""
    matrices = [parameter for parameter in model.layers.parameters() if parameter.ndim == 2]
    chosen = set(map(id, matrices))
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    return [
        Muon(matrices, lr=muon_lr, weight_decay=0.0),
        AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.01),
    ]


class Trainer:
    """One process of a run. Rank 0 writes checkpoints and the curve."""

    def __init__(self, config: TrainConfig, rank: int) -> None:
        self.config, self.rank, self.progress = config, rank, Progress()
        tokenizer = ImageTokenizer.load(config.out / "image_tokenizer.safetensors")
        self.language = Language.of(build_vocabulary(tokenizer.num_codes), tokenizer)
        torch.manual_seed(config.seed)
        self.model = PocketModel(self.language.vocabulary, self.language.shown, Shape())
        self.optimizers = build_optimizers(self.model, config.muon_lr, config.adam_lr)
        self.own_rows: list[Row] = []
        self.saved_at = time.monotonic()
        if self.checkpoint.exists():
            self.load()

    @property
    def checkpoint(self) -> Path:
        """Weights, optimizer state and progress in one file, so one rename makes them consistent."""
        return self.config.out / "checkpoint.safetensors"

    @property
    def spent(self) -> float:
        """Share of the budget that is spent."""
        return self.progress.step / self.config.steps

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for name, parameter in self.model.named_parameters():
            yield f"model/{name}", parameter.data
            for optimizer in self.optimizers:
                for key, value in optimizer.state.get(parameter, {}).items():
                    yield f"{key}/{name}", value

    def save(self) -> None:
        """Write the checkpoint; a kill leaves the old one or the new one, never half of one."""
        temporary = self.checkpoint.with_suffix(".tmp")
        tensors = {name: tensor.clone() for name, tensor in self._state()}
        save_file(tensors, temporary, metadata={"progress": json.dumps(asdict(self.progress))})
        os.replace(temporary, self.checkpoint)
        self.saved_at = time.monotonic()

    def load(self) -> None:
        """Go on from the checkpoint."""
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

    def rows(self) -> list[Row]:
        """This step's rows: new dialogues, and in the on-policy phase some with own pictures."""
        config, place = self.config, self.progress.step * self.config.processes + self.rank
        own = config.on_policy_rows if self.own_rows else 0
        picks = np.random.default_rng([config.seed, place]).integers(0, max(1, len(self.own_rows)), own)
        rows = [self.own_rows[int(pick)] for pick in picks]
        for number in range(config.rows - own):
            index = place * config.rows + number
            dialogue = make_dialogue("train", config.seed, index)
            rows.append(dialogue_row(self.language, dialogue, Stream("pocket_rows", config.seed, index)))
        return rows

    def step(self) -> dict[str, float]:
        """One optimizer step on every process. Returns losses by kind of target."""
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
        """Mean loss by weight class (for the curve) and the weighted mean (to descend)."""
        targets, weights = batch["targets"].flatten(), batch["weights"].flatten()
        places = (targets != NO_TARGET).nonzero()[:, 0]
        mask = tree_mask(batch["segments"], batch["ancestors"])
        logits = self.model(batch["ids"], batch["positions"], mask, places)
        targets, weights = targets[places], weights[places]
        each = functional.cross_entropy(logits, targets, reduction="none")
        is_image = targets >= self.language.vocabulary.num_words
        kinds = {
            "image": is_image & (weights > 0),
            "plan": ~is_image & (weights == 1.0),
            "mark": weights == 0.5,
            "letter": weights == 4.0,
            "value": weights == 2.0,
        }
        named = {
            kind: float(each[chosen].detach().mean()) for kind, chosen in kinds.items() if bool(chosen.any())
        }
        return named, (each * weights).sum() / weights.sum()

    def _set_learning_rates(self) -> None:
        share = min(1.0, (self.progress.step + 1) / 50) * min(
            1.0, max(0.0, 1 - self.spent) / self.config.decay_share
        )
        for optimizer, peak in zip(self.optimizers, (self.config.muon_lr, self.config.adam_lr), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share

    def _share_gradients(self) -> None:
        """Average gradients over the processes."""
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
        """In the last part of the run, the model plays dialogues and learns to mark what it drew.

        A resumed run plays at once: the pictures that it had played were not stored.
        """
        config = self.config
        due = not self.own_rows or self.progress.step % config.play_every_steps == 0
        if self.spent < 1 - config.on_policy_share or not due:
            return
        from experiments.pocket_training.on_policy import play

        started = time.monotonic()
        name = (config.seed, self.progress.plays, self.rank)
        played = play(self.model.to_llama(), self.model.shape, self.language, name, config.play_dialogues)
        self.own_rows = (self.own_rows + played)[-1500:]
        self.progress.plays += 1
        self.progress.seconds += time.monotonic() - started

    def log(self, losses: dict[str, float]) -> None:
        """One line of the curve."""
        done = asdict(self.progress)
        line = {
            **done,
            "tokens": self.progress.step * self.config.rows * self.config.processes * 384,
            **losses,
        }
        with (self.config.out / "curve.jsonl").open("a", encoding="utf-8") as curve:
            curve.write(json.dumps({k: round(v, 5) for k, v in line.items()}) + "\n")

    def run(self) -> None:
        """Train until the budget is spent, or until the process that started this one has ended."""
        mean: dict[str, float] = {}
        parent = os.getppid()
        while self.spent < 1 and os.getppid() == parent:
            self.play_if_due()
            for kind, value in self.step().items():
                mean[kind] = mean.get(kind, value) * 0.95 + value * 0.05
            if self.rank:
                continue
            if self.progress.step % 50 == 0:
                self.log(mean)
            if time.monotonic() - self.saved_at > self.config.save_every_s:
                self.save()
        if self.rank == 0:
            self.save()


def _process(rank: int, config: TrainConfig) -> None:
    torch.set_num_threads(1)
    if config.processes > 1:
        meeting = f"file://{config.out.resolve()}/meeting-{os.getppid()}"
        dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=config.processes)
    Trainer(config, rank).run()
    if config.processes > 1:
        dist.destroy_process_group()


def train(config: TrainConfig) -> None:
    """Run or resume a training run in `config.out`."""
    config.out.mkdir(parents=True, exist_ok=True)
    tokenizer = config.out / "image_tokenizer.safetensors"
    if not tokenizer.exists():
        temporary = tokenizer.with_suffix(".tmp")
        train_image_tokenizer(config.seed).save(temporary)
        os.replace(temporary, tokenizer)
    if config.processes == 1:
        _process(0, config)
        return
    for stale in config.out.glob("meeting-*"):
        stale.unlink()
    spawn(_process, args=(config,), nprocs=config.processes)  # type: ignore[no-untyped-call]
