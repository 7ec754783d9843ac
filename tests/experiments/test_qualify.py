"""Judges against preference pairs of people: known agreement, position bias, and where the figure stands."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.qualified import JudgedPair, qualify
from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.contracts import ConfigurationError, models_by_role
from imug_tts.dialogue import Image
from imug_tts.judges import HttpRewardJudge, PairwiseJudge
from imug_tts.runs import Journal, compare_pairs, read_pairs
from imug_tts.testing.chat_server import Reply, chat_server, completion
from imug_tts.testing.toys import ToyBackbone
from tests.experiments.imug_cli import do

SHADES = 40


def shade(path: Path, value: int) -> str:
    image = Image.from_pixels(np.full((8, 8, 3), value, np.uint8))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(image.read())
    return str(path.relative_to(path.parents[1]))


def write_pairs(folder: Path, choice: Callable[[int], str], number: int = SHADES) -> Path:
    """Pairs of a darker image A and a brighter image B; the even ones have A brighter."""
    file = folder / "pairs.jsonl"
    lines = []
    for index in range(number):
        dark, bright = 2 * index, 2 * index + 101
        a, b = (bright, dark) if index % 2 == 0 else (dark, bright)
        row = {
            "prompt": f"prompt {index // 2}",
            "image_a": shade(folder / "images" / f"{index}a.png", a),
            "image_b": shade(folder / "images" / f"{index}b.png", b),
            "choice": choice(index),
        }
        lines.append(json.dumps(row))
    file.write_text("\n".join(lines) + "\n")
    return file


def bright_is_better(index: int) -> str:
    return "a" if index % 2 == 0 else "b"


def reward_by_brightness(number: int, body: dict[str, Any]) -> Reply:
    import base64

    url = body["messages"][-1]["content"][0]["image_url"]["url"]
    pixels = Image.from_bytes(base64.b64decode(url.partition(",")[2])).pixels()
    return Reply(body={"rewards": {"brightness": float(pixels.mean())}})


def test_agreement_is_the_share_of_pairs_on_which_the_judge_sides_with_people(tmp_path: Path) -> None:
    # People prefer the brighter image on 30 of 40 pairs; the judge always does.
    pairs = read_pairs(write_pairs(tmp_path, lambda i: bright_is_better(i if i % 4 else i + 1)))
    with chat_server(reward_by_brightness, path="/reward") as server:
        judge = HttpRewardJudge(url=f"{server.host}/reward", model="brightness")
        compared = compare_pairs(judge, pairs, models_by_role(ToyBackbone()), Journal())
    people = {"a": 1.0, "b": 0.0, "tie": 0.5}
    found = qualify(
        [JudgedPair(c.pair.prompt, people[c.pair.choice], c.a_first, c.b_first) for c in compared]
    )
    assert found.agreement.value == 0.75
    # Each of the 20 prompts has two pairs, so clusters are 10 of one right in two, and 10 of both right.
    assert found.agreement.num_clusters == 20
    deviations = np.array([0.5 - 0.75, 1.0 - 0.75] * 10)
    assert found.agreement.standard_error == pytest.approx(
        float(np.sqrt(20 / 19 * np.sum(deviations**2)) / 20)
    )
    assert found.agreement.low < 0.75 < found.agreement.high
    assert (found.place.value, found.inconsistent.value) == (0.0, 0.0)
    assert len(server.bodies) == 2 * SHADES  # each image once, whatever the order


def test_a_judge_that_likes_the_first_place_is_found_out(tmp_path: Path) -> None:
    pairs = read_pairs(write_pairs(tmp_path, bright_is_better, number=10))
    with chat_server(lambda n, body: completion("The first.")) as server:
        judge = PairwiseJudge(verifier=OpenAIChat(base_url=server.base_url, model="grader"))
        compared = compare_pairs(judge, pairs, models_by_role(ToyBackbone()), Journal())
    found = qualify([JudgedPair(c.pair.prompt, 1.0, c.a_first, c.b_first) for c in compared])
    assert (found.agreement.value, found.place.value, found.inconsistent.value) == (0.5, 0.5, 1.0)


def test_ties_of_people_and_unread_pairs_are_left_out_and_counted() -> None:
    asked = [
        JudgedPair("p", 1.0, 1.0, 1.0),
        JudgedPair("q", 0.0, 0.0, 1.0),
        JudgedPair("r", 0.5, 1.0, 1.0),
        JudgedPair("s", 1.0, None, 1.0),
        JudgedPair("t", 0.0, 0.5, 0.5),
    ]
    found = qualify(asked)
    assert found.agreement.value == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert (found.num_pairs, found.num_unread, found.num_tied) == (5, 1, 1)
    assert not qualify([JudgedPair("p", 1.0, None, None)]).agreement.is_defined


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"prompt": "x"}', "line 1: image_a is None"),
        ("[1]", "line 1: it must be an object"),
        ("{", "line 1: not valid JSON"),
        ('{"prompt": "x", "image_a": "a.png", "image_b": "b.png", "choice": "c"}', "choice is 'c'"),
        ('{"prompt": "x", "image_a": "../a.png", "image_b": "b.png", "choice": "a"}', "must be a file in"),
        (
            '{"prompt": "x", "image_a": "a.png", "image_b": "b.png", "choice": "a"}',
            "cannot be read as an image",
        ),
    ],
)
def test_bad_pairs_are_refused_with_file_line_and_field(tmp_path: Path, row: str, said: str) -> None:
    (tmp_path / "pairs.jsonl").write_text(row)
    with pytest.raises(ConfigurationError, match=said) as refused:
        read_pairs(tmp_path / "pairs.jsonl")
    assert str(tmp_path / "pairs.jsonl") in str(refused.value)


def test_csv_and_jsonl_say_the_same(tmp_path: Path) -> None:
    lines = write_pairs(tmp_path, bright_is_better, number=4)
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    one, other = (read_pairs(file) for file in (lines, tmp_path / "pairs.csv"))
    assert [(p.prompt, p.image_a, p.choice) for p in one] == [(p.prompt, p.image_a, p.choice) for p in other]


def test_the_figure_stands_beside_what_the_judge_selected(tmp_path: Path) -> None:
    file = write_pairs(tmp_path, bright_is_better, number=12)
    study = tmp_path / "study"
    with chat_server(reward_by_brightness, path="/reward") as server:
        knobs = ["judge=http_reward", f"judge.url={server.host}/reward", "judge.model=brightness"]
        arms = ["-m", "strategy=direct,best_of_n", "benchmark.num_samples=4", f"output={study}"]
        assert do("run.py", *arms, *knobs, cwd=tmp_path).returncode == 0
        told = do("qualify.py", *knobs, f"pairs={file}", f"into={study}", cwd=tmp_path)
        asked = len(server.bodies)
        again = do("qualify.py", *knobs, f"pairs={file}", f"into={study}", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "agrees with people: 100.0" in told.stdout
    assert again.stdout == told.stdout
    assert len(server.bodies) == asked  # the journal answers
    [line] = (study / "judges.jsonl").read_text().splitlines()
    assert json.loads(line)["judge"] == "http_reward"
    table = analysed(study)
    assert "100.0 [" in table
    assert "of 12" in table


def analysed(study: Path) -> str:
    import subprocess
    import sys

    command = [sys.executable, "-m", "analysis", str(study), "--resamples", "200"]
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    return (study / "analysis" / "tables" / "T6b_selection.md").read_text()


def test_a_judge_that_cannot_read_images_or_is_down_says_so(tmp_path: Path) -> None:
    file = write_pairs(tmp_path, bright_is_better, number=2)
    down = ["judge=http_reward", "judge.url=http://127.0.0.1:9/reward", "judge.model=m"]
    told = do("qualify.py", *down, "judge.patience_s=0", f"pairs={file}", cwd=tmp_path)
    assert told.returncode == 1
    assert "2 pairs failed" in told.stderr
    assert "agrees with people: n/a (no reply of the judge could be parsed) (chance: 50)" in told.stdout
    missing = do("qualify.py", *down, f"pairs={tmp_path / 'none.jsonl'}", cwd=tmp_path)
    assert missing.returncode == 2
    assert "cannot be read" in missing.stderr
