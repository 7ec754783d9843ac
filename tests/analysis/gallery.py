"""A small study to look at: real images, plans, candidates, a failed turn, and text that would be markup."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.analysis.study_writer import turn_record, write_run

__all__ = ["HOSTILE", "SCORES", "colour", "write_gallery"]

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"> & <b>bold</b> ${title}"
"""What a model may write; a page shows it to the letter."""

SCORES: dict[str, dict[str, tuple[float | None, float | None]]] = {
    "direct": {"lamp": (0.6, 0.2), "moss": (0.8, 0.8), "rain": (0.4, 0.4), "salt": (0.2, None)},
    "best_of_2": {"lamp": (0.8, 0.8), "moss": (0.6, 0.6), "rain": (0.4, 0.6), "salt": (0.6, 0.6)},
}
"""Scores of the two image turns by dialogue: gains .4, -.2, .1 and .4; direct fails at the last."""

CLASS_OF = {"lamp": "static_spatial", "moss": "temporal_causal", "rain": "temporal_causal", "salt": "hybrid"}

Json = dict[str, Any]


def colour(*key: object) -> tuple[str, bytes]:
    """SHA-256 and PNG bytes of a plain image whose colour depends on `key`."""
    from PIL import Image

    rgb = hashlib.sha256(repr(key).encode()).digest()
    buffer = io.BytesIO()
    Image.new("RGB", (24, 24), (rgb[0], rgb[1], rgb[2])).save(buffer, format="PNG")
    return hashlib.sha256(buffer.getvalue()).hexdigest(), buffer.getvalue()


def write_gallery(folder: Path, histories: Sequence[str] = ("own", "gold")) -> Path:
    """Write the runs of every strategy in `SCORES` behind each history, with all their images.

    A swapped history holds the answers of best_of_2.
    """
    for strategy in SCORES:
        for history in histories:
            _write_run(folder / f"{strategy}-{history}", strategy, history)
    return folder


def _write_run(folder: Path, strategy: str, history: str) -> None:
    manifest = {
        "run": folder.name, "strategy": strategy, "oracle": False, "seed": 0, "history": history,
        "history_from": "best_of_2-own:0123abcd" if history == "swap" else None, "benchmark": "gallery:1",
    }  # fmt: skip
    samples: list[Json] = [
        {"sample_id": f"{number}", "class": sample_class, "domain": "Things", "task": name}
        | {"modalities": ["image", "image"]}
        for number, (name, sample_class) in enumerate(CLASS_OF.items())
    ]
    images: dict[str, bytes] = {}
    records = [
        _turn(manifest, sample, turn, score, images)
        for sample in samples
        for turn, score in enumerate(SCORES[strategy][sample["task"]], 1)
    ]
    write_run(folder, manifest | {"planned": samples}, records)
    (folder / "images").mkdir()
    for sha256, png in images.items():
        (folder / "images" / f"{sha256}.png").write_bytes(png)


def _turn(manifest: Json, sample: Json, turn: int, score: float | None, images: dict[str, bytes]) -> Json:
    name = sample["task"]
    reference, png = colour("gold", name, turn)
    images[reference] = png
    asked: Json = {
        "input": [{"text": f"draw the {name}, part {turn} {HOSTILE}"}],
        "reference": {"image": reference},
        "history_from": manifest["history_from"],
    }
    if score is None:
        error = f"BackboneError: out of memory {HOSTILE}"
        return turn_record(manifest, sample, turn, "image", "model_error", error=error, **asked)
    tree = _tree(manifest["strategy"], name, turn, score, images)
    detail = {
        "points": [5, round(10 * score - 5)],
        "point_texts": ["it is there", HOSTILE],
        "reasons": ["", "too pale"],
    }
    cost = {"generator": {"calls": 2, "images": 2, "nfe": 32, "new_tokens": 32, "seconds": 0.25}}
    graded = tree | {"score": score, "score_detail": detail}
    return turn_record(
        manifest, sample, turn, "image", score=score, score_detail=detail, response=graded, cost=cost, **asked
    )


def _tree(strategy: str, name: str, turn: int, score: float, images: dict[str, bytes]) -> Json:
    def leaf(index: int, verdict: float) -> Json:
        sha256, png = colour(strategy, name, turn, index)
        images[sha256] = png
        said = {"status": "ok", "judge": "backbone", "score": verdict, "failed": [HOSTILE], "detail": HOSTILE}
        return {"strategy": "direct", "output": {"image": sha256}, "finish": "stop", "verdict": said}

    if strategy == "direct":
        sha256, png = colour(strategy, name, turn)
        images[sha256] = png
        return {"strategy": "direct", "output": {"image": sha256}, "finish": "stop"}
    candidates = [leaf(0, 0.25) | {"score": score / 2}, leaf(1, 0.75) | {"score": score}]
    return {
        "strategy": "best_of_2", "output": candidates[1]["output"], "finish": "stop", "chosen": 1,
        "plan": f"first the outline {HOSTILE}", "candidates": candidates,
    }  # fmt: skip


def write_numbers(out: Path, **more: Any) -> Path:
    """The part of an analysis that a report begins with."""
    out.mkdir(parents=True, exist_ok=True)
    numbers = {"benchmark": "gallery:1", "backbone": "pocket:1", "baseline": "direct", **more}
    (out / "analysis.json").write_text(json.dumps(numbers))
    return out
