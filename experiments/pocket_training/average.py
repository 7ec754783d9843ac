"""Average the weights of several models whose training started from the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file

from experiments.pocket_training.export import write_folder
from imug_tts.backbones.pocket.folder import DamagedFolder, folder_hash, read_training, write_training
from imug_tts.backbones.pocket.vocabulary import Vocabulary
from imug_tts.contracts import TrainingCost


def average(folders: Sequence[Path], out: Path) -> None:
    """Write a model folder with the mean weights; its training cost is the sum of the models' costs.

    Raises:
        ValueError: fewer than two folders, a folder that cannot be read, or models that differ in
            configuration, vocabulary, image tokenizer or start weights.
    """
    if len(set(folders)) < 2:
        raise ValueError("a mean is of two model folders or more, each named once")
    costs, first = [_cost(folder) for folder in folders], folders[0]
    for name in ("config.json", "vocabulary.json", "image_tokenizer.safetensors"):
        strange = [f for f in folders if (f / name).read_bytes() != (first / name).read_bytes()]
        if strange:
            raise ValueError(
                f"{strange[0] / name} differs from {first / name}; only models with equal {name} have a mean"
            )
    if len({cost.start for cost in costs}) > 1 or costs[0].start == "scratch":
        starts = ", ".join(f"{folder}: {cost.start}" for folder, cost in zip(folders, costs, strict=True))
        raise ValueError(f"only models that were trained on from the same weights have a mean ({starts})")
    weights = [load_file(folder / "model.safetensors") for folder in folders]
    mean = {name: torch.stack([each[name] for each in weights]).mean(0) for name in weights[0]}
    write_folder(out, mean, Vocabulary.load(first / "vocabulary.json"), first / "image_tokenizer.safetensors")
    write_training(out, _total(costs))


def _cost(folder: Path) -> TrainingCost:
    try:
        folder_hash(folder)
        cost = read_training(folder)
    except DamagedFolder as error:
        raise ValueError(str(error)) from error
    if cost is None:
        raise ValueError(f"{folder} has no training.json, which names the weights that training started from")
    return cost


def _total(costs: Sequence[TrainingCost]) -> TrainingCost:
    methods = dict.fromkeys(cost.method for cost in costs)
    return TrainingCost(
        method=f"mean of {len(costs)}: {', '.join(methods)}",
        start=costs[0].start,
        seeds=[seed for cost in costs for seed in cost.seeds],
        steps=sum(cost.steps for cost in costs),
        token_positions=sum(cost.token_positions for cost in costs),
        seconds=sum(cost.seconds for cost in costs),
        play_seconds=sum(cost.play_seconds for cost in costs),
        processes=max(cost.processes for cost in costs),
    )
