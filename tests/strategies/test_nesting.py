"""Properties of every nesting, for any order in which calls complete."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from imug_tts.contracts import Strategy
from imug_tts.dialogue import Modality, Response
from imug_tts.judges import BackboneJudge
from imug_tts.runs import Budget
from imug_tts.strategies import BestOfN
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone, answer, turn_of
from tests.strategies.nestings import BOTH, LEAF, wrappers


@st.composite
def nestings(draw: st.DrawFn, max_depth: int = 3) -> Strategy:
    strategy: Strategy = LEAF
    for _ in range(draw(st.integers(1, max_depth))):
        strategy = draw(wrappers(strategy))
    return strategy


modalities = st.sampled_from(BOTH)


@dataclass(frozen=True)
class Model:
    """Describes a backbone; every run gets one of its own."""

    refusal_rate: float
    mumble_rate: float
    logits: bool
    max_batch: int

    def load(self) -> ToyBackbone:
        able = replace(CAPABILITIES, logits=self.logits, max_batch=self.max_batch)
        return ToyBackbone(able, refusal_rate=self.refusal_rate, mumble_rate=self.mumble_rate)


models = st.builds(
    Model,
    refusal_rate=st.sampled_from([0.0, 0.3]),
    mumble_rate=st.sampled_from([0.0, 0.4]),
    logits=st.booleans(),
    max_batch=st.sampled_from([1, 3, 64]),
)


def rank_is_kept(node: Response) -> bool:
    """The choice is the first best of the ranked; of the drawn, if none is ranked."""
    drawn = [i for i, c in enumerate(node.candidates) if c.output is not None]
    if not drawn:
        return node.output is None and node.chosen is None
    scores = {
        i: v.score
        for i in drawn
        if (v := node.candidates[i].verdict) is not None and v.status == "ok" and v.score is not None
    }
    best = max(scores, key=lambda i: (scores[i], -i)) if scores else drawn[0]
    return node.chosen == best and node.output == node.candidates[best].output


@given(strategy=nestings(), modality=modalities, model=models, seed=st.integers(0, 99), data=st.data())
def test_neither_completion_order_nor_batch_shape_changes_the_response(
    strategy: Strategy, modality: Modality, model: Model, seed: int, data: st.DataObject
) -> None:
    turn = turn_of(modality)
    plain = answer(strategy, turn, model.load(), seed=seed)
    shuffle = data.draw(st.integers(0, 999))
    other = replace(model, max_batch=5).load()
    assert answer(strategy, turn, other, seed=seed, shuffle=shuffle) == plain


@given(
    strategy=nestings(),
    modality=modalities,
    model=models,
    images=st.none() | st.integers(1, 9),
    texts=st.none() | st.integers(1, 30),
    shuffle=st.integers(0, 99),
)
def test_a_budget_holds_and_always_ends_with_an_answer(
    strategy: Strategy,
    modality: Modality,
    model: Model,
    images: int | None,
    texts: int | None,
    shuffle: int,
) -> None:
    turn = turn_of(modality)
    budget = Budget(images=images, texts=texts)
    backbone = model.load()
    response = answer(strategy, turn, backbone, budget=budget, shuffle=shuffle)
    assert images is None or backbone.calls("image") <= images
    assert texts is None or backbone.calls("text") <= texts
    assert (response.output is None) == (response.finish == "refused")
    assert response == answer(strategy, turn, model.load(), budget=budget)


@given(strategy=nestings(), model=models, seed=st.integers(0, 99), images=st.none() | st.integers(1, 9))
def test_the_best_so_far_is_never_lost_and_unparsable_never_counts_as_0(
    strategy: Strategy, model: Model, seed: int, images: int | None
) -> None:
    backbone = model.load()
    for node in answer(strategy, turn_of(), backbone, seed=seed, budget=Budget(images=images)).walk():
        if node.candidates:
            assert rank_is_kept(node)
        if node.verdict is not None:
            assert (node.verdict.score is None) == (node.verdict.status == "unparsable")
            assert node.output is not None


@settings(max_examples=40)
@given(inner=nestings(max_depth=2), modality=modalities, model=models, seed=st.integers(0, 99))
def test_the_candidates_of_4_are_the_first_of_8(
    inner: Strategy, modality: Modality, model: Model, seed: int
) -> None:
    def candidates(n: int) -> tuple[Response, ...]:
        best = BestOfN(inner=inner, judge=BackboneJudge(), n=n, applies_to=BOTH)
        return answer(best, turn_of(modality), model.load(), seed=seed).candidates

    assert candidates(4) == candidates(8)[:4]
