"""What the tree of a stored response says of its candidates: how they were judged, and picked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

__all__ = ["Judged", "Pool", "judged_images", "layers", "pools"]

Node = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate image: what the strategy's judge said, and the grade that the scorer gave it."""

    verdict: float | None
    """In [0, 1]; None where the judge's reply could not be parsed."""
    grade: float


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidate images among which one layer of Best-of-N picked one."""

    layer: str
    grades: tuple[float, ...]
    verdicts: tuple[float | None, ...]
    """None where a candidate has no verdict, or one that could not be parsed."""
    chosen: int


@lru_cache
def layers(label: str) -> tuple[str, ...]:
    """The layers of a strategy's label, outer to inner: "a[k=1]+b" gives ("a[k=1]", "b")."""
    names, depth, start = [], 0, 0
    for position, character in enumerate(label):
        depth += (character == "[") - (character == "]")
        if character == "+" and depth == 0:
            names.append(label[start:position])
            start = position + 1
    return (*names, label[start:])


def judged_images(response: Node) -> Iterator[Judged]:
    """Every candidate image that has both a verdict and a grade, wherever it stands in the tree.

    A layer that hands on its chosen candidate with the candidate's own verdict counts once.
    """
    verdict, grade = response.get("verdict"), _grade(response)
    if verdict and _is_image(response) and grade is not None and not _is_handed_on(response):
        yield Judged(verdict["score"] if verdict["status"] == "ok" else None, grade)
    for candidate in response.get("candidates", ()):
        yield from judged_images(candidate)


def pools(response: Node) -> Iterator[Pool]:
    """Every choice among two or more candidate images by a layer of Best-of-N.

    A pool with a candidate that has no grade (a refusal, say) is left out: its best is unknown.
    """
    candidates, chosen = response.get("candidates", ()), response.get("chosen")
    layer = layers(response["strategy"])[0]
    if len(candidates) > 1 and chosen is not None and layer.removeprefix("oracle_").startswith("best_of"):
        grades = tuple(g for c in candidates if _is_image(c) and (g := _grade(c)) is not None)
        if len(grades) == len(candidates):
            yield Pool(layer, grades, tuple(_verdict(c) for c in candidates), chosen)
    for candidate in candidates:
        if "candidates" in candidate:
            yield from pools(candidate)


def _chosen(node: Node) -> Node | None:
    candidates, chosen = node.get("candidates", ()), node.get("chosen")
    return candidates[chosen] if candidates and chosen is not None else None


def _verdict(node: Node) -> float | None:
    verdict = node.get("verdict") or {}
    return verdict.get("score") if verdict.get("status") == "ok" else None


def _grade(node: Node) -> float | None:
    if node.get("score") is not None:
        return float(node["score"])
    chosen = _chosen(node)
    return None if chosen is None or chosen.get("output") != node.get("output") else _grade(chosen)


def _is_image(node: Node) -> bool:
    return bool(node.get("output")) and "image" in node["output"]


def _is_handed_on(node: Node) -> bool:
    """Whether the verdict is that of the chosen candidate again: same image, judge and score."""
    chosen = _chosen(node)
    if chosen is None or chosen.get("output") != node["output"]:
        return False
    there, here = chosen.get("verdict") or {}, node["verdict"]
    return all(there.get(key) == here.get(key) for key in ("status", "judge", "score"))
