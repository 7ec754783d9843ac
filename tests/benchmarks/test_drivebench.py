"""DriveBench from its files: routing, cameras, settings, what is refused, and the official words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from imug_tts.benchmarks.drivebench import DriveBench
from imug_tts.benchmarks.drivebench.kinds import GRADED, KINDS, QuestionType, Setting, kind_of
from imug_tts.benchmarks.drivebench.official import OfficialWords
from imug_tts.benchmarks.drivebench.records import CAMERAS
from imug_tts.benchmarks.drivebench.rubrics import Sheet
from imug_tts.benchmarks.drivebench.synthetic import write_synthetic
from imug_tts.contracts import ConfigurationError
from imug_tts.dialogue import Image, Sample, Text

QUESTIONS = "data/drivebench-test.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_synthetic(tmp_path, 4, settings=["Fog"], predictions=True)
    return tmp_path


def edit(root: Path, number: int, **changes: Any) -> None:
    path = root / QUESTIONS
    records = json.loads(path.read_text())
    records[number] |= changes
    path.write_text(json.dumps(records))


def images(sample: Sample) -> list[str]:
    """The shown images, below the root."""
    parts = sample.questions[0].parts
    return [str(part.source).split("/data/")[1] for part in parts if isinstance(part, Image)]


def words(sample: Sample) -> str:
    last = sample.questions[0].parts[-1]
    assert isinstance(last, Text)
    return last.text


@pytest.mark.parametrize(
    ("question_type", "tags", "kind"),
    [
        ("perception", [2], "perception_vqa"),
        ("perception", [0], "perception_mcq"),
        ("perception", [0, 2], "perception_vqa"),
        ("prediction", [3], "prediction_vqa"),
        ("prediction", [0], "prediction_mcq"),
        ("planning", [1], "planning_vqa"),
        ("behavior", [0], "behavior_mcq"),
    ],
)
def test_type_and_tag_make_the_kind(question_type: QuestionType, tags: list[int], kind: str) -> None:
    assert kind_of(question_type, tags) == kind


@pytest.mark.parametrize(
    ("question_type", "tag"), [("perception", 1), ("prediction", 2), ("planning", 0), ("behavior", 3)]
)
def test_a_tag_that_a_type_does_not_have_is_refused(question_type: QuestionType, tag: int) -> None:
    with pytest.raises(ValueError, match=f"a {question_type} question needs the tag"):
        kind_of(question_type, [tag])


def test_only_the_cameras_that_a_question_names_are_shown(root: Path) -> None:
    edit(root, 0, question="What is <c1,CAM_BACK,0.5,0.5> to <c2,CAM_FRONT,0.1,0.2>?", answer="A")
    edit(root, 1, question="What is important?")
    drive = DriveBench(root=root, descriptions=None)
    two, all_six, *_ = drive.samples()
    assert [path.split("/")[2] for path in images(two)] == ["CAM_FRONT", "CAM_BACK"]
    assert "2 camera images in the sequence [CAM_FRONT, CAM_BACK]" in words(two)
    assert [path.split("/")[2] for path in images(all_six)] == list(CAMERAS)
    assert words(all_six).endswith("What is important?")
    one = next(s for s in drive.samples() if s.sample_class == "planning_vqa")
    assert "a single camera image: [CAM_" in words(one)


def test_a_sample_is_a_question_of_a_scene_and_frame(root: Path) -> None:
    samples = DriveBench(root=root).samples()
    assert [s.sample_class for s in samples[:5]] == [
        *("perception_mcq", "perception_vqa", "prediction_vqa", "planning_vqa", "behavior_mcq")
    ]
    assert {(s.domain, s.task) for s in samples[10:15]} == {("scene0001", "frame00002")}
    assert len({sample.name for sample in samples}) == len(samples) == 20


def test_a_question_has_one_name_in_every_file_and_order(root: Path) -> None:
    records = json.loads((root / QUESTIONS).read_text())
    twice = [*reversed(records[5:]), records[7]]
    (root / "part.json").write_text(json.dumps(twice))
    names = [sample.name for sample in DriveBench(root=root).samples()]
    part = [sample.name for sample in DriveBench(root=root, questions="part.json").samples()]
    assert part == [*reversed(names[5:]), f"{names[7]}-2"]


def test_a_setting_shows_other_images_and_is_another_benchmark(root: Path) -> None:
    clean, fog, none = (DriveBench(root=root, setting=s) for s in ("clean", "Fog", "NoImage"))
    assert len(get_args(Setting)) == 17
    assert images(clean.samples()[1])[0].startswith("nuscenes/samples/CAM_FRONT/")
    assert images(fog.samples()[1])[0].startswith("corruption/Fog/CAM_FRONT/")
    black = [part for part in none.samples()[1].questions[0].parts if isinstance(part, Image)]
    assert [(image.pixels().max(), image.pixels().shape) for image in black] == [(0, (224, 224, 3))] * 6
    identities = {drive.identity for drive in (clean, fog, none)}
    assert len(identities) == 3
    assert ":Fog:" in fog.identity
    with pytest.raises(ConfigurationError, match=r"corruption/Snow/CAM_\w+/frame00000.jpg cannot be read"):
        DriveBench(root=root, setting="Snow").samples()


def test_the_identity_is_that_of_content_and_not_of_answers_or_choices(root: Path) -> None:
    before = DriveBench(root=root).identity
    assert DriveBench(root=root, kinds=["planning_vqa"], num_samples=2).identity == before
    edit(root, 3, pred="Something else.")
    assert DriveBench(root=root).identity == before
    picture = next((root / "data/nuscenes/samples/CAM_FRONT").iterdir())
    picture.write_bytes(picture.read_bytes() + b"\0")
    assert DriveBench(root=root).identity != before


def test_kinds_and_numbers_choose_questions(root: Path) -> None:
    drive = DriveBench(root=root, kinds=["planning_vqa", "behavior_mcq"], num_samples=4)
    assert [s.sample_class for s in drive.samples()] == ["planning_vqa"] * 4
    assert len({s.domain for s in drive.samples()}) == 2
    assert {s.sample_class for s in DriveBench(root=root).samples()} == set(GRADED)


def test_yes_no_questions_of_prediction_are_left_out_with_a_word(root: Path) -> None:
    edit(root, 2, tag=[0])
    with pytest.warns(UserWarning, match=r"1 yes/no questions of prediction \(tag 0\) are left out"):
        assert len(DriveBench(root=root).samples()) == 19
    (sample,) = DriveBench(root=root, kinds=["prediction_mcq"]).samples()
    assert sample.questions[0].key["kind"] == "prediction_mcq"


def test_one_record_a_line_is_read_too(root: Path) -> None:
    records = json.loads((root / QUESTIONS).read_text())
    (root / "lines.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    lines, array = DriveBench(root=root, questions="lines.jsonl"), DriveBench(root=root)
    assert lines.samples() == array.samples()
    assert lines.identity == array.identity
    assert lines.data.predictions == array.data.predictions
    assert len(array.data.predictions) == 20


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"question_type": "robust_qas"}, "record 3, question_type: is 'robust_qas'"),
        ({"tag": [4]}, "record 3, tag[0]: is 4"),
        ({"tag": []}, "record 3, tag: is []"),
        ({"tag": [2]}, "record 3, tag: is [2]; a planning question needs the tag 1"),
        ({"answer": ""}, "record 3, answer: is ''"),
        ({"answer": None}, "record 3, answer: is None"),
        ({"scene_token": "a/b"}, "record 3, scene_token: is 'a/b'"),
        ({"image_path": {"CAM_TOP": "x.jpg"}}, "record 3, image_path.CAM_TOP"),
        ({"image_path": {"CAM_FRONT": "/etc/x.jpg"}}, "a path below benchmark.root"),
        ({"image_path": {"CAM_FRONT": "../x.jpg"}}, "a path below benchmark.root"),
        ({"image_path": None}, "record 3, image_path: has no image of CAM_"),
        ({"image_path": None, "question": "What now?"}, "record 3, image_path: is missing"),
        ({"question": "And <c9,CAM_BACK,0.1,0.1>?"}, "record 3, question: names <c9,CAM_BACK>"),
        ({"pred": 3}, "record 3, pred: is 3"),
    ],
)
def test_what_is_wrong_with_a_record_is_said_with_its_place_and_key(
    root: Path, changes: dict[str, Any], said: str
) -> None:
    edit(root, 3, **changes)
    with pytest.raises(ConfigurationError, match=re.escape(said)) as error:
        DriveBench(root=root).samples()
    assert QUESTIONS in str(error.value)


def test_a_reference_that_names_no_option_is_refused(root: Path) -> None:
    edit(root, 0, answer="Perhaps.")
    with pytest.raises(ConfigurationError, match=r"record 0, answer: is 'Perhaps\.'; it must name one"):
        DriveBench(root=root).samples()


def test_a_path_without_a_corrupted_one_beside_it_is_refused(root: Path) -> None:
    edit(root, 1, image_path={"CAM_FRONT": "data/mine/CAM_FRONT/frame00000.jpg"}, question="What?")
    with pytest.raises(ConfigurationError, match="it must contain nuscenes/samples, which"):
        DriveBench(root=root, setting="Fog").samples()


def damaged(path: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / path).write_bytes(change((root / path).read_bytes()))

    return damage


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damaged(QUESTIONS, lambda data: data[:-20]), "it is not valid JSON"),
        (damaged(QUESTIONS, lambda data: b"[]"), "it has no records"),
        (damaged(QUESTIONS, lambda data: b"[3]"), "record 0: not a JSON object but a int"),
        (damaged(QUESTIONS, lambda data: b'{"scene_token": 1'), "line 1: not JSON"),
        (damaged(QUESTIONS, lambda data: data.replace(b'"tag"', b'"answer": "x", "tag"')), "occurs twice"),
        (damaged("data/visual_description.json", lambda data: b"[]"), "not a JSON object but a list"),
        (damaged("data/visual_description.json", lambda data: b'{"s": {}}'), "s.key_frames: is missing"),
        (
            lambda root: (root / "data/visual_description.json").unlink(),
            "benchmark.descriptions=null grades without it",
        ),
        (lambda root: (root / QUESTIONS).unlink(), "cannot be read: No such file"),
        (
            damaged("data/nuscenes/samples/CAM_BACK/frame00000.jpg", lambda data: b"<html>"),
            "image_path.CAM_BACK: it is HTML or XML",
        ),
    ],
)
def test_damaged_files_are_named(root: Path, damage: Callable[[Path], None], said: str) -> None:
    damage(root)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        DriveBench(root=root).samples()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository in the form of the official one, of other words."""
    folder = tmp_path / "clone"
    (folder / "evaluate").mkdir(parents=True)
    shown = {"perception_mcq": " {DESC}", "planning_vqa": " {DESC}"}
    rubrics = [
        f'{kind.upper()}_PROMPT = """Grade {kind}: {{QUESTION}} {{GT}} {{PRED}}{shown.get(kind, "")}"""'
        for kind in KINDS
    ]
    (folder / "evaluate/prompts.py").write_text("\n".join(rubrics))
    (folder / "evaluate/request.py").write_text("def ask():\n    system_message = 'You grade.'\n")
    (folder / "evaluate/eval.py").write_text(
        "def extract_visual_description(q):\n    return 'None needed.'\n"
    )
    cameras = ", ".join(CAMERAS)
    (folder / "prompt.txt").write_text(f"You see up to six camera images in the sequence [{cameras}]. Go: ")
    return folder


def test_the_words_of_a_clone_are_those_that_model_and_judge_get(root: Path, clone: Path) -> None:
    drive = DriveBench(root=root, official=clone)
    edit(root, 3, question="What now?")
    planning = drive.samples()[3]
    assert words(planning).startswith("You see 6 camera images in the sequence [CAM_FRONT, ")
    assert words(planning).endswith("]. Go: What now?")
    assert planning.questions[0].key["description"] == "None needed."
    sheet = Sheet("q {x}", "a", "p", "d")
    assert (
        OfficialWords.of(clone).judge_message("planning_vqa", sheet)
        == "You grade.\nGrade planning_vqa: q {x} a p d"
    )
    assert drive.identity != DriveBench(root=root).identity


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("evaluate/prompts.py", "x = 1", "has no text PERCEPTION_MCQ_PROMPT"),
        ("evaluate/prompts.py", "x = (", "is not valid Python"),
        ("evaluate/request.py", "", "has no text system_message"),
        ("evaluate/eval.py", "", "has no text extract_visual_description"),
        ("prompt.txt", "Go.", "replaced by the cameras shown"),
    ],
)
def test_a_clone_of_another_form_is_refused(root: Path, clone: Path, file: str, text: str, said: str) -> None:
    (clone / file).write_text(text)
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        DriveBench(root=root, official=clone).samples()


def test_a_rubric_with_other_fields_is_refused(root: Path, clone: Path) -> None:
    path = clone / "evaluate/prompts.py"
    path.write_text(path.read_text().replace("{GT}", "{GT.__class__}"))
    with pytest.raises(ConfigurationError, match="its fields are"):
        DriveBench(root=root, official=clone).samples()


def test_synthetic_data_depend_on_the_seed_alone_and_are_not_written_over(tmp_path: Path) -> None:
    one, two, other = (
        write_synthetic(tmp_path / name, 2, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert one.read_bytes() == two.read_bytes() != other.read_bytes()
    with pytest.raises(FileExistsError):
        write_synthetic(tmp_path / "a", 2)
    with pytest.raises(ConfigurationError, match="0 frames"):
        write_synthetic(tmp_path / "d", 0)
