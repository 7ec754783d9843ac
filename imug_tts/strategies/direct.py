"""One call per turn: the baseline, and the leaf of every nesting."""

from __future__ import annotations

from dataclasses import dataclass

from imug_tts.contracts import Sampling, Scope
from imug_tts.dialogue import Modality, Response, Turn
from imug_tts.strategies._knobs import at_least

__all__ = ["Direct"]


@dataclass(frozen=True, kw_only=True)
class Direct:
    """Answer with one draw of the generator. A temperature of 0 is greedy."""

    image_temperature: float = 1.0
    text_temperature: float = 0.0
    max_tokens: int = 512
    """Limit of a text answer; models that draw in tokens of fixed number ignore it for images."""

    def __post_init__(self) -> None:
        at_least(self.name, "image_temperature", self.image_temperature, 0)
        at_least(self.name, "text_temperature", self.text_temperature, 0)
        at_least(self.name, "max_tokens", self.max_tokens, 1)

    @property
    def name(self) -> str:
        return "direct"

    def temperature(self, modality: Modality) -> float:
        """The temperature at which a turn of `modality` is drawn."""
        return self.image_temperature if modality == "image" else self.text_temperature

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """One call.

        Raises:
            OutOfBudget: the budget does not allow it.
            BackboneError: it failed.
        """
        sampling = Sampling(temperature=self.temperature(turn.modality), max_tokens=self.max_tokens)
        drawn = await scope.ask("generator", turn.prompt(), turn.modality, sampling)
        return Response(strategy=self.name, output=drawn.output, finish=drawn.finish, thought=drawn.thought)
