"""What nestings are called, and which are refused before any compute."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest

from imug_tts.composition import check_composition, label
from imug_tts.contracts import MODEL_ROLES, Backbone, Capabilities, ConfigurationError, ModelRole, Strategy
from imug_tts.dialogue import Modality
from imug_tts.judges import BackboneJudge
from imug_tts.strategies import (
    BestOfN,
    ChainOfThought,
    Direct,
    MajorityVote,
    SelfVerification,
)
from imug_tts.testing.toys import CAPABILITIES, TableJudge, ToyBackbone

JUDGE = BackboneJudge()
WRAPPERS = ("cot", "self_verify", "best_of_n")


def wrap(name: str, inner: Strategy) -> Strategy:
    if name == "cot":
        return ChainOfThought(inner=inner)
    if name == "self_verify":
        return SelfVerification(inner=inner, judge=JUDGE)
    return BestOfN(inner=inner, judge=JUDGE)


def roles(**changed: Capabilities) -> Mapping[ModelRole, Backbone]:
    return {role: ToyBackbone(changed.get(role, CAPABILITIES)) for role in MODEL_ROLES}


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Direct(), "direct"),
        (Direct(image_temperature=0.5), "direct[image_temperature=0.5]"),
        (ChainOfThought(inner=Direct()), "cot"),
        (ChainOfThought(inner=Direct(max_tokens=64)), "cot+direct[max_tokens=64]"),
        (ChainOfThought(inner=Direct(), keep_plan=True, plan_tokens=9), "cot[plan_tokens=9,keep_plan=true]"),
        (BestOfN(inner=wrap("self_verify", wrap("cot", Direct())), judge=JUDGE), "best_of_4+self_verify+cot"),
        (
            BestOfN(inner=Direct(), judge=JUDGE, n=8, applies_to=("image", "text")),
            "best_of_8[applies_to=image-text]",
        ),
        (BestOfN(inner=Direct(), judge=TableJudge(scores={}, oracle=True)), "oracle_best_of_4"),
        (BestOfN(inner=Direct(), judge=BackboneJudge(max_questions=3)), "best_of_4[judge.max_questions=3]"),
        (SelfVerification(inner=Direct(), judge=TableJudge(scores={})), "self_verify[judge=table]"),
        (MajorityVote(inner=ChainOfThought(inner=Direct()), n=7), "majority_of_7+cot"),
    ],
)
def test_a_label_tells_layers_outer_to_inner_and_what_differs_from_the_defaults(
    strategy: Strategy, expected: str
) -> None:
    assert label(strategy) == expected


@pytest.mark.parametrize("names", [n for depth in range(4) for n in product(WRAPPERS, repeat=depth)])
def test_every_nesting_up_to_depth_3_is_accepted_with_default_knobs(names: tuple[str, ...]) -> None:
    strategy: Strategy = Direct()
    for name in names:
        strategy = wrap(name, strategy)
    check_composition(strategy, roles())


def deep(layers: int) -> Strategy:
    strategy: Strategy = Direct()
    for _ in range(layers - 1):
        strategy = ChainOfThought(inner=strategy)
    return strategy


GREEDY = Direct(image_temperature=0)
TEXT_ONLY = replace(CAPABILITIES, outputs=frozenset[Modality]({"text"}))
IMAGE_ONLY = replace(CAPABILITIES, outputs=frozenset[Modality]({"image"}))
BLIND = replace(CAPABILITIES, reads_images=False)


@pytest.mark.parametrize(
    ("strategy", "models", "reason"),
    [
        (BestOfN(inner=Direct(), judge=JUDGE), roles(verifier=BLIND), "cannot read images"),
        (ChainOfThought(inner=wrap("self_verify", Direct())), roles(verifier=BLIND), "cannot read images"),
        (BestOfN(inner=Direct(), judge=JUDGE), roles(verifier=IMAGE_ONLY), "verifier outputs image only"),
        (
            BestOfN(inner=GREEDY, judge=JUDGE),
            roles(),
            "4 identical answers on image turns.*image_temperature",
        ),
        (
            BestOfN(inner=SelfVerification(inner=GREEDY, judge=JUDGE, refine="edit"), judge=JUDGE),
            roles(),
            "4 iden",
        ),
        (BestOfN(inner=ChainOfThought(inner=GREEDY, plan_temperature=0), judge=JUDGE), roles(), "identical"),
        (
            BestOfN(inner=ChainOfThought(inner=GREEDY, applies_to=("text",)), judge=JUDGE),
            roles(),
            "identical",
        ),
        (
            BestOfN(inner=Direct(), judge=JUDGE, applies_to=("text",)),
            roles(),
            "identical answers on text turns",
        ),
        (SelfVerification(inner=GREEDY, judge=JUDGE), roles(), "3 identical answers on image"),
        (MajorityVote(inner=Direct()), roles(), "5 identical answers on text.*text_temperature"),
        (
            SelfVerification(inner=Direct(), judge=JUDGE, refine="edit"),
            roles(generator=replace(CAPABILITIES, draws_from_images=False)),
            "does not draw from images",
        ),
        (
            SelfVerification(inner=Direct(), judge=JUDGE, refine="feedback"),
            roles(generator=replace(CAPABILITIES, prompts="pocket")),
            "no words for feedback",
        ),
        (Direct(), roles(generator=TEXT_ONLY), "poses image turns, and the generator outputs text only"),
        (Direct(), roles(generator=IMAGE_ONLY), "poses text turns, and the generator outputs image only"),
        (ChainOfThought(inner=Direct()), roles(planner=IMAGE_ONLY), "planner outputs image only"),
        (ChainOfThought(inner=ChainOfThought(inner=Direct(), keep_plan=True)), roles(), "outermost cot"),
        (deep(9), roles(), "nests 9 layers; the most is 8"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(
    strategy: Strategy, models: Mapping[ModelRole, Backbone], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check_composition(strategy, models)


@pytest.mark.parametrize(
    ("strategy", "models"),
    [
        (BestOfN(inner=ChainOfThought(inner=GREEDY), judge=JUDGE), roles()),
        (BestOfN(inner=GREEDY, judge=JUDGE, n=1), roles()),
        (MajorityVote(inner=ChainOfThought(inner=Direct())), roles()),
        (SelfVerification(inner=GREEDY, judge=JUDGE, refine="feedback"), roles()),
        (BestOfN(inner=Direct(), judge=TableJudge(scores={}, oracle=True)), roles(verifier=BLIND)),
        (ChainOfThought(inner=ChainOfThought(inner=Direct()), keep_plan=True), roles()),
        (deep(8), roles()),
    ],
)
def test_what_looks_alike_and_works_is_accepted(
    strategy: Strategy, models: Mapping[ModelRole, Backbone]
) -> None:
    check_composition(strategy, models)


def test_only_the_turns_that_are_posed_count() -> None:
    check_composition(Direct(), roles(generator=TEXT_ONLY), {"text"})
    check_composition(BestOfN(inner=GREEDY, judge=JUDGE), roles(verifier=BLIND), {"text"})
    with pytest.raises(ConfigurationError, match="votes on text turns, and none are posed"):
        check_composition(MajorityVote(inner=Direct()), roles(), {"image"})


def test_all_questions_together_are_refused_of_a_verifier_that_gives_p_yes() -> None:
    strategy = BestOfN(inner=Direct(), judge=BackboneJudge(ask="together"))
    with pytest.raises(ConfigurationError, match="set ask=each on that judge"):
        check_composition(strategy, roles())
    check_composition(strategy, roles(verifier=replace(CAPABILITIES, logits=False)))
    assert label(strategy) == "best_of_4[judge.ask=together]"
