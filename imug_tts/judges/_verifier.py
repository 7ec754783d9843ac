"""The base class of judges that ask a verifier model questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    ConfigurationError,
    Form,
    Judge,
    JudgeError,
    ModelRole,
    Models,
    Sampling,
    Scope,
    Setting,
    TimedOut,
)
from imug_tts.dialogue import Message, Modality
from imug_tts.knobs import component, knob

__all__ = ["Attempt", "VerifierJudge", "ask_verifier"]


async def ask_verifier(
    scope: Scope,
    history: tuple[Message, ...],
    sampling: Sampling,
    *,
    form: Form = "free",
    model: Backbone | None = None,
) -> Candidate:
    """Return the reply of the run's verifier, or of `model`.

    Raises:
        JudgeError: the call failed.
        TimedOut: the call exceeded its time limit.
        OutOfBudget: the budget does not allow the call.
    """
    try:
        return await scope.ask("verifier", history, "text", sampling, form=form, model=model)
    except TimedOut:
        raise
    except BackboneError as error:
        raise JudgeError(f"the verifier failed: {error}") from error


class Attempt(NamedTuple):
    scope: Scope
    sampling: Sampling


@component
class VerifierJudge(Judge):
    """Asks a verifier greedily, and retries unreadable replies with other seeds, up to `max_reasks` times."""

    temperature: float = knob("Temperature of the first attempt; 0 is greedy.", default=0.0, ge=0)
    max_reasks: int = knob("Most retries after an unreadable reply.", default=2, ge=0)
    reask_temperature: float = knob(
        "Temperature of retries; a greedy retry would only repeat the unreadable reply.",
        default=0.7,
        gt=0,
    )

    role: ClassVar[ModelRole] = "verifier"

    @property
    def asked_model(self) -> Backbone | None:
        """The judge's own model; None for the run's verifier."""
        return None

    @property
    def models(self) -> Models:
        return {self.role: self.asked_model}

    def prompts(self, scope: Scope) -> Mapping[str, str]:
        return scope.prompts(self.role, self.asked_model)

    def attempts(self, scope: Scope, max_tokens: int) -> Iterator[Attempt]:
        yield Attempt(scope, Sampling(temperature=self.temperature, max_tokens=max_tokens))
        for index in range(1, self.max_reasks + 1):
            again = Sampling(temperature=self.reask_temperature, max_tokens=max_tokens)
            yield Attempt(scope.child(index), again)

    async def reply(
        self, attempt: Attempt, history: tuple[Message, ...], *, form: Form = "free"
    ) -> Candidate:
        """Return the verifier's reply to one attempt; raises the errors of `ask_verifier`."""
        return await ask_verifier(attempt.scope, history, attempt.sampling, form=form, model=self.asked_model)

    def check(self, setting: Setting, modalities: Sequence[Modality], layer: str) -> None:
        """Check that the verifier outputs text, and reads images if it judges images."""
        if not modalities:
            return
        verifier = setting.capabilities(self.role, self.asked_model)
        if "text" not in verifier.outputs:
            raise ConfigurationError(
                f"the judge of {layer} asks the {self.role} questions, and the {self.role} outputs "
                f"{' and '.join(sorted(verifier.outputs))} only; choose a backbone that outputs text"
            )
        if "image" in modalities and not verifier.reads_images:
            raise ConfigurationError(
                f"the judge of {layer} checks images, and the {self.role} cannot read images; "
                "choose another judge, or a backbone that reads images"
            )
