"""What a training run is: its settings, how far it is, and what it has cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from imug_tts.backbones.pocket.folder import DamagedFolder, folder_hash

METHODS: Final = ("gold", "step", "dialogue", "preference")
"""Kinds of practice that a run can be made of from its first step (`practice.PRACTICES`)."""

_MAY_CHANGE: Final = ("out", "start", "processes", "save_every_s")
"""Settings that a resumed run may change; a training from scratch may change `steps` too."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. A step sees `rows` rows of each process, `on_policy_rows` of them from practice.

    The defaults train from scratch on gold histories, with a verifier phase in the last part.
    """

    out: Path
    seed: int = 0
    start: Path | None = None
    """The model folder whose weights the run begins with; None: random weights."""
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
    """Of the preference practice: how strongly the weights are held to those at the start."""
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
        """What must be the same when a run is resumed."""
        free = {*_MAY_CHANGE, *([] if self.practice != "checks" else ["steps"])}
        kept = {name: value for name, value in asdict(self).items() if name not in free}
        return {**kept, "start_hash": self.start_hash}

    @cached_property
    def start_hash(self) -> str:
        """Hash of the model to start from, as in its identity, or "scratch".

        Raises:
            ValueError: its folder cannot be used.
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
    """A run whose every step is half practice.

    From weights the learning rate starts at a share (by default 0.2) of that of a training from scratch and
    falls to 0; from scratch it is that of a training from scratch.

    Raises:
        ValueError: a setting is out of range, or has no meaning beside the others.
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
    """Where a run is, and what it has cost so far."""

    step: int = 0
    seconds: float = 0.0
    """Of steps and of playing, summed over invocations; of one process."""
    play_seconds: float = 0.0
    plays: int = 0
    """Rounds of own dialogues played."""
    losses: dict[str, float] = field(default_factory=dict)
    """Running means by kind of target."""
