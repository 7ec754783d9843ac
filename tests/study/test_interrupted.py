"""An interrupt while servers do not answer, and the same study again in the same process."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from imug_tts import Study
from imug_tts.backbones.imug_server import ImugServerBackbone
from imug_tts.judges import OpenAIJudge
from imug_tts.testing import chat_server as chat
from imug_tts.testing import infer_servers as infer
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone

BEFORE = 3
"""Calls that are answered before the user interrupts and every further call waits."""
FOR_EVER_S = 3600.0


def agrees(number: int, body: dict[str, Any]) -> chat.Reply:
    return chat.completion("yes")


def run_interrupted_and_again(study: Study, mend: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        study.run(tracking=[])
    mend()
    assert study.run(tracking=[]).missing == 0


def test_a_model_on_a_server_answers_again(tmp_path: Path) -> None:
    good = infer.by_content()

    def answer(asked: infer.Asked) -> infer.Reply:
        if asked.number < BEFORE:
            return good(asked)
        if asked.number == BEFORE:
            os.kill(os.getpid(), signal.SIGINT)
        return infer.Reply(delay_s=FOR_EVER_S)

    with infer.infer_server(answer, slots=100) as server:
        model = ImugServerBackbone(urls=(server.url,), model="m")
        study = Study(tmp_path, backbone=model, benchmark=ToyBenchmark(num_samples=3))
        study.add("direct")
        run_interrupted_and_again(study, lambda: setattr(server, "answer", good))


def test_a_judge_on_an_endpoint_answers_again(tmp_path: Path) -> None:
    def reply(number: int, body: dict[str, Any]) -> chat.Reply:
        if number < BEFORE:
            return chat.completion("yes")
        if number == BEFORE:
            os.kill(os.getpid(), signal.SIGINT)
        return chat.completion("yes", delay_s=FOR_EVER_S)

    with chat.chat_server(reply) as server:
        judge = OpenAIJudge(base_url=server.base_url, model="grader")
        study = Study(tmp_path, backbone=ToyBackbone(), benchmark=ToyBenchmark(num_samples=3), judge=judge)
        study.add({"name": "best_of_n", "n": 2})
        run_interrupted_and_again(study, lambda: setattr(server, "reply", agrees))
