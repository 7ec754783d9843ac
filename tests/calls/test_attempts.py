"""One result per seed in order, also if calls fail: a bad request fails alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.calls.attempts import attempt
from imug_tts.calls.devices import Devices
from imug_tts.contracts import BackboneError, Candidate, Form, Request, TimedOut
from imug_tts.dialogue import Image, Message, Modality, Text
from imug_tts.testing.local_toys import LocalToy, ToyDevice
from imug_tts.testing.toys import ToyBackbone, picture


def request(name: str, seeds: Sequence[int], modality: Modality = "text", form: Form = "free") -> Request:
    return Request(
        history=(Message("user", (Text(name),)),), modality=modality, seeds=tuple(seeds), form=form
    )


def name_of(request: Request) -> str:
    part = request.history[-1].parts[-1]
    assert isinstance(part, Text)
    return part.text


@dataclass
class Picky(ToyBackbone):
    """Fails on chosen seeds of chosen requests, and on more rows than fit its memory."""

    bad: frozenset[tuple[str, int]] = frozenset()
    rows: int = 1000
    error: Exception = field(default_factory=lambda: ValueError("cannot draw this"))
    batches: list[int] = field(default_factory=list)

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        asked = [(name_of(request), seed) for request in requests for seed in request.seeds]
        self.batches.append(len(asked))
        if len(asked) > self.rows:
            raise MemoryError("out of memory")
        if self.bad & set(asked):
            raise self.error
        return [
            [Candidate(output=Text(f"{name_of(request)} {seed}")) for seed in request.seeds]
            for request in requests
        ]


batches = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=2),
    st.lists(st.integers(0, 9), min_size=1, max_size=6, unique=True),
    min_size=1,
    max_size=6,
)


@given(batch=batches, rows=st.integers(1, 40), data=st.data())
def test_there_is_one_result_for_each_seed_in_order(
    batch: dict[str, list[int]], rows: int, data: st.DataObject
) -> None:
    asked = [(name, seed) for name, seeds in batch.items() for seed in seeds]
    bad = data.draw(st.frozensets(st.sampled_from(asked)))
    model = Picky(bad=bad, rows=rows)
    results = attempt(model, [request(name, seeds) for name, seeds in batch.items()])
    assert len(results) == len(asked)
    for (name, seed), result in zip(asked, results, strict=True):
        if (name, seed) in bad:
            assert isinstance(result, BackboneError)
            assert "cannot draw this" in str(result)
        else:
            assert isinstance(result, Candidate)
            assert result.output == Text(f"{name} {seed}")
    if not bad and rows >= len(asked):
        assert model.batches == [len(asked)]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (KeyError("steps"), "KeyError: 'steps'"),
        (MemoryError(), "MemoryError"),
        (StopIteration(), "StopIteration"),
        (BackboneError("the server is away"), "the server is away"),
    ],
)
def test_any_exception_is_a_failed_call_that_keeps_its_cause(error: Exception, words: str) -> None:
    [result] = attempt(Picky(bad=frozenset({("a", 0)}), error=error), [request("a", [0])])
    assert isinstance(result, BackboneError)
    assert str(result).startswith(words)
    assert error in (result, result.__cause__)


def test_one_candidate_that_does_not_fit_is_tried_again_without_the_models_caches() -> None:
    @dataclass(eq=False)
    class Caching(LocalToy):
        """Keeps four bytes on the card after each call."""

        kept: int = 0

        def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
            made = super().generate(requests)
            self.card.take(4)
            self.kept += 4
            return made

        def drop_caches(self) -> bool:
            had_any = self.kept > 0
            self.card.used -= self.kept
            self.kept = 0
            return had_any

    card = ToyDevice(12)
    model, devices = Caching(card=card, weights=6, per_candidate=1), Devices(card.free)
    claim = devices.claim(model)
    for name in ("first", "second", "third"):
        [result] = attempt(model, [request(name, [0])], claim)
        assert isinstance(result, Candidate)
    assert model.kept == 4
    assert card.loads == [model.identity]


def test_a_call_that_took_too_long_stays_one() -> None:
    [result] = attempt(Picky(bad=frozenset({("a", 0)}), error=TimedOut("late")), [request("a", [0])])
    assert isinstance(result, TimedOut)


def test_what_is_no_mistake_of_a_model_is_passed_on() -> None:
    @dataclass
    class Stopped(ToyBackbone):
        def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(Stopped(), [request("a", [0, 1])])


Cut = Callable[[list[list[Candidate]]], list[list[Candidate]]]


@pytest.mark.parametrize(
    "cut",
    [
        lambda made: made[:-1],
        lambda made: [*made, made[0]],
        lambda made: [*made[:-1], made[-1][:-1]],
        lambda made: [[*made[0], made[0][0]], *made[1:]],
        lambda made: [],
    ],
    ids=["a request less", "a request more", "a seed less", "a seed more", "nothing"],
)
def test_too_few_or_too_many_candidates_are_no_answers(cut: Cut) -> None:
    @dataclass
    class Miscounting(Picky):
        def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
            return cut(super().generate(requests))

    results = attempt(Miscounting(), [request("a", [0]), request("b", [1])])
    assert len(results) == 2
    assert all(isinstance(r, BackboneError) and "candidates for requests of" in str(r) for r in results)


@pytest.mark.parametrize(
    ("asked", "candidate", "words"),
    [
        (request("a", [0], "image"), Candidate(output=Text("A star.")), "asked for image and returned text"),
        (request("a", [0]), Candidate(output=picture("x")), "asked for text and returned image"),
        (
            request("a", [0], "image"),
            Candidate(output=Image.from_bytes(b"no image")),
            "returned an image that is not a whole PNG or JPEG",
        ),
        (
            request("a", [0], "image"),
            Candidate(output=Image.from_bytes(picture("x").read()[:-20])),
            "returned an image that",
        ),
        (request("a", [0]), Candidate(output=None), "neither an output nor a refusal"),
        (
            request("a", [0], form="reward"),
            Candidate(output=Text("good")),
            "asked for a reward and returned none",
        ),
    ],
    ids=["words for an image", "an image for words", "no image", "half an image", "nothing", "no reward"],
)
def test_an_answer_of_another_kind_is_a_failed_call(asked: Request, candidate: Candidate, words: str) -> None:
    @dataclass
    class Confused(ToyBackbone):
        def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
            return [[candidate] for _ in requests]

    [result] = attempt(Confused(), [asked])
    assert isinstance(result, BackboneError)
    assert words in str(result)


@pytest.mark.parametrize(
    ("asked", "candidate"),
    [
        (request("a", [0], "image"), Candidate(output=None, finish="refused", reason="not this")),
        (request("a", [0], "image"), Candidate(output=picture("x"), finish="length")),
        (request("a", [0], form="reward"), Candidate(output=Text("7"), reward=7.0)),
        (request("a", [0]), Candidate(output=Text(""))),
    ],
)
def test_refusals_and_whole_answers_pass(asked: Request, candidate: Candidate) -> None:
    @dataclass
    class Right(ToyBackbone):
        def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
            return [[candidate] for _ in requests]

    assert attempt(Right(), [asked]) == [candidate]
