"""Multiple-choice scores: the official rule, its correction, and the union of dynamic answers."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.scoring import mcq

OFFICIAL = [
    ("B", "B", 1.0),
    (" B\n", "B", 1.0),
    ("B", " B ", 1.0),
    ("A, D", "A,D", 0.75),
    ("A;D.", "A,D", 0.75),
    ("A - D", "A and D", 0.75),
    ("(A)", "A", 0.5),
    ("Option A is right", "A", 0.5),
    ("A, B, D", "A,D", 0.375),
    ("A", "A,D", 0.5),
    ("A", "A, A", 1.0),
    ("A, C", "A, B, C, D", 0.375),
    ("A, B, C", "A, B, D", 0.25),
    ("A,C", "A,B,C", 0.5),
    ("C", "A", 0.0),
    ("A, B", "A", 0.0),
    ("b", "B", 0.0),
    ("", "B", 0.0),
    ("   ", "B", 0.0),
    ("H", "B", 0.0),
    ("A1", "A", 0.0),
    ("A_", "A", 0.0),
    ("B", "", 0.0),
    ("AD", "A,D", 0.0),
    ("A, D", "AD", 0.0),
    ("AD", "AD", 0.0),
    ("B\uff0c the red one", "B", 0.5),
    ("É", "É, B", 0.0),
]


@pytest.mark.parametrize(("response", "answer", "score"), OFFICIAL)
def test_official_rule(response: str, answer: str, score: float) -> None:
    assert mcq.official(response, answer) == score


@pytest.mark.parametrize(
    ("response", "answer", "score"),
    [
        ("AD", "A,D", 1.0),
        ("DA", "A,D", 1.0),
        ("A, D", "AD", 0.75),
        ("AD", "DA", 1.0),
        ("AB, D", "A,B,D", 0.75),
        ("The answer is AD.", "AD", 0.5),
        ("ABD", "A,D", 0.5),
        ("AB", "A", 0.0),
        ("BAD", "A,B,D", 1.0),
        ("That is BAD", "A,B,D", 0.0),
        ("DAD", "A,D", 1.0),
        ("My DAD says so", "A,D", 0.0),
        ("BADGE", "A,B", 0.0),
        ("A BAD guess: A", "A", 0.5),
    ],
)
def test_corrected_reads_joined_letters(response: str, answer: str, score: float) -> None:
    assert mcq.corrected(response, answer) == score


texts = st.text(st.sampled_from("ABCDGHab1 ,.;-é"), max_size=8)


@given(texts, texts)
def test_the_rules_differ_only_where_letters_are_joined(response: str, answer: str) -> None:
    official, corrected = mcq.official(response, answer), mcq.corrected(response, answer)
    assert 0 <= official <= 1
    assert 0 <= corrected <= 1
    if not re.search("[A-G]{2}", response + "\n" + answer):
        assert official == corrected


@given(st.sets(st.sampled_from("ABCDEFG"), min_size=1))
def test_a_perfect_joined_answer_scores_one(letters: set[str]) -> None:
    joined = "".join(sorted(letters))
    assert mcq.corrected(joined, joined) == mcq.corrected(joined, ",".join(letters)) == 1.0


@pytest.mark.parametrize(
    ("answer", "determined", "letters"),
    [
        ("<DYNAMIC>", "C", "C"),
        ("A+<DYNAMIC>", "DC", "ACD"),
        ("AC+<DYNAMIC>", "B, C", "ABC"),
        ("A+<DYNAMIC>+E", "B", "AB"),
        ("<DYNAMIC>", "", ""),
        ("<DYNAMIC>", "d", "D"),
        ("h+<DYNAMIC>", "H", ""),
        ("B", "C", "BC"),
        ("A+<DYNAMIC>", True, "AE"),
        ("<DYNAMIC>", {"x": "B"}, "B"),
    ],
)
def test_fixed_letters_are_united_with_determined_ones(answer: str, determined: object, letters: str) -> None:
    assert mcq.united(answer, determined) == letters
