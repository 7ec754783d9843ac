"""The compressed form of a record on its line: repeated values are stored once.

- A long value that occurs repeatedly (a score and its points, a text, an image, a whole candidate) is entry
  n of the list `shared`, and each occurrence is replaced by the reference `{"$": n}`.
- A verdict stores its points as `[probability, text]`. `failed` holds the indices of points: 2 if the
  feedback is the text of point 2, `[2, "why"]` if an explanation follows the text.
- A scorer's reply is stored in pieces; an integer among them is an index into `reasons`.
- Costs of 0 are left out.

A line without `form` was written by an earlier version and is an uncompressed record.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from imug_tts.contracts.model import Cost
from imug_tts.contracts.record import Record, stored_responses

__all__ = ["compact", "whole"]

Json = dict[str, Any]
Rule = Callable[[Json], Json]

_FORM: Final = 2
_REF: Final = "$"
_SHORTEST: Final = 24
"""Fewest characters of JSON that are worth a reference."""
_encoded: Final = json.JSONEncoder(check_circular=False).encode
_NO_COST: Final = Cost().to_json()
_NESTED: Final = (dict, list)
_PARTS: Final = (dict, list, str)
"""Types of values that can be shared, or have such values inside."""
_POINT: Final = re.compile(r"(\d\.\d{3}) (.*)")
"""A line of a verdict's detail: the probability of a point, and its text."""


def compact(record: Record) -> Json:
    """Return the compressed form of a record; `whole` restores the record."""
    if not _is_usual(record):
        return record
    shorter = _by_rules(_copied(record), cost=_without_zeros, verdict=_to_points, detail=_to_pieces)
    sharing = _Sharing(shorter)
    if sharing.is_ambiguous:
        return record
    stored = {"form": _FORM, **{key: sharing.put(value) for key, value in shorter.items()}}
    return stored | ({"shared": sharing.shared} if sharing.shared else {})


def whole(stored: Json) -> Record:
    """Return the record of a parsed line, compressed or not. Reuses and changes `stored`.

    Raises:
        ValueError: the line was compressed by a later version.
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
    """Finds repeated values of a record, and replaces them with references."""

    def __init__(self, record: Record) -> None:
        self.is_ambiguous = False
        """Whether the record itself has the key of references, so that it must not be compressed."""
        self.shared: list[Any] = []
        self._texts: dict[int, str] = {}
        """The JSON of each value that can be shared, by `id`."""
        self._found: Counter[str] = Counter()
        self._numbers: dict[str, int] = {}
        for value in record.values():
            self._count(value)

    def put(self, value: Any) -> Any:
        """Return the value with repeated values replaced by references."""
        text = self._texts.get(id(value), "")
        if self._found[text] < 2:
            return _inside(value, self.put)
        if text not in self._numbers:
            entry = _inside(value, self.put)
            self._numbers[text] = len(self.shared)
            self.shared.append(entry)
        return {_REF: self._numbers[text]}

    def _count(self, value: Any) -> None:
        """Count a value and all values inside it; a repeated value's inside is not counted again."""
        if not isinstance(value, _PARTS):
            return
        text = f'"{value}"' if isinstance(value, str) else _encoded(value)
        if len(text) >= _SHORTEST:
            self._texts[id(value)] = text
            self._found[text] += 1
            if self._found[text] > 1:
                return
        if isinstance(value, str):
            return
        self.is_ambiguous |= isinstance(value, dict) and _REF in value
        for item in value.values() if isinstance(value, dict) else value:
            self._count(item)


def _inside(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return a copy of a list or object with `change` applied to each text, list and object in it."""
    if isinstance(value, dict):
        return {key: change(item) if isinstance(item, _PARTS) else item for key, item in value.items()}
    if isinstance(value, list):
        return [change(item) if isinstance(item, _PARTS) else item for item in value]
    return value


def _copied(value: Any) -> Any:
    return _inside(value, _copied)


def _resolved(value: Any, shared: Sequence[Any]) -> Any:
    """Replace the references in a value in place, for speed, and return it."""
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
    """Apply a rule to each cost, verdict and score detail of a record in place, and return the record."""
    record["cost"] = {payer: cost(paid) for payer, paid in record["cost"].items()}
    for node in (record, *stored_responses(record["response"])):
        for key, rule in (("score_detail", detail), ("verdict", verdict)):
            if node.get(key):
                node[key] = rule(node[key])
    return record


def _renamed(value: Json, key: str, new: str, to: Any) -> Json:
    """Return the object with a key and its value replaced, at the same position."""
    return {(new if each == key else each): to if each == key else item for each, item in value.items()}


def _is_usual(record: Record) -> bool:
    """Return whether all costs have exactly the known fields, so that left-out zeros can be restored."""
    return all(list(cost) == list(_NO_COST) for cost in record["cost"].values())


def _without_zeros(cost: Json) -> Json:
    return {key: count for key, count in cost.items() if repr(count) != repr(_NO_COST[key])}


def _with_zeros(cost: Json) -> Json:
    return {**_NO_COST, **cost}


def _to_points(verdict: Json) -> Json:
    """Return the verdict with `detail` replaced by `points`, if every line of `detail` is a point."""
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
    """Return the index of the point that a feedback text belongs to; the text itself if there is none."""
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
    """Return the score detail with `reply` replaced by `reply_pieces`, where `reasons` occur in the reply."""
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
    """Return a reason as a JSON string, as it occurs in a reply."""
    return json.dumps(reason, ensure_ascii=False)
