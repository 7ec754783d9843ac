"""Training checkpoints as safetensors files; resumed training makes exactly the same next step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from imug_tts.contracts import ConfigurationError, StorageError
from imug_tts.files import storage_errors
from imug_tts.training.weighting import LossWeights, WeightsState

__all__ = ["Progress", "load", "save", "write_tensors"]

_PARAMETER = "parameter"


@dataclass
class Progress:
    """How far a training has come."""

    step: int = 0
    """Optimizer steps done, including steps in which no record could be computed."""
    records: int = 0
    """Records whose gradients were used."""
    skipped: int = 0
    """Records left out because memory did not suffice."""
    seconds: float = 0.0
    """Time spent on steps, summed over invocations."""


def save(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    weights: LossWeights,
    progress: Progress,
    identity: str,
) -> None:
    """Write a checkpoint. A kill leaves the old or the new checkpoint, never an incomplete one.

    Args:
        parameters: the trained parameters, by name.
        identity: of the training; `load` refuses a checkpoint with another identity.

    Raises:
        StorageError: the file could not be written.
    """
    state = weights.state()
    about = {
        "identity": identity,
        "progress": asdict(progress),
        "weights": {**state, "optimizer": _plain(state["optimizer"])},
    }
    write_tensors(path, dict(_tensors(parameters, optimizer)), {"about": json.dumps(about)})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file under a temporary name, then rename it to `path`.

    Raises:
        StorageError: the file could not be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            save_file({name: one.contiguous() for name, one in tensors.items()}, temporary, dict(metadata))
        except SafetensorError as error:
            temporary.unlink(missing_ok=True)
            raise StorageError(f"cannot write to {path.parent}: {error}") from error
        os.replace(temporary, path)


def load(
    path: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    weights: LossWeights,
    identity: str,
) -> Progress:
    """Restore parameters, optimizer and loss weights in place from a checkpoint; return the progress.

    Raises:
        ConfigurationError: the file is damaged, or its training has another identity.
    """
    try:
        with safe_open(path, "pt") as stored:
            about = json.loads(stored.metadata()["about"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the checkpoint {path} cannot be read: {error}; remove it to begin anew"
        ) from error
    if about["identity"] != identity:
        raise ConfigurationError(
            f"the checkpoint {path} is of another training: its configuration, models or records have "
            "changed; choose another output, or remove the file to begin anew"
        )
    for place, tensor in tensors.items():
        key, _, name = place.partition("/")
        parameter = parameters[name]
        if key == _PARAMETER:
            parameter.data.copy_(tensor)
        else:  # AdamW keeps its step counter on the CPU
            optimizer.state[parameter][key] = tensor.to("cpu" if key == "step" else parameter.device)
    weights.restore(_weights_state(about["weights"]))
    return Progress(**about["progress"])


def _tensors(parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> Any:
    for name, parameter in parameters.items():
        yield f"{_PARAMETER}/{name}", parameter.data
        for key, value in optimizer.state.get(parameter, {}).items():
            yield f"{key}/{name}", value


def _plain(value: Any) -> Any:
    """Return optimizer state with each single-number tensor as a number; JSON stores float32 exactly."""
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _weights_state(plain: Mapping[str, Any]) -> WeightsState:
    optimizer = plain["optimizer"]
    state = {
        int(place): {key: torch.tensor(value, dtype=torch.float32) for key, value in own.items()}
        for place, own in optimizer["state"].items()
    }
    groups = [{**group, "betas": tuple(group["betas"])} for group in optimizer["param_groups"]]
    return {
        "raw": plain["raw"],
        "first": plain["first"],
        "optimizer": {"state": state, "param_groups": groups},
    }
