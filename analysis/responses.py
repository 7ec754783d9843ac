"""Reads the candidates in the tree of a stored response: their verdicts, and which one was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from analysis.names import layers

__all__ = ["Draw", "Judged", "Kind", "LayerVerdict", "Pool", "draws", "judged_images", "pools", "verdicts"]

Node = Mapping[str, Any]
Kind = Literal["probability", "reward", "rank"]
"""The kind of a verdict's number: a probability (has a threshold and calibration), a reward (ordered over all
candidates) or a rank (ordered only within its pool).
"""
Draw = Literal["single", "varied", "identical"]
"""Whether a layer drew one candidate, several different images, or several copies of one image."""

_RANKERS_0_1 = ("pairwise",)
"""The ranking judges of version 0.1, whose records do not state the kind of a verdict."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate image with the verdict of the strategy's judge and the scorer's grade."""

    verdict: float | None
    """The number of the verdict, of `kind`; None if the judge's reply could not be parsed."""
    grade: float
    kind: Kind = "probability"
    step: float | None = None
    """The scorer's grade of the turn's request alone, relative to the previous image; None if the scorer
    gives none.
    """


class LayerVerdict(NamedTuple):
    """A verdict: the layer and the judge that gave it, and whether it could be parsed."""

    layer: str
    """The layer without its knobs, e.g. "best_of_4"."""
    judge: str
    is_read: bool


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidate images from which one Best-of-N layer chose one."""

    layer: str
    grades: tuple[float, ...]
    verdicts: tuple[float | None, ...]
    """The number of each candidate's verdict; None if there is no verdict or it could not be parsed."""
    chosen: int
    is_ranked: bool = False
    """Whether the verdicts are ranks, which would differ among fewer candidates."""


def judged_images(response: Node) -> Iterator[Judged]:
    """Every candidate image in the tree that has both a verdict and a grade.

    If a layer returns its chosen candidate with that candidate's verdict, the verdict counts once.
    """
    verdict, grade = response.get("verdict"), _grade(response)
    if verdict and _is_image(response) and grade is not None and not _is_handed_on(response):
        yield Judged(_number(verdict), grade, _kind(verdict), _step(response))
    for candidate in response.get("candidates", ()):
        yield from judged_images(candidate)


def verdicts(response: Node, layer: str = "") -> Iterator[LayerVerdict]:
    """Every verdict of the tree with the layer around its candidate. A verdict that a layer copies from its
    chosen candidate counts once.
    """
    own, verdict = _bare(response), response.get("verdict")
    if verdict and not _is_handed_on(response):
        yield LayerVerdict(layer or own, verdict["judge"], verdict["status"] == "ok")
    for candidate in response.get("candidates", ()):
        yield from verdicts(candidate, own)


def draws(response: Node) -> Iterator[tuple[str, Draw]]:
    """Every node with candidates that a layer drew: the layer without its knobs, and the kind of draw.

    Nodes that drew several candidates but got fewer than two images, e.g. because of refusals, are omitted.
    """
    candidates: Sequence[Node] = response.get("candidates", ())
    images = [candidate["output"]["image"] for candidate in candidates if _is_image(candidate)]
    if len(candidates) == 1 or len(images) > 1:
        is_same = len(set(images)) == 1
        yield _bare(response), "single" if len(candidates) == 1 else "identical" if is_same else "varied"
    for candidate in candidates:
        yield from draws(candidate)


def pools(response: Node) -> Iterator[Pool]:
    """Every choice among two or more candidate images by a Best-of-N layer.

    A pool with an ungraded candidate (e.g. a refusal) is omitted, because its best candidate is unknown.
    Inside a layer that draws candidates one after another, such as Self-Verification, only the first
    candidate's pools count: later candidates exist only if a judge rejected the previous one, so they
    represent hard cases only.
    """
    candidates, chosen = response.get("candidates", ()), response.get("chosen")
    layer = layers(response["strategy"])[0]
    is_pool = layer.removeprefix("oracle_").startswith("best_of")
    if len(candidates) > 1 and chosen is not None and is_pool:
        grades = tuple(g for c in candidates if _is_image(c) and (g := _grade(c)) is not None)
        if len(grades) == len(candidates):
            given = [candidate.get("verdict") for candidate in candidates]
            is_ranked = any(verdict and _kind(verdict) == "rank" for verdict in given)
            yield Pool(layer, grades, tuple(map(_number, given)), chosen, is_ranked)
    for candidate in candidates if is_pool else candidates[:1]:
        if "candidates" in candidate:
            yield from pools(candidate)


def _bare(node: Node) -> str:
    """The node's layer without its knobs."""
    return layers(node["strategy"])[0].partition("[")[0].removeprefix("oracle_")


def _chosen(node: Node) -> Node | None:
    candidates, chosen = node.get("candidates", ()), node.get("chosen")
    return candidates[chosen] if candidates and chosen is not None else None


def _number(verdict: Node | None) -> float | None:
    return verdict.get("score") if verdict and verdict.get("status") == "ok" else None


def _kind(verdict: Node) -> Kind:
    stated: Kind | None = verdict.get("kind")
    return stated or ("rank" if verdict.get("judge") in _RANKERS_0_1 else "probability")


def _grade(node: Node) -> float | None:
    graded = _graded(node)
    return None if graded is None else float(graded["score"])


def _step(node: Node) -> float | None:
    graded = _graded(node) or {}
    return (graded.get("score_detail") or {}).get("step_score")


def _graded(node: Node) -> Node | None:
    """The node if it has a grade, else the graded chosen candidate below it with the same output; None if
    there is none.
    """
    if node.get("score") is not None:
        return node
    chosen = _chosen(node)
    return None if chosen is None or chosen.get("output") != node.get("output") else _graded(chosen)


def _is_image(node: Node) -> bool:
    return bool(node.get("output")) and "image" in node["output"]


def _is_handed_on(node: Node) -> bool:
    """Whether the node's verdict is a copy of its chosen candidate's verdict: same image, judge and score."""
    chosen = _chosen(node)
    if chosen is None or chosen.get("output") != node["output"]:
        return False
    there, here = chosen.get("verdict") or {}, node["verdict"]
    return all(there.get(key) == here.get(key) for key in ("status", "judge", "score"))
