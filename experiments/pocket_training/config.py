"""Settings, progress and cost of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from imug_tts.backbones.pocket.folder import DamagedFolder, folder_hash

METHODS: Final = ("gold", "step", "dialogue", "preference")
"""Kinds of practice (`practice.PRACTICES`) that a run can use from its first step on."""

_MAY_CHANGE: Final = ("out", "start", "processes", "save_every_s")
"""Settings that a resumed run may change; a training from scratch may change `steps` too."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run. Each step trains on `rows` rows per process; `on_policy_rows` of them
    come from practice.

    The defaults train from scratch on gold histories, with a verifier phase in the last part.
    """

    out: Path
    seed: int = 0
    start: Path | None = None
    """The model folder whose weights the run starts from; None: random weights."""
    practice: str = "checks"
    steps: int = 3400
    processes: int = 2
    rows: int = 8
    muon_lr: float = 0.02
    adam_lr: float = 4e-3
    warm_up: int = 50
    decay_share: float = 0.8
    on_policy_share: float = 0.3
    on_policy_rows: int = 2
    kept_rows: int = 1500
    play_every_steps: int = 100
    play_dialogues: int = 80
    beta: float = 0.1
    """Only for the preference practice: the beta of direct preference optimisation. A larger value keeps the
    model closer to its start weights.
    """
    save_every_s: float = 60.0

    def __post_init__(self) -> None:
        if self.practice not in ("checks", *METHODS):
            raise ValueError(
                f"there is no practice {self.practice!r}; there are checks, {', '.join(METHODS)}"
            )
        if min(self.steps, self.processes, self.warm_up, self.play_every_steps, self.play_dialogues) < 1:
            raise ValueError(
                "steps, processes, warm_up, play_every_steps and play_dialogues must be 1 or more"
            )
        if not 0 <= self.on_policy_rows < self.rows:
            raise ValueError("rows must be more than on_policy_rows, and neither negative")
        if self.practice == "preference" and self.start is None:
            raise ValueError("preference needs weights to start from: it compares with them; name start")

    def identity(self) -> dict[str, object]:
        """Return the settings, and the hash of the start weights, that must not change when a run resumes."""
        free = {*_MAY_CHANGE, *([] if self.practice != "checks" else ["steps"])}
        kept = {name: value for name, value in asdict(self).items() if name not in free}
        return {**kept, "start_hash": self.start_hash}

    @cached_property
    def start_hash(self) -> str:
        """The hash in the identity of the model to start from, or "scratch".

        Raises:
            ValueError: the folder of that model cannot be used.
        """
        if self.start is None:
            return "scratch"
        try:
            return folder_hash(self.start)[:16]
        except DamagedFolder as error:
            raise ValueError(f"the model to start from cannot be used: {error}") from error


def on_policy_config(
    out: Path,
    practice: str,
    start: Path | None,
    *,
    steps: int = 400,
    learning_rate_share: float | None = None,
    **others: object,
) -> TrainConfig:
    """Return the settings of a run in which half of the rows of every step come from practice.

    With `start`, the learning rates are `learning_rate_share` (default 0.2) of those of training from scratch
    and fall to 0. Without `start`, they are those of training from scratch.

    Raises:
        ValueError: a setting is out of range, or has no effect with the other settings.
    """
    if start is None and learning_rate_share is not None:
        raise ValueError("a training from scratch has the whole learning rate; leave out learning_rate_share")
    if "beta" in others and practice != "preference":
        raise ValueError(f"beta belongs to the preference practice, not to {practice}; leave it out")
    share = 0.2 if learning_rate_share is None else learning_rate_share
    settings: dict[str, object] = {
        "out": out,
        "practice": practice,
        "start": start,
        "steps": steps,
        "processes": 1,
        "on_policy_share": 1.0,
        "on_policy_rows": 4,
        "kept_rows": 0,
        "play_dialogues": 400,
    }
    if start is not None:
        settings |= {
            "muon_lr": 0.02 * share,
            "adam_lr": 4e-3 * share,
            "warm_up": 20,
            "decay_share": 1.0,
        }
    return TrainConfig(**{**settings, **others})  # type: ignore[arg-type]


@dataclass
class Progress:
    """How far a run has come, and what it has cost so far."""

    step: int = 0
    seconds: float = 0.0
    """Time of steps and of playing in one process, summed over invocations."""
    play_seconds: float = 0.0
    plays: int = 0
    """Rounds of dialogues that the model has played."""
    losses: dict[str, float] = field(default_factory=dict)
    """Running mean of the loss of each kind of target."""
