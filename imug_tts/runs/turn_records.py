"""Converts responses to the JSON records of `turns.jsonl`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imug_tts.contracts import Cost, Outcome, Record, Score
from imug_tts.dialogue import Image, Part, Question, Response, Sample

__all__ = ["images_of", "rescored_record", "response_to_json", "turn_record"]

Node = Mapping[str, Any]
"""A response as a record stores it."""


def images_of(response: Response) -> Iterator[Image]:
    """Yield every image in the tree of a response."""
    for node in response.walk():
        if isinstance(node.output, Image):
            yield node.output


def response_to_json(response: Response, scores: Mapping[Part, Score]) -> dict[str, Any]:
    """Return a response as a tree of plain JSON; empty fields are left out."""
    node: dict[str, Any] = {
        "strategy": response.strategy,
        "output": None if response.output is None else response.output.to_json(),
        "finish": response.finish,
    }
    optional = {"plan": response.plan, "thought": response.thought, "chosen": response.chosen}
    node |= {key: value for key, value in optional.items() if value is not None}
    if response.reason:
        node["reason"] = response.reason
    if response.source:
        node["source"] = response.source
    if response.note:
        node["note"] = response.note
    if response.verdict is not None:
        node["verdict"] = response.verdict.to_json()
    score = None if response.output is None else scores.get(response.output)
    if score is not None:
        node |= {"score": score.value, "score_detail": dict(score.detail)}
    if response.candidates:
        node["candidates"] = [response_to_json(child, scores) for child in response.candidates]
    return node


def turn_record(
    *,
    sample: Sample,
    question: Question,
    outcome: Outcome,
    error: str | None,
    error_detail: Mapping[str, Any],
    response: Response | None,
    reference: Part | None,
    scores: Mapping[Part, Score],
    costs: Mapping[str, Cost],
) -> Record:
    """Return one record of `turns.jsonl`, without the fields that name the run.

    The top-level costs are those of the answer; the cost of scoring is in `cost` only. Without a score,
    `score_detail` holds `error_detail`, the details of the judge's failure.
    """
    total = costs["generator"] + costs["judge"]
    score = scores.get(response.output) if response is not None and response.output is not None else None
    return {
        "class": sample.sample_class,
        "domain": sample.domain,
        "task": sample.task,
        "sample_id": sample.sample_id,
        "turn": question.number,
        "n_turns": len(sample.questions),
        "modality": question.modality,
        "outcome": outcome,
        "score": score.value if score is not None else None,
        "score_detail": dict(score.detail) if score is not None else dict(error_detail) or None,
        "error": error,
        "nfe": total.nfe,
        "new_tokens": total.new_tokens,
        "images": total.images,
        "calls": total.calls,
        "seconds": total.seconds,
        "num_candidates": 0 if response is None else max(1, len(response.candidates)),
        "cost": {payer: cost.to_json() for payer, cost in costs.items() if payer != "scorer" or cost.calls},
        "input": [part.to_json() for part in question.parts],
        "reference": None if reference is None else reference.to_json(),
        "response": None if response is None else response_to_json(response, scores),
    }


def rescored_record(
    record: Record,
    *,
    outcome: Outcome,
    error: str | None,
    error_detail: Mapping[str, Any],
    scores: Mapping[Part, Score],
    cost: Cost,
) -> Record:
    """Return the record with new scores of its answer and candidates, and the cost of the new scoring."""
    by_output = {_key(part.to_json()): score for part, score in scores.items()}
    score = by_output.get(_key(record["response"]["output"]))
    costs = {payer: paid for payer, paid in record["cost"].items() if payer != "scorer"}
    return {
        **record,
        "outcome": outcome,
        "score": None if score is None else score.value,
        "score_detail": dict(error_detail) or None if score is None else dict(score.detail),
        "error": error,
        "cost": {**costs, "scorer": cost.to_json()} if cost.calls else costs,
        "response": _rescored(record["response"], by_output),
    }


def _rescored(node: Node, scores: Mapping[tuple[str, ...], Score]) -> dict[str, Any]:
    kept = {key: v for key, v in node.items() if key not in ("score", "score_detail", "candidates")}
    score = None if node["output"] is None else scores.get(_key(node["output"]))
    if score is not None:
        kept |= {"score": score.value, "score_detail": dict(score.detail)}
    if "candidates" in node:
        kept["candidates"] = [_rescored(child, scores) for child in node["candidates"]]
    return kept


def _key(output: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(item for pair in output.items() for item in pair)
