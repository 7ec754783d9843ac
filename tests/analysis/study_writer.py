"""Writes study folders in the form in which the engine stores runs, with made-up but lifelike scores."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CLASSES = ("static_spatial", "temporal_causal", "hybrid")
ERROR_RATE = {
    "direct": 0.42,
    "cot": 0.22,
    "self_verify": 0.26,
    "best_of_4": 0.25,
    "self_verify+cot": 0.19,
    "best_of_4+cot": 0.17,
    "best_of_4+self_verify": 0.22,
    "best_of_4+self_verify+cot": 0.15,
    "oracle_best_of_4": 0.12,
}
"""How often a drawn candidate is flawed, once the strategy has had its say."""

Json = dict[str, Any]


@dataclass(kw_only=True)
class StudyWriter:
    """Writes one run folder per (strategy, class, history, seed)."""

    folder: Path
    strategies: Sequence[str] = tuple(ERROR_RATE)
    classes: Sequence[str] = CLASSES
    histories: Sequence[str] = ("own", "gold")
    seeds: Sequence[int] = (0,)
    samples_per_class: int = 20
    failure_rate: float = 0.0
    manifest_fields: Mapping[str, Any] = field(default_factory=dict)

    def write(self) -> Path:
        for strategy in self.strategies:
            for sample_class in self.classes:
                for history in self.histories:
                    for seed in self.seeds:
                        self.write_run(strategy, sample_class, history, seed)
        return self.folder

    def write_run(self, strategy: str, sample_class: str, history: str = "own", seed: int = 0) -> Path:
        arm: Json = {
            "run": f"{strategy}-{sample_class}-{history}-{seed}",
            "strategy": strategy,
            "oracle": strategy.startswith("oracle_"),
            "history": history,
            "seed": seed,
            "benchmark": "pocket_world",
            "selection": {"classes": [sample_class]},
        }
        samples = [_sample(sample_class, index) for index in range(self.samples_per_class)]
        records = [r for sample in samples for r in self._dialogue(arm, sample)]
        folder = self.folder / str(arm["run"]).replace("+", "_")
        write_run(folder, arm | {"planned": samples} | dict(self.manifest_fields), records)
        return folder

    def _dialogue(self, arm: Json, sample: Json) -> list[Json]:
        rng = random.Random(f"{arm['seed']}{arm['history']}{arm['strategy']}{sample['sample_id']}")
        difficulty = random.Random(sample["sample_id"]).gauss(0, 0.08)
        damage = 0.0
        records: list[Json] = []
        for turn, modality in enumerate(sample["modalities"], 1):
            if arm["history"] == "gold" and turn == 1:
                continue
            if rng.random() < self.failure_rate:
                return [*records, _failed_turn(arm, sample, turn, modality)]
            if modality == "text":
                records.append(_text_turn(arm, sample, turn, rng, damage))
                continue
            inherited = damage if arm["history"] == "own" else 0.0
            record, damage = _image_turn(arm, sample, turn, rng, inherited, difficulty)
            records.append(record)
        return records


def write_run(folder: Path, manifest: Json, records: Sequence[Json]) -> None:
    """Write the two files of a run, filling in what the manifest may leave out."""
    folder.mkdir(parents=True, exist_ok=True)
    identity = {"strategy": {"name": manifest["strategy"]}}
    defaults = {"oracle": False, "seed": 0, "benchmark": "pocket_world", "backbone": "pocket"}
    defaults |= {"arm_identity": identity, "selection": {}}
    (folder / "manifest.json").write_text(json.dumps(defaults | manifest, indent=2) + "\n")
    (folder / "turns.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def turn_record(
    manifest: Json, sample: Json, turn: int, modality: str, outcome: str = "scored", **fields: Any
) -> Json:
    """One line of turns.jsonl; whatever is not given is plain."""
    cost = {"generator": _cost(calls=1), "judge": _cost()}
    shared = {k: manifest[k] for k in ("run", "strategy", "oracle", "seed", "history", "benchmark")}
    described = {k: sample[k] for k in ("class", "domain", "task", "sample_id")}
    return (
        shared
        | described
        | {"turn": turn, "n_turns": len(sample["modalities"]), "modality": modality, "outcome": outcome}
        | {"score": None, "score_detail": None, "error": None, "nfe": 0, "new_tokens": 0, "images": 0}
        | {"calls": 1, "seconds": 0.0, "num_candidates": 1, "cost": cost, "response": None}
        | fields
    )


def _sample(sample_class: str, index: int) -> Json:
    rng = random.Random(f"{sample_class}{index}")
    modalities = ["image"]
    for _ in range(rng.randint(1, 5)):
        modalities.append("image" if rng.random() < 0.75 else "text")
    return {
        "sample_id": f"{index:04d}{sample_class[0]}",
        "class": sample_class,
        "domain": "pocket",
        "task": f"{sample_class}_{index % 4}",
        "modalities": modalities,
    }


def _text_turn(arm: Json, sample: Json, turn: int, rng: random.Random, damage: float) -> Json:
    dynamic = rng.random() < 0.5
    score = float(rng.random() > 0.12 + 0.5 * damage)
    detail = {"official": score, "corrected": score, "expected": "B", "dynamic": dynamic}
    node = {"strategy": "direct", "output": {"text": "B"}, "finish": "stop", "score": score}
    cost = {"generator": _cost(calls=1, new_tokens=3, seconds=0.002), "judge": _cost()}
    return turn_record(
        arm, sample, turn, "text", score=score, score_detail=detail, cost=cost, response=node, new_tokens=3
    )


def _failed_turn(arm: Json, sample: Json, turn: int, modality: str) -> Json:
    return turn_record(arm, sample, turn, modality, outcome="model_error", error="the model fell over")


def _image_turn(
    arm: Json, sample: Json, turn: int, rng: random.Random, inherited: float, difficulty: float
) -> tuple[Json, float]:
    names = arm["strategy"].split("+")
    flawed = ERROR_RATE.get(arm["strategy"], 0.3) + difficulty
    node = _node(names, rng, inherited, flawed, oracle=arm["oracle"])
    images, tokens = _count(node), 16 * _count(node)
    judged = images if "verify" in arm["strategy"] or "best" in arm["strategy"] else 0
    cost = {
        "generator": _cost(
            calls=images, new_tokens=tokens, nfe=tokens, images=images, seconds=0.004 * images
        ),
        "judge": _cost(calls=judged, new_tokens=12 * judged, seconds=0.001 * judged),
    }
    record = turn_record(
        arm, sample, turn, "image", score=node["score"], score_detail=node["score_detail"], response=node,
        cost=cost, nfe=tokens, new_tokens=tokens + 12 * judged, images=images,
        num_candidates=max(1, len(node.get("candidates", ()))),
    )  # fmt: skip
    return record, 1 - node["score"]


def _node(names: Sequence[str], rng: random.Random, inherited: float, flawed: float, *, oracle: bool) -> Json:
    if names[0] in ("direct", "cot"):
        return _leaf(names[0], rng, inherited, flawed)
    is_pool = "best_of" in names[0]
    children = []
    for _ in range(4 if is_pool else 3):
        child = _node(names[1:] or ["direct"], rng, inherited, min(1.0, flawed + 0.1), oracle=oracle)
        children.append(child | {"verdict": _verdict(child["score"], rng, oracle)})
        if not is_pool and (children[-1]["verdict"]["score"] or 0) >= 0.5:
            break
    ranked = [i for i, c in enumerate(children) if c["verdict"]["score"] is not None]
    chosen = max(ranked, key=lambda i: children[i]["verdict"]["score"]) if ranked else 0
    best = children[chosen]
    shared = {key: best[key] for key in ("output", "finish", "verdict", "score", "score_detail")}
    return {"strategy": names[0], **shared, "candidates": children, "chosen": chosen}


def _leaf(name: str, rng: random.Random, inherited: float, flawed: float) -> Json:
    step_points = [5 if rng.random() > flawed else rng.choice((1, 2, 3, 4)) for _ in range(3)]
    points = [max(0, round(p - 5 * inherited * rng.uniform(0.5, 1.0))) for p in step_points]
    detail = {
        "points": points,
        "point_texts": ["the change is made", "the rest stays", "nothing spurious"],
        "step_score": sum(step_points) / 15,
    }
    image = hashlib.sha256(str(rng.random()).encode()).hexdigest()
    node = {"strategy": name, "output": {"image": image}, "finish": "stop"}
    return node | {"score": sum(points) / 15, "score_detail": detail}


def _verdict(score: float, rng: random.Random, oracle: bool) -> Json:
    said = score if oracle else min(1.0, max(0.0, rng.gauss(0.8 if score == 1 else 0.3, 0.25)))
    is_parsed = oracle or rng.random() > 0.01
    return {
        "status": "ok" if is_parsed else "unparsable",
        "judge": "exact" if oracle else "backbone",
        "score": said if is_parsed else None,
        "failed": [],
        "detail": "",
    }


def _count(node: Json) -> int:
    return sum(_count(c) for c in node["candidates"]) if "candidates" in node else 1


def _cost(**fields: float) -> Json:
    zero = {"calls": 0, "prompt_tokens": 0, "cached_tokens": 0, "new_tokens": 0, "denoise_steps": 0}
    return zero | {"nfe": 0, "images": 0, "seconds": 0.0, "dollars": 0.0} | fields
