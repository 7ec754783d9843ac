"""What the tree of a stored response says of its candidates: how they were judged, and picked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from analysis.names import layers

__all__ = ["Draw", "Judged", "Kind", "Pool", "Said", "draws", "judged_images", "pools", "verdicts"]

Node = Mapping[str, Any]
Kind = Literal["probability", "reward", "rank"]
"""What the number of a verdict is: a probability has thresholds and is calibrated or not, a reward has an
order over all candidates, a rank has one within its pool alone."""
Draw = Literal["single", "varied", "identical"]
"""Whether a layer drew one candidate, or several images that differ, or several that are one and the same."""

_RANKERS_0_1 = ("pairwise",)
"""The judges of version 0.1 that ranked; its records do not say what kind a verdict is."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate image: what the strategy's judge said, and the grade that the scorer gave it."""

    verdict: float | None
    """Of `kind`; None where the judge's reply could not be parsed."""
    grade: float
    kind: Kind = "probability"
    step: float | None = None
    """The grade of the turn's request alone, against the picture before; None where the scorer gives none."""


class Said(NamedTuple):
    """A verdict: which layer's judge gave it, and whether it could be read."""

    layer: str
    """Without its knobs: "best_of_4"."""
    judge: str
    is_read: bool


@dataclass(frozen=True, slots=True)
class Pool:
    """The candidate images among which one layer of Best-of-N picked one."""

    layer: str
    grades: tuple[float, ...]
    verdicts: tuple[float | None, ...]
    """None where a candidate has no verdict, or one that could not be parsed."""
    chosen: int
    is_ranked: bool = False
    """Whether the verdicts are ranks, which would be others among fewer candidates."""


def judged_images(response: Node) -> Iterator[Judged]:
    """Every candidate image that has both a verdict and a grade, wherever it stands in the tree.

    A layer that hands on its chosen candidate with the candidate's own verdict counts once.
    """
    verdict, grade = response.get("verdict"), _grade(response)
    if verdict and _is_image(response) and grade is not None and not _is_handed_on(response):
        yield Judged(_number(verdict), grade, _kind(verdict), _step(response))
    for candidate in response.get("candidates", ()):
        yield from judged_images(candidate)


def verdicts(response: Node, layer: str = "") -> Iterator[Said]:
    """Every verdict of the tree, with the layer around the candidate; one that is handed on counts once."""
    own, verdict = _bare(response), response.get("verdict")
    if verdict and not _is_handed_on(response):
        yield Said(layer or own, verdict["judge"], verdict["status"] == "ok")
    for candidate in response.get("candidates", ()):
        yield from verdicts(candidate, own)


def draws(response: Node) -> Iterator[tuple[str, Draw]]:
    """Every node with candidates that a layer drew: the layer without its knobs, and how they are alike.

    Nodes that drew several candidates and got less than two images, as by refusals, are left out.
    """
    candidates: Sequence[Node] = response.get("candidates", ())
    images = [candidate["output"]["image"] for candidate in candidates if _is_image(candidate)]
    if len(candidates) == 1 or len(images) > 1:
        is_same = len(set(images)) == 1
        yield _bare(response), "single" if len(candidates) == 1 else "identical" if is_same else "varied"
    for candidate in candidates:
        yield from draws(candidate)


def pools(response: Node) -> Iterator[Pool]:
    """Every choice among two or more candidate images by a layer of Best-of-N.

    A pool with a candidate that has no grade (a refusal, say) is left out: its best is unknown. Inside a
    layer that draws its candidates one after another, as Self-Verification does, only the first counts: a
    later one was drawn because a judge rejected the one before, so it stands for the hard cases alone.
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
    """The node's layer, as tables call it, without its knobs."""
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
    """The node if it has a grade, else the chosen candidate below it that holds the same output."""
    if node.get("score") is not None:
        return node
    chosen = _chosen(node)
    return None if chosen is None or chosen.get("output") != node.get("output") else _graded(chosen)


def _is_image(node: Node) -> bool:
    return bool(node.get("output")) and "image" in node["output"]


def _is_handed_on(node: Node) -> bool:
    """Whether the verdict is that of the chosen candidate again: same image, judge and score."""
    chosen = _chosen(node)
    if chosen is None or chosen.get("output") != node["output"]:
        return False
    there, here = chosen.get("verdict") or {}, node["verdict"]
    return all(there.get(key) == here.get(key) for key in ("status", "judge", "score"))
