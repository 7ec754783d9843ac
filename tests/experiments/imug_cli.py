"""The commands of experiments/ on synthetic IMUG-Bench data, with servers on 127.0.0.1."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from imug_tts.testing.chat_server import ChatServer, Reply, completion
from imug_tts.testing.runs import records

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def do(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXPERIMENTS / name), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def analyse(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "analysis", str(folder)]
    return subprocess.run(command, cwd=EXPERIMENTS.parent, capture_output=True, text=True, check=False)


def grade(number: int, body: dict[str, Any]) -> Reply:
    """Full marks on every point, or B for a dynamic question."""
    points = len(re.findall(r"\\n\d+\. ", json.dumps(body["messages"])))
    results = [{"point_id": k, "score": 5, "reason": "-"} for k in range(1, points + 1)]
    return completion(json.dumps({"evaluation_results": results} if points else {"determined_answer": "B"}))


def grade_by_time(number: int, body: dict[str, Any]) -> Reply:
    """Marks that differ whenever the same question is asked again."""
    points = len(re.findall(r"\\n\d+\. ", json.dumps(body["messages"])))
    results = [{"point_id": k, "score": (number + k) % 6, "reason": "-"} for k in range(1, points + 1)]
    return completion(json.dumps({"evaluation_results": results} if points else {"determined_answer": "B"}))


def imug(data: Path, *urls: str) -> list[str]:
    servers = f"backbone.urls=[{','.join(urls)}]"
    return ["benchmark=imug", f"benchmark.root={data}", "backbone=imug_server", servers, "tracking=none"]


def endpoint(judge: ChatServer, group: str = "judge") -> list[str]:
    return [f"{group}.base_url={judge.base_url}", f"{group}.model=grader"]


def outcomes(folder: Path) -> Counter[str]:
    return Counter(record["outcome"] for record in records(folder))


def number(pattern: str, text: str) -> str:
    """The first group of a pattern that must be found."""
    found = re.search(pattern, text)
    assert found is not None, text
    return found[1]
