"""Labels of nestings, and the nestings that are refused before any compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import pytest

from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.composition import check_composition, is_oracle, judges, label, layers
from imug_tts.contracts import (
    MODEL_ROLES,
    Backbone,
    Capabilities,
    ConfigurationError,
    Judge,
    ModelRole,
    Scope,
    Strategy,
)
from imug_tts.dialogue import Modality, Response, Turn
from imug_tts.judges import BackboneJudge, EnsembleJudge, ExactJudge, OpenAIJudge, PairwiseJudge
from imug_tts.registry import describe
from imug_tts.strategies import (
    BestOfN,
    ChainOfThought,
    Direct,
    MajorityVote,
    SelfVerification,
)
from imug_tts.testing.runs import ToyBenchmark
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
            "no text for feedback",
        ),
        (Direct(), roles(generator=TEXT_ONLY), "has image turns, and the generator outputs text only"),
        (Direct(), roles(generator=IMAGE_ONLY), "has text turns, and the generator outputs image only"),
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
    with pytest.raises(ConfigurationError, match="votes on text turns, and the benchmark has none"):
        check_composition(MajorityVote(inner=Direct()), roles(), {"image"})


def test_all_questions_together_are_refused_of_a_verifier_that_gives_p_yes() -> None:
    strategy = BestOfN(inner=Direct(), judge=BackboneJudge(ask="together"))
    with pytest.raises(ConfigurationError, match="set ask=each on that judge"):
        check_composition(strategy, roles())
    check_composition(strategy, roles(verifier=replace(CAPABILITIES, logits=False)))
    assert label(strategy) == "best_of_4[judge.ask=together]"


@dataclass(frozen=True, kw_only=True)
class Debate(Strategy):
    """A plugin's strategy whose parts have names of their own."""

    draft: Strategy
    refiner: Strategy
    critic: Judge
    panel: tuple[Judge, ...] = ()
    rounds: int = 2

    @property
    def name(self) -> str:
        return "debate"

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        raise NotImplementedError


SCORER_JUDGE = ExactJudge(benchmark=ToyBenchmark())
DEBATE = Debate(
    draft=ChainOfThought(inner=Direct()),
    refiner=SelfVerification(inner=Direct(), judge=JUDGE),
    critic=SCORER_JUDGE,
)


def test_all_layers_and_judges_are_seen_whatever_their_fields_are_called() -> None:
    assert [layer.name for layer in layers(DEBATE)] == ["debate", "cot", "direct", "self_verify", "direct"]
    places = [(place.path, place.layer.name, place.judge.name) for place in judges(DEBATE)]
    assert places == [
        ("strategy.refiner.judge", "self_verify", "backbone"),
        ("strategy.critic", "debate", "exact"),
    ]
    panel = replace(DEBATE, panel=(JUDGE, PairwiseJudge()))
    assert [place.judge.name for place in judges(panel)] == ["backbone", "exact", "backbone", "pairwise"]


@dataclass(frozen=True, kw_only=True)
class Committee(Debate):
    """Its judges and strategies are held in collections of several kinds."""

    seats: Mapping[str, Judge] = field(default_factory=dict)
    speakers: Sequence[Strategy] = ()
    guests: Any = None


@pytest.mark.parametrize(
    "held",
    [
        {"seats": {"chair": SCORER_JUDGE}},
        {"speakers": [BestOfN(inner=Direct(), judge=SCORER_JUDGE)]},
        {"guests": SCORER_JUDGE},
        {"guests": {"first": [SCORER_JUDGE]}},
        {"panel": (JUDGE, SCORER_JUDGE)},
    ],
    ids=["mapping", "sequence", "any", "nested", "tuple"],
)
def test_an_oracle_is_seen_in_whatever_holds_it(held: dict[str, Any]) -> None:
    committee = Committee(draft=Direct(), refiner=Direct(), critic=JUDGE, **held)
    assert is_oracle(committee)
    assert label(committee).count("oracle_") == 1
    assert "exact" in str(describe(committee))


def test_an_oracle_below_any_name_makes_an_oracle_arm() -> None:
    assert is_oracle(DEBATE)
    assert label(DEBATE) == "oracle_debate[draft=cot,refiner=self_verify]"
    assert not is_oracle(replace(DEBATE, critic=JUDGE))
    assert label(replace(DEBATE, critic=JUDGE, rounds=3)) == "debate[rounds=3,draft=cot,refiner=self_verify]"
    hidden = BestOfN(inner=replace(DEBATE, critic=JUDGE, panel=(SCORER_JUDGE,)), judge=JUDGE)
    assert is_oracle(hidden)
    assert label(hidden).startswith("best_of_4+oracle_debate[")


@pytest.mark.parametrize(
    ("strategy", "models", "reason"),
    [
        (DEBATE, roles(planner=IMAGE_ONLY), "planner outputs image only"),
        (DEBATE, roles(verifier=BLIND), "cannot read images"),
        (replace(DEBATE, refiner=SelfVerification(inner=GREEDY, judge=SCORER_JUDGE)), roles(), "identical"),
        (replace(DEBATE, draft=deep(8)), roles(), "nests 9 layers; the most is 8"),
        (replace(DEBATE, refiner=BestOfN(inner=GREEDY, judge=SCORER_JUDGE)), roles(), "4 identical"),
    ],
)
def test_what_cannot_work_is_refused_below_any_name(
    strategy: Strategy, models: Mapping[ModelRole, Backbone], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        check_composition(strategy, models)


@pytest.mark.parametrize(
    "strategy",
    [
        BestOfN(inner=Direct(), judge=ExactJudge(benchmark=ToyBenchmark(judged=True))),
        ChainOfThought(
            inner=SelfVerification(inner=Direct(), judge=ExactJudge(benchmark=ToyBenchmark(judged=True)))
        ),
        replace(DEBATE, critic=ExactJudge(benchmark=ToyBenchmark(judged=True))),
    ],
    ids=["selector", "verifier below", "plugin"],
)
def test_a_judge_that_is_the_scorer_needs_the_model_that_scores(strategy: Strategy) -> None:
    with pytest.raises(ConfigurationError, match="scored by a model that the run does not have"):
        check_composition(strategy, roles())
    check_composition(strategy, {**roles(), "scorer": ToyBackbone(identity="scorer")})


def test_a_judge_is_checked_against_the_model_that_it_brings() -> None:
    brings = BackboneJudge(verifier=ToyBackbone(BLIND))
    with pytest.raises(ConfigurationError, match="cannot read images"):
        check_composition(BestOfN(inner=Direct(), judge=brings), roles())
    seeing = BackboneJudge(verifier=ToyBackbone())
    check_composition(BestOfN(inner=Direct(), judge=seeing), roles(verifier=BLIND))


@pytest.mark.parametrize(
    ("judge", "inner", "expected"),
    [
        (JUDGE, JUDGE, "best_of_4+self_verify"),
        (OpenAIJudge(), JUDGE, "best_of_4[judge=openai]+self_verify[judge=backbone]"),
        (
            OpenAIJudge(model="a"),
            OpenAIJudge(model="b"),
            "best_of_4[judge=openai,judge.model=a]+self_verify[judge=openai,judge.model=b]",
        ),
        (SCORER_JUDGE, JUDGE, "oracle_best_of_4+self_verify"),
        (
            BackboneJudge(verifier=ToyBackbone()),
            JUDGE,
            "best_of_4[judge.verifier=imug_tts.testing.toys:ToyBackbone]+self_verify",
        ),
        (
            BackboneJudge(verifier=OpenAIChat(model="a", base_url="http://host/v1")),
            PairwiseJudge(verifier=OpenAIChat(model="b")),
            "best_of_4[judge=backbone,judge.verifier=openai_chat[model=a]]"
            "+self_verify[judge=pairwise,judge.verifier=openai_chat[model=b]]",
        ),
        (
            EnsembleJudge(members=(OpenAIJudge(model="a"), BackboneJudge(max_questions=3))),
            JUDGE,
            "best_of_4[judge=ensemble(openai[model=a]-backbone[max_questions=3])]+self_verify[judge=backbone]",
        ),
    ],
)
def test_a_label_names_judges_as_soon_as_one_is_not_the_backbone_itself(
    judge: Judge, inner: Judge, expected: str
) -> None:
    assert label(BestOfN(inner=SelfVerification(inner=Direct(), judge=inner), judge=judge)) == expected
