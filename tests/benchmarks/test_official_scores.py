"""Official score files and summaries; data/summary_two holds two models with the official code's summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imug_tts.benchmarks.imug.scores import Record, read_scores, write_scores
from imug_tts.benchmarks.imug.summary import official_summary, summary_with_missing
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Modality, Question, Sample, Text

Turns = dict[tuple[str, str, str, int], Any]

TWO = Path(__file__).parent / "data" / "summary_two"


def scored(turn: int, modality: str, score: float, detail: Record, **names: str) -> dict[str, Any]:
    return {
        "domain": names.get("domain", "Botany"),
        "task": names.get("task", "growth"),
        "sample_id": names.get("sample_id", "7"),
        "turn": turn,
        "modality": modality,
        "outcome": "scored",
        "score": score,
        "score_detail": dict(detail),
    }


def image(turn: int, *points: float, **names: str) -> dict[str, Any]:
    return scored(turn, "image", sum(points) / (5 * len(points)), {"points": list(points)}, **names)


def text(turn: int, score: float, **names: str) -> dict[str, Any]:
    return scored(turn, "text", score, {}, **names)


def sample(*modalities: Modality, domain: str = "Botany", sample_id: str = "7") -> Sample:
    questions = tuple(Question(n, modality, (Text("?"),)) for n, modality in enumerate(modalities, 1))
    return Sample(sample_id, "temporal_causal", domain, "growth", questions)


def write_lines(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


@pytest.mark.filterwarnings("ignore:scores of gamma")
def test_the_summary_of_two_models_is_the_official_one_to_the_byte(tmp_path: Path) -> None:
    official_summary(read_scores(TWO)).write(tmp_path)
    for name in ("summary.json", "summary.md"):
        assert (tmp_path / name).read_bytes() == (TWO / name).read_bytes()


@pytest.mark.filterwarnings("ignore:scores of gamma")
def test_the_summary_is_the_same_from_the_folders_of_the_official_scorers(tmp_path: Path) -> None:
    for path in TWO.glob("*_score.jsonl"):
        model, kind, _ = path.stem.rsplit("_", 2)
        folder = tmp_path / model / f"score_{kind}"
        folder.mkdir(parents=True)
        (folder / path.name).write_bytes(path.read_bytes())
    assert official_summary(read_scores(tmp_path)) == official_summary(read_scores(TWO))


def test_domains_with_one_modality_unknown_domains_and_late_turns_are_summarised(tmp_path: Path) -> None:
    records = [image(10, 5, 4, domain="Nowhere"), text(2, 0.3333, domain="Physics")]
    write_scores(tmp_path, "m", records)
    content, markdown = official_summary(read_scores(tmp_path))
    assert list(content["models"]["m"]["by_class"]) == ["Temporal Causal", "Unassigned"]
    assert list(content["models"]["m"]["by_turn"]) == [2, 10]
    assert "| Nowhere | 90.00 | - | 90.00 |\n| Physics | 33.33 | 33.33 | - |" in markdown
    assert content["models"]["m"]["overall"]["all"] == {"mean": 61.66, "count": 2}  # 61.665, summed in floats


places = st.tuples(
    st.sampled_from(["Botany", "Cooking", "Elsewhere", "Économie"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["1", "2", "x\u2028y"]),
    st.integers(1, 12),
)
letters = st.sets(st.sampled_from("ABCDEFG")).map(lambda chosen: "".join(sorted(chosen)))
points = st.lists(st.integers(0, 5), min_size=1, max_size=6)
turns = st.dictionaries(places, st.one_of(points, st.floats(0, 1), st.tuples(st.floats(0, 1), letters)))


@given(turns=turns)
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, turns: Turns) -> None:
    records = [record_of(place, score) for place, score in turns.items()]
    folder = tmp_path_factory.mktemp("scores")
    failed = {**text(1, 0.0), "outcome": "model_error", "score": None, "score_detail": None}
    write_scores(folder, "m", [*records, failed])
    found = read_scores(folder).get("m", [])
    assert sorted(found, key=repr) == sorted(records, key=repr)
    images = [record for record in records if record["modality"] == "image"]
    assert found[: len(images)] == images


def record_of(place: tuple[str, str, str, int], score: Any) -> dict[str, Any]:
    domain, task, sample_id, turn = place
    names = {"domain": domain, "task": task, "sample_id": sample_id}
    if isinstance(score, list):
        return image(turn, *score, **names)
    if isinstance(score, tuple):
        return scored(turn, "text", score[0], {"expected": score[1], "dynamic": True}, **names)
    return text(turn, score, **names)


def test_the_files_have_the_official_fields_and_places(tmp_path: Path) -> None:
    dynamic = scored(3, "text", 0.75, {"official": 0.75, "expected": "AC", "dynamic": True})
    write_scores(tmp_path, "m", [text(1, 1.0), image(2, 5, 0), dynamic])
    files = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.jsonl")}
    named = '"domain": "Botany", "subdomain": "growth", "sample_id": "7"'
    points = '[{"point_id": 1, "score": 5}, {"point_id": 2, "score": 0}]'
    scores = '[{"turn": 1, "score": 1.0}, {"turn": 3, "score": 0.75}]'
    assert files == {
        "m/score_mcq/m_mcq_score.jsonl": f'{{{named}, "mcq_scores": {scores}}}\n',
        "m/score_img/m_img_score.jsonl": f'{{{named}, "turn": 2, "scores": {points}}}\n',
        "m/dynamic_answer/m_dynamic_answer.jsonl": f'{{{named}, "turn": 3, "determined_answer": "AC"}}\n',
    }


def test_an_image_without_points_has_no_official_score(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="turn 2 of Botany/growth/7 is not scored by points"):
        write_scores(tmp_path, "m", [scored(2, "image", 0.5, {})])


def test_the_name_of_a_model_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot name a file"):
        write_scores(tmp_path, "../m", [])


LINE: dict[str, Any] = {"domain": "Botany", "subdomain": "s", "sample_id": 3, "turn": 1, "scores": []}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"domain": ', r"line 2: not JSON"),
        ("[1]", r"line 2: not a JSON object but a list"),
        ('{"turn": 1, "turn": 2}', r"line 2: key 'turn' occurs twice"),
        ({**LINE, "scores": [{"score": float("nan")}]}, r"line 2: NaN is not a JSON value"),
        ({**LINE, "scores": [{"score": None}]}, r"line 2: None is not a number"),
        ({**LINE, "scores": [{"score": "good"}]}, r"line 2: could not convert string to float: 'good'"),
        ({**LINE, "scores": [{"score": 1}], "domain": 5}, r"line 2: domain is 5; it must be text"),
        ({"domain": "d", "subdomain": "s", "scores": [{"score": 1}], "turn": 1}, r"line 2: key 'sample_id'"),
        ({**LINE, "scores": 5}, r"line 2: 'int' object is not iterable"),
    ],
)
def test_damage_is_said_with_file_and_line(tmp_path: Path, line: object, complaint: str) -> None:
    write_lines(tmp_path / "m_img_score.jsonl", LINE, line)
    with pytest.raises(ConfigurationError, match=f"m_img_score.jsonl, {complaint}"):
        read_scores(tmp_path)


def test_a_folder_without_score_files_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no score files"):
        read_scores(tmp_path)


def test_turns_scored_twice_or_off_the_scale_are_kept_and_said(tmp_path: Path) -> None:
    write_scores(tmp_path, "m", [image(1, 5, 9), image(2, 3), image(2, 4)])
    with (
        pytest.warns(UserWarning, match="turn 2 of Botany/growth/7 is scored twice"),
        pytest.warns(UserWarning, match="turn 1 of Botany/growth/7 is off the scale"),
    ):
        assert len(read_scores(tmp_path)["m"]) == 3


def test_turns_of_a_run_are_summarised_like_their_score_files(tmp_path: Path) -> None:
    failed = {**text(4, 0.0), "outcome": "timed_out", "score": None, "score_detail": None}
    turns = [text(1, 0.3333), image(2, 3, 4, 4), text(3, 0.6667), failed, image(5, 1, 2, 2)]
    write_scores(tmp_path, "m", turns)
    assert official_summary({"m": turns}) == official_summary(read_scores(tmp_path))
    missing = summary_with_missing({"m": turns}, [sample("text", "image", "text", "text", "image")])
    assert "# m" in missing.markdown
    assert missing.content["models"]["m"]["overall"]["text"]["planned"] == 3
    assert missing.content["models"]["m"]["overall"]["text"]["count"] == 2


def test_ours_says_what_is_missing_and_what_it_could_be() -> None:
    samples = [sample("text", "image", "image"), sample("text", domain="Cooking", sample_id="8")]
    summary = summary_with_missing({"m": [text(1, 0.5), image(3, 4)]}, samples)
    model = summary.content["models"]["m"]
    assert model["overall"]["all"] == {
        "mean": 65.0,
        "count": 2,
        "planned": 4,
        "lowest": 32.5,
        "highest": 82.5,
    }
    nothing = {"mean": None, "count": 0, "planned": 1, "lowest": 0.0, "highest": 100.0}
    assert model["by_domain"]["Cooking"]["text"] == nothing
    rows = summary.markdown.splitlines()
    assert (
        "| Overall | 65.00 [32.50, 82.50] 2/4 | 50.00 [25.00, 75.00] 1/2 | 80.00 [40.00, 90.00] 1/2 |" in rows
    )
    assert "| Cooking | - [0.00, 100.00] 0/1 | - [0.00, 100.00] 0/1 | - |" in rows


def test_a_score_of_a_turn_that_is_not_planned_is_left_out_and_said() -> None:
    records = [text(1, 1.0), text(2, 1.0), image(1, 5)]
    with pytest.warns(UserWarning, match=r"2 belong to no turn of .* turn 1 of Botany/growth/7"):
        summary = summary_with_missing({"m": records}, [sample("text")])
    assert summary.content["models"]["m"]["overall"]["all"]["count"] == 1
    assert "| Overall | 100.00 1/1 | 100.00 1/1 | - |" in summary.markdown


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=20))
def test_the_true_mean_lies_within_the_bounds(scores: list[float | None]) -> None:
    modalities: list[Modality] = ["text"] * len(scores)
    planned = [sample(*modalities)]
    known = [text(turn, score) for turn, score in enumerate(scores, 1) if score is not None]
    cell = summary_with_missing({"m": known}, planned).content["models"]["m"]["overall"]["all"]
    assert cell["planned"] == len(scores)
    for guess in (0.0, 0.4, 1.0):
        mean = 100 * sum(guess if score is None else score for score in scores) / len(scores)
        assert cell["lowest"] - 0.006 <= mean <= cell["highest"] + 0.006
    if len(known) == len(scores):
        assert cell["lowest"] == cell["mean"] == cell["highest"]
