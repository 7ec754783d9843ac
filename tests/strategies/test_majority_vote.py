"""Majority vote takes the most frequent answer of a text turn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.calls.seeds import branch_seed
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Message, Response, Text
from imug_tts.runs import Budget
from imug_tts.strategies import Direct, MajorityVote
from imug_tts.strategies.majority_vote import ballot
from imug_tts.testing.toys import ToyBackbone, answer, turn_of

SAMPLED = Direct(text_temperature=0.7)


def elect(*replies: str, budget: Budget | None = None) -> Response:
    turn = turn_of("text")
    seeds = [branch_seed(0, turn.sample, turn.number, (i,)) for i in range(len(replies))]

    def reply(history: tuple[Message, ...], seed: int) -> str:
        return replies[seeds.index(seed)]

    vote = MajorityVote(inner=SAMPLED, n=len(replies))
    return answer(vote, turn, ToyBackbone(reply=reply), budget=budget)


@pytest.mark.parametrize(
    ("replies", "chosen"),
    [
        (("A", "B", "B"), 1),
        (("B", "A", "A, C", "CA", "the answer is C and A"), 2),
        (("C", "B", "B", "C"), 0),
        (("red", "blue", " blue\n"), 1),
        (("A", "B", "C"), 0),
        (("(B)", "A", "**B**"), 0),
    ],
)
def test_the_most_frequent_letters_win_and_the_earliest_of_equals(
    replies: tuple[str, ...], chosen: int
) -> None:
    response = elect(*replies)
    assert response.chosen == chosen
    assert response.output == Text(replies[chosen])
    assert [c.output for c in response.candidates] == [Text(reply) for reply in replies]


@pytest.mark.parametrize(
    ("reply", "vote"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("C and A", "AC"),
        ("CA", "AC"),
        ("The answer is C and A.", "AC"),
        ("**Answer:** B", "B"),
        ("Option A shows a star, so the answer is option B.", "B"),
        ("B. A red circle", "B"),
        ("B) A red circle", "B"),
        ("A. A star\nC. A circle", "AC"),
        ("A is wrong, because C has the star.\n\nC", "C"),
        ("B\n\nA circle is there, and C is wrong.", "B"),
        ("<think>A or C? It must be A.</think>B", "B"),
        ("Perhaps C.</think>\n\nAnswer: B", "B"),
        ("A circle", "A circle"),
        ("A bad idea is BAD", "A bad idea is BAD"),
        ("A because of the star", "A"),
        ("red", "red"),
        ("<think>A or B", ""),
    ],
)
def test_a_reply_votes_for_the_letters_of_its_answer(reply: str, vote: str) -> None:
    assert ballot(reply) == vote


def test_a_reply_that_was_cut_off_while_it_reasoned_does_not_vote() -> None:
    assert elect("<think>A", "<think>C", "B").output == Text("B")
    assert elect("<think>A", "<think>C").chosen == 0


def test_a_tied_vote_is_noted() -> None:
    assert "tied" in elect("A", "B").note
    assert elect("A", "A", "B").note == ""


@given(letters=st.lists(st.sampled_from("ABC"), min_size=1, max_size=9))
def test_no_letter_has_more_votes_than_the_winner(letters: list[str]) -> None:
    winner = elect(*letters).output
    assert isinstance(winner, Text)
    assert letters.count(winner.text) == max(map(letters.count, letters))


def test_a_smaller_budget_means_fewer_samples() -> None:
    response = elect("A", "B", "B", budget=Budget(texts=2))
    assert (response.chosen, len(response.candidates)) == (0, 2)
    assert "the budget allowed 2 of 3 samples" in response.note


def test_image_turns_pass_to_the_inner_strategy() -> None:
    assert answer(MajorityVote(inner=SAMPLED)) == answer(SAMPLED)


def test_no_votes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="n is 0"):
        MajorityVote(inner=Direct(), n=0)
