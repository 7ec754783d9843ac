"""The form in which a record stands on its line: what it says in several places is written once.

- A value of some length that stands in several places (a score and its points, a text, an image, a whole
  candidate) stands in the list `shared`, and `{"$": 3}` in its places means entry 3 of that list.
- A verdict has its points as `[probability, text]`. `failed` holds their numbers: 2 where the feedback is the
  text of point 2, `[2, "why"]` where an explanation follows it.
- A scorer's reply stands in pieces. A number among these is the place of a reason in `reasons`.
- Costs of 0 are left out.

A line without `form` is of an earlier version and holds the record as it is.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from imug_tts.contracts.model import Cost
from imug_tts.contracts.record import Record

__all__ = ["compact", "whole"]

Json = dict[str, Any]
Rule = Callable[[Json], Json]

_FORM: Final = 2
_REF: Final = "$"
_SHORTEST: Final = 24
"""Characters of JSON from which on a value is shared."""
_encoded: Final = json.JSONEncoder(check_circular=False).encode
_NO_COST: Final = Cost().to_json()
_NESTED: Final = (dict, list)
_POINT: Final = re.compile(r"(\d\.\d{3}) (.*)")
"""A line of a verdict's detail: the probability that a point is met, and its text."""


def compact(record: Record) -> Json:
    """What the line of a record holds; `whole` makes it the record again."""
    if not _is_usual(record):
        return record
    shorter = _by_rules(_copied(record), cost=_without_zeros, verdict=_to_points, detail=_to_pieces)
    sharing = _Sharing(shorter)
    if sharing.is_ambiguous:
        return record
    stored = {"form": _FORM, **{key: sharing.put(value) for key, value in shorter.items()}}
    return stored | ({"shared": sharing.shared} if sharing.shared else {})


def whole(stored: Json) -> Record:
    """The record of a line, in this form or that of an earlier version; it is made of `stored` itself.

    Raises:
        ValueError: the form is of a later version.
        LookupError, TypeError: the line is damaged.
    """
    if "form" not in stored:
        return stored
    if stored["form"] != _FORM:
        raise ValueError(f"form {stored['form']!r} is of a later version; this one reads form {_FORM}")
    del stored["form"]
    shared: list[Any] = []
    for value in stored.pop("shared", ()):
        shared.append(_resolved(value, shared))
    return _by_rules(_resolved(stored, shared), cost=_with_zeros, verdict=_from_points, detail=_from_pieces)


class _Sharing:
    """Finds the values that stand in several places of a record, and puts references there."""

    def __init__(self, record: Record) -> None:
        self.is_ambiguous = False
        """Whether the record has a key of its own that would be read as a reference."""
        self.shared: list[Any] = []
        self._texts: dict[int, str] = {}
        """The JSON of each value, by its `id`."""
        self._found: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        for value in record.values():
            self._count(value)

    def put(self, value: Any) -> Any:
        """The value, with references in the places of what is shared."""
        text = self._texts[id(value)]
        if self._found[text] < 2:
            return _inside(value, self.put)
        if text not in self._numbers:
            entry = _inside(value, self.put)
            self._numbers[text] = len(self.shared)
            self.shared.append(entry)
        return {_REF: self._numbers[text]}

    def _count(self, value: Any) -> Any:
        """Count the value and all that is in it; what is in a value that was met before counts once."""
        text = self._texts[id(value)] = _json(value)
        if len(text) >= _SHORTEST:
            self._found[text] += 1
        if self._found[text] < 2:
            self.is_ambiguous |= isinstance(value, dict) and _REF in value
            _inside(value, self._count)


def _json(value: Any) -> str:
    """The JSON of what can be shared; empty for numbers and the like, and for short texts."""
    if isinstance(value, str):
        return f'"{value}"' if len(value) > _SHORTEST - 2 else ""
    return _encoded(value) if isinstance(value, dict | list) else ""


def _inside(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value, with what is directly in it changed."""
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    return [change(item) for item in value] if isinstance(value, list) else value


def _copied(value: Any) -> Any:
    return _inside(value, _copied)


def _resolved(value: Any, shared: Sequence[Any]) -> Any:
    """The value with what its references mean, in place: millions of lines are read."""
    if isinstance(value, dict):
        if _REF in value:
            return shared[value[_REF]]
        for key, item in value.items():
            if isinstance(item, _NESTED):
                value[key] = _resolved(item, shared)
    elif isinstance(value, list):
        value[:] = [_resolved(item, shared) if isinstance(item, _NESTED) else item for item in value]
    return value


def _by_rules(record: Record, *, cost: Rule, verdict: Rule, detail: Rule) -> Record:
    """The record, changed in place by a rule for each cost, verdict and detail of a score."""
    record["cost"] = {payer: cost(paid) for payer, paid in record["cost"].items()}
    for node in (record, *_responses(record["response"])):
        for key, rule in (("score_detail", detail), ("verdict", verdict)):
            if node.get(key):
                node[key] = rule(node[key])
    return record


def _responses(response: Json | None) -> Iterator[Json]:
    if response is not None:
        yield response
        for candidate in response.get("candidates", ()):
            yield from _responses(candidate)


def _renamed(value: Json, key: str, new: str, to: Any) -> Json:
    """The value with another key and what it stands for, in the same place."""
    return {(new if each == key else each): to if each == key else item for each, item in value.items()}


def _is_usual(record: Record) -> bool:
    """Whether the costs have the fields that are filled in when they are read."""
    return all(list(cost) == list(_NO_COST) for cost in record["cost"].values())


def _without_zeros(cost: Json) -> Json:
    return {key: count for key, count in cost.items() if repr(count) != repr(_NO_COST[key])}


def _with_zeros(cost: Json) -> Json:
    return {**_NO_COST, **cost}


def _to_points(verdict: Json) -> Json:
    """The verdict with `points` for its `detail`, where every line of this is a point."""
    points = [_POINT.fullmatch(line) for line in str(verdict.get("detail")).split("\n")]
    read = [[float(point[1]), point[2]] for point in points if point]
    if len(read) < len(points):
        return verdict
    failed = [_numbered(feedback, read) for feedback in verdict.get("failed", ())]
    return _renamed(verdict, "detail", "points", read) | ({"failed": failed} if failed else {})


def _from_points(verdict: Json) -> Json:
    if "detail" in verdict or "points" not in verdict:
        return verdict
    points = verdict["points"]
    failed = [_feedback(each, points) for each in verdict.get("failed", ())]
    detail = "\n".join(f"{probability:.3f} {text}" for probability, text in points)
    return _renamed(verdict, "points", "detail", detail) | ({"failed": failed} if failed else {})


def _numbered(feedback: str, points: Sequence[Any]) -> Any:
    """The point that the feedback is of, by number; the feedback itself where it is of none."""
    for number, (_, text) in enumerate(points):
        given: Any = number if feedback == text else [number, feedback[len(text) + 1 :]]
        if _feedback(given, points) == feedback:
            return given
    return feedback


def _feedback(given: Any, points: Sequence[Any]) -> str:
    if isinstance(given, str):
        return given
    number, *explanation = given if isinstance(given, list) else [given]
    return " ".join([points[number][1], *explanation])


def _to_pieces(detail: Json) -> Json:
    """The detail with `reply_pieces` for its `reply`, where reasons that were read stand in this."""
    reply, reasons = detail.get("reply"), detail.get("reasons")
    if not isinstance(reply, str) or not isinstance(reasons, list):
        return detail
    pieces: list[Any] = [reply]
    for number, reason in enumerate(reasons):
        before, found, after = str(pieces[-1]).partition(_quoted(reason))
        pieces[-1:] = [before, number, after] if found else [before]
    return _renamed(detail, "reply", "reply_pieces", pieces)


def _from_pieces(detail: Json) -> Json:
    if "reply_pieces" not in detail:
        return detail
    reasons, pieces = detail["reasons"], detail["reply_pieces"]
    said = (_quoted(reasons[piece]) if isinstance(piece, int) else piece for piece in pieces)
    return _renamed(detail, "reply_pieces", "reply", "".join(said))


def _quoted(reason: Any) -> str:
    """A reason as it stands in a reply: a text of JSON."""
    return json.dumps(reason, ensure_ascii=False)
