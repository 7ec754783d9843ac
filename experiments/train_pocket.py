"""Train the pocket model, from scratch or on, and write it as a model folder: OUT/model.

    python experiments/train_pocket.py --out runs/pocket --seed 0                   # from scratch
    python experiments/train_pocket.py --out runs/step1 --on-policy step --seed 1   # on, on its own history
    python experiments/train_pocket.py --out runs/mean --average runs/step1/model runs/step2/model

Started again with the same --out, a run that was killed goes on from its last checkpoint. The folder that is
written is a model of the engine: python experiments/run.py backbone.folder=runs/step1/model
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from experiments.pocket_training.config import METHODS, TrainConfig, on_policy_config

_SCRATCH: Final = "scratch"


def parser() -> argparse.ArgumentParser:
    """The options of the command."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("--out", type=Path, required=True, help="folder of the run; the model is written to OUT/model")
    add("--seed", type=int, default=0, help="seed of weights and data")
    add("--steps", type=int, help="optimizer steps in all (from scratch 3400; with --on-policy 400)")
    add("--processes", type=int, help="data-parallel processes of one thread each (2; with --on-policy 1)")
    add("--rows", type=int, help="token trees per process and step (8)")
    add("--save-every-s", type=float, help="seconds between checkpoints from scratch (60)")
    add("--play-dialogues", type=int, help="played per process and round (80; with --on-policy 400)")
    add(
        "--play-every-steps", type=int, help="steps between rounds; with --on-policy of checkpoints too (100)"
    )
    add(
        "--on-policy", choices=METHODS, help="half of every step is of dialogues played so (gold: not played)"
    )
    add("--start", help="with --on-policy: a model folder, or scratch (default: the shipped model)")
    add(
        "--learning-rate-share", type=float, help="with --on-policy: of that of a training from scratch (0.2)"
    )
    add("--beta", type=float, help="with --on-policy preference: how strongly the start holds (0.1)")
    add("--average", type=Path, nargs="+", metavar="FOLDER", help="train nothing: the mean of these models")
    return options


def main() -> None:
    """Parse the command line, train or average, and write the model folder."""
    command = parser()
    try:
        _run(command.parse_args())
    except ValueError as error:
        command.error(str(error))


def _run(arguments: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    if "average" in given:
        _only(given, {"out", "average", "seed"}, "--average trains nothing")
        from experiments.pocket_training.average import average

        average(arguments.average, arguments.out / "model")
        return
    from experiments.pocket_training.export import export
    from experiments.pocket_training.trainer import train

    config = _config(given)
    train(config)
    export(config.out, config.out / "model")


def _config(given: dict[str, object]) -> TrainConfig:
    from imug_tts.backbones.pocket.backbone import WEIGHTS

    method = given.pop("on_policy", None)
    if method is None:
        _only(given, set(TrainConfig.__dataclass_fields__) - {"start", "beta"}, "without --on-policy")
        return TrainConfig(**given)  # type: ignore[arg-type]
    start = str(given.pop("start", WEIGHTS))
    folder = None if start == _SCRATCH else Path(start)
    return on_policy_config(practice=str(method), start=folder, **given)  # type: ignore[arg-type]


def _only(given: dict[str, object], allowed: set[str], why: str) -> None:
    refused = [f"--{name.replace('_', '-')}" for name in given if name not in allowed]
    if refused:
        raise ValueError(f"{why}: leave out {' '.join(refused)}")


if __name__ == "__main__":
    main()
