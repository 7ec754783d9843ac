"""The contract of a backbone as test cases that every backbone passes: ours and those of plugins.

In a test file of your own package:

    from imug_tts.testing.conformance import Conformance, Subject

    class TestMyModel(Conformance):
        subject = Subject(backbone=MyModel(size=32))

A case raises `NotConforming` if the backbone breaks the contract. It returns the reasons why parts of the
case cannot be tested on this model; the list may be empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from imug_tts.testing.conformance import answers, context, costs, engine, identity, local, remote, seeds
from imug_tts.testing.conformance.subject import NotConforming, Script, Subject

__all__ = ["CASES", "Case", "Conformance", "NotConforming", "Script", "Subject", "check"]

Case = Callable[[Subject], list[str]]

_OF_ALL: Final[tuple[Case, ...]] = (
    answers.declarations_are_whole,
    answers.rewards_are_given,
    identity.identity_is_stable,
    identity.result_knobs_change_the_identity,
    identity.runtime_knobs_leave_the_identity_alone,
    local.memory_is_estimated,
    local.unloading_frees_and_loads_again,
    remote.one_call_at_a_time,
    remote.late_servers_time_out,
    remote.unreachable_servers_are_errors,
    remote.interrupt_ends_the_wait,
)
"""The cases of every model, also of one that gives rewards only."""
_OF_OUTPUTS: Final[tuple[Case, ...]] = (
    answers.every_output_works,
    answers.yes_no_is_answered,
    answers.refusal_is_data,
    answers.length_is_data,
    answers.other_modality_is_refused_before_compute,
    seeds.seed_repeats,
    seeds.seed_repeats_in_a_batch,
    seeds.seed_repeats_in_threads,
    seeds.first_of_four_is_the_only_one,
    seeds.other_seeds_give_other_candidates,
    seeds.greedy_needs_no_seed,
    context.prompt_changes_the_output,
    context.system_prompt_is_taken,
    context.context_images_change_the_image,
    context.images_older_than_declared_change_nothing,
    context.users_images_change_the_image,
    context.images_change_the_text,
    context.settings_change_the_output,
    costs.costs_are_counted,
    costs.costs_of_a_batch_are_those_of_single_calls,
    costs.shared_prompt_is_charged_once,
    engine.dialogue_of_six_turns,
    engine.out_of_memory_is_survived,
    identity.knobs_of_one_identity_change_no_result,
)
"""The cases of a model that writes or draws."""
CASES: Final[Mapping[str, Case]] = {case.__name__: case for case in (*_OF_ALL, *_OF_OUTPUTS)}
"""Every case by its name."""


def check(name: str, subject: Subject) -> list[str]:
    """Run one case.

    Returns:
        The reasons why parts of the case cannot be tested on this model; empty if all of it was tested.

    Raises:
        NotConforming: names the case, the model and what it breaks.
    """
    if not subject.outputs and CASES[name] in _OF_OUTPUTS:
        return ["it gives rewards only, and neither writes nor draws"]
    try:
        return CASES[name](subject)
    except NotConforming as error:
        raise NotConforming(f"{name}: {subject.name or type(subject.backbone).__name__}: {error}") from error


class Conformance:
    """All cases as a pytest class: derive from it and set `subject`."""

    subject: ClassVar[Subject]

    def pytest_generate_tests(self, metafunc: Any) -> None:
        metafunc.parametrize("case", list(CASES))

    def test_case(self, case: str) -> None:
        for reason in check(case, self.subject):
            print(f"{case}: not tested: {reason}")
