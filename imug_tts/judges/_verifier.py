"""What judges have in common that put questions to the run's verifier."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from imug_tts.contracts import ConfigurationError, ModelRole, Sampling, Scope

__all__ = ["Attempt", "VerifierJudge"]


class Attempt(NamedTuple):
    scope: Scope
    sampling: Sampling


@dataclass(frozen=True, kw_only=True)
class VerifierJudge:
    """Asks greedily first, and what cannot be read again with another seed, at most `max_reasks` times."""

    max_reasks: int = 2
    reask_temperature: float = 0.7

    role: ClassVar[ModelRole] = "verifier"

    def __post_init__(self) -> None:
        self._at_least("max_reasks", 0)
        if not self.reask_temperature > 0:
            raise ConfigurationError(
                f"judge {self.name}: reask_temperature is {self.reask_temperature}; set it above 0, "
                "because a greedy model would only repeat what could not be read"
            )

    @property
    def name(self) -> str:
        raise NotImplementedError

    @property
    def oracle(self) -> bool:
        return False

    def attempts(self, scope: Scope, max_tokens: int) -> Iterator[Attempt]:
        yield Attempt(scope, Sampling(temperature=0.0, max_tokens=max_tokens))
        for index in range(1, self.max_reasks + 1):
            again = Sampling(temperature=self.reask_temperature, max_tokens=max_tokens)
            yield Attempt(scope.child(index), again)

    def _at_least(self, knob: str, lowest: int) -> None:
        value = getattr(self, knob)
        if value < lowest:
            raise ConfigurationError(f"judge {self.name}: {knob} is {value}; set it to {lowest} or more")
