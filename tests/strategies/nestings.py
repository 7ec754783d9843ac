"""Random strategies and the layers around them, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from imug_tts.contracts import Strategy
from imug_tts.dialogue import Modality
from imug_tts.judges import BackboneJudge
from imug_tts.strategies import BestOfN, ChainOfThought, Direct, MajorityVote, SelfVerification

__all__ = ["BOTH", "LEAF", "wrappers"]

LEAF = Direct(text_temperature=0.7)
BOTH: tuple[Modality, ...] = ("text", "image")


def wrappers(inner: Strategy) -> st.SearchStrategy[Strategy]:
    applies_to = st.sampled_from([BOTH, ("image",)])
    judge = st.builds(BackboneJudge, max_questions=st.integers(1, 3), max_reasks=st.integers(0, 1))
    verify = st.builds(
        SelfVerification,
        inner=st.just(inner),
        judge=judge,
        max_rounds=st.integers(1, 3),
        threshold=st.sampled_from([0.4, 0.6, 1.0]),
        refine=st.sampled_from(["fresh", "feedback", "edit"]),
        applies_to=applies_to,
    )
    select = st.builds(BestOfN, inner=st.just(inner), judge=judge, n=st.integers(1, 3), applies_to=applies_to)
    plan = st.builds(ChainOfThought, inner=st.just(inner), keep_plan=st.booleans(), applies_to=applies_to)
    vote = st.builds(MajorityVote, inner=st.just(inner), n=st.integers(1, 3))
    return st.one_of(verify, select, plan, vote)
