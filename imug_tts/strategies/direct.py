"""Direct: one call per turn, the baseline and the innermost layer of every nesting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from imug_tts.contracts import ConfigurationError, Models, Sampling, Scalar, Scope, Setting, Strategy
from imug_tts.dialogue import Modality, Response, Turn
from imug_tts.knobs import component, knob, knobs_of, nearest

__all__ = ["Direct"]


@component
class Direct(Strategy):
    """Answer with one sample of the generator."""

    image_temperature: float = knob("Temperature of images; 0 is greedy.", default=1.0, ge=0)
    text_temperature: float = knob("Temperature of text answers; 0 is greedy.", default=0.0, ge=0)
    max_tokens: int = knob(
        "Most tokens of a text answer; models with a fixed number of image tokens ignore it for images.",
        default=512,
        ge=1,
    )
    settings: Mapping[str, Scalar] = knob(
        "Options of the backbone for every call, e.g. {steps: 30}; each backbone declares its options.",
        default_factory=dict,
    )

    @property
    def name(self) -> str:
        return "direct"

    @property
    def models(self) -> Models:
        return {"generator": None}

    def varies(self, modality: Modality) -> bool:
        return self.temperature(modality) > 0

    def check(self, setting: Setting) -> None:
        """Check that the generator declares all `settings`; raises ConfigurationError if not."""
        declared = setting.settings("generator")
        known = {} if declared is None else knobs_of(declared)
        for name, value in self.settings.items():
            if name not in known:
                advice = nearest(name, known) if known else "the backbone has no settings"
                raise ConfigurationError(f"direct: settings has no {name!r}; {advice}")
            try:
                known[name].check(value)
            except ConfigurationError as error:
                raise ConfigurationError(f"direct: settings.{name} {error}") from None

    def at_temperature(self, temperature: float) -> Direct:
        return replace(self, text_temperature=temperature)

    def temperature(self, modality: Modality) -> float:
        """Return the sampling temperature for turns of `modality`."""
        return self.image_temperature if modality == "image" else self.text_temperature

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        """Return the answer of one call.

        Raises:
            OutOfBudget: the budget does not allow the call.
            BackboneError: the call failed.
        """
        sampling = Sampling(
            temperature=self.temperature(turn.modality),
            max_tokens=self.max_tokens,
            settings=tuple(sorted(self.settings.items())),
        )
        drawn = await scope.ask("generator", turn.prompt(), turn.modality, sampling)
        return Response(
            strategy=self.name,
            output=drawn.output,
            finish=drawn.finish,
            reason=drawn.reason,
            source=drawn.source,
            thought=drawn.thought,
        )
