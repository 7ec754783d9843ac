"""Every field of a run's files is declared with its type and meaning, and every declared one is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.fields import ANALYSIS_FIELDS, ESTIMATE_FIELDS
from imug_tts.contracts import Cost, Score, Summary
from imug_tts.dialogue import Point, Response, Text, Verdict
from imug_tts.records.fields import FILES, MANIFEST_FIELDS, RECORD_FIELDS, SUMMARY_FIELDS, Field, undeclared
from imug_tts.runs.turn_records import response_to_json

ALL = [*ANALYSIS_FIELDS, *ESTIMATE_FIELDS, *(field for fields in FILES.values() for field in fields)]
VERDICT = Verdict(status="ok", judge="j", score=0.2, points=(Point("Is it red?", 0.2),))
RESPONSE = Response(
    strategy="best_of_1",
    output=Text("A"),
    reason="declined",
    source="model-1 reply-1",
    plan="a plan",
    thought="a thought",
    verdict=VERDICT,
    chosen=0,
    note="out of budget",
    candidates=(Response(strategy="direct", output=Text("A")),),
)


def keys_of(fields: tuple[Field, ...], place: str) -> set[str]:
    """The declared keys directly below a place."""
    below = [field.place[len(place) :] for field in fields if field.place.startswith(place)]
    return {key for key in below if key and "." not in key and "[]" not in key}


def test_every_field_has_a_type_and_a_meaning() -> None:
    assert [field.place for field in ALL if not field.type or not field.meaning.endswith(".")] == []


def test_no_field_is_declared_twice() -> None:
    for fields in (*FILES.values(), ANALYSIS_FIELDS, ESTIMATE_FIELDS):
        places = [field.place for field in fields]
        assert len(places) == len(set(places))


def test_a_response_writes_the_declared_keys_and_no_others() -> None:
    written = response_to_json(RESPONSE, {Text("A"): Score(value=1.0, detail={"points": [5]})})
    assert set(written) == keys_of(RECORD_FIELDS, "response.")
    assert set(written["verdict"]) == keys_of(RECORD_FIELDS, "response.verdict.")


def test_costs_and_summaries_write_the_declared_keys_and_no_others() -> None:
    summary = Summary(
        folder=Path("run"), planned=2, scored=1, outcomes={"scored": 1, "refused": 1},
        scores={"image": 0.5}, intrinsic=Cost(), spent=Cost(), seconds=1.5, failures={"refused. No": 1},
    ).to_json()  # fmt: skip
    assert undeclared(summary, SUMMARY_FIELDS) == []
    assert set(summary) == keys_of(SUMMARY_FIELDS, "")
    assert set(Cost().to_json()) == keys_of(RECORD_FIELDS, "cost.PAYER.")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"seed": "0"}, ["seed: text"]),
        ({"seeds": 0}, ["seeds: whole number"]),
        ({"cost": {"judge": {"calls": 1, "euros": 2.5}}}, ["cost.judge.euros: number"]),
        ({"response": {"candidates": [{"size": 1}]}}, ["response.candidates[].size: whole number"]),
    ],
)  # fmt: skip
def test_a_field_that_is_not_declared_is_found(value: dict[str, Any], found: list[str]) -> None:
    assert undeclared(value, RECORD_FIELDS) == found


def test_a_manifest_may_not_hold_what_is_not_declared() -> None:
    assert undeclared({"run": "a", "colour": None}, MANIFEST_FIELDS) == ["colour: null"]
