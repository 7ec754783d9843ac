"""A client in the form of the official one: sequential turns, three tries, its own outputs fed back.

It takes a benchmark in the official layout and writes results in the official layout, failures as
"ERROR: ..." and as the word "Error" in the history.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2

__all__ = ["infer", "play", "post"]

Record = dict[str, Any]


def play(data: Path, out: Path, urls: Sequence[str], *, workers: int = 4, tries: int = 3) -> list[Record]:
    """Play every sample of data/benchmark.jsonl; the results are also in files below `out`."""
    records = [json.loads(line) for line in (data / "benchmark.jsonl").read_text().splitlines()]
    with ThreadPoolExecutor(workers) as threads:
        return list(
            threads.map(
                lambda pair: _sample(pair[1], out, urls[pair[0] % len(urls)], tries), enumerate(records)
            )
        )


def post(url: str, payload: object, timeout_s: float = 60) -> httpx2.Response:
    return httpx2.post(f"{url}/infer", json=payload, timeout=timeout_s, trust_env=False)


def infer(url: str, payload: object, tries: int = 3) -> Any:
    """The response's JSON, or None after the last try."""
    for _ in range(tries):
        try:
            response = post(url, payload)
            response.raise_for_status()
            return response.json()
        except (httpx2.HTTPError, ValueError):
            time.sleep(0.1)
    return None


def _sample(record: Record, out: Path, url: str, tries: int) -> Record:
    folder = out / record["domain"] / record["subdomain"] / f"question_{record['sample_id']}"
    folder.mkdir(parents=True)
    history: list[Record] = []
    for task in record["tasks"]:
        parts = [{"type": kind, kind: value} for item in task["input"] for kind, value in item.items()]
        history.append({"role": "user", "content": parts})
        mode = "image_only" if task["modality"] == "image" else "text_only"
        answer = infer(url, {"history": history, "output_mode": mode, "temperature": 0.7}, tries)
        task["model_response"], part = _outcome(answer, task, folder)
        history.append({"role": "assistant", "content": [part]})
    (folder / "result.json").write_text(json.dumps(record))
    return record


def _outcome(answer: Any, task: Record, folder: Path) -> tuple[str, Record]:
    response = answer["response"] if answer else {"error": "no response"}
    value = response.get(task["modality"])
    if response.get("error") or not value:
        return f"ERROR: {response.get('error')}", {"type": "text", "text": "Error"}
    if task["modality"] == "text":
        return value, {"type": "text", "text": value}
    name = f"turn_{task['turn']}_output.png"
    (folder / name).write_bytes(base64.b64decode(value))
    return name, {"type": "image", "image": value}
