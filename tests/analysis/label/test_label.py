"""Labelling: drawn blind and at random, labelled in a real browser, merged into the long CSV."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

import analysis.label.draw as drawing
from analysis.__main__ import main as analyse
from analysis.label.__main__ import main
from tests.analysis.browsing import chromium, opened
from tests.analysis.gallery import HOSTILE, SCORES, colour, write_gallery


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_gallery(tmp_path / "study")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(study: Path, out: Path, *options: str) -> list[dict[str, str]]:
    assert main([str(study), "--out", str(out), *options]) == 0
    return rows(out / "key.csv")


def write_labels(path: Path, grades: dict[str, tuple[int, ...]]) -> Path:
    lines = [
        f"{item},{point},{grade}" for item, given in grades.items() for point, grade in enumerate(given, 1)
    ]
    path.write_text("\n".join(["item,point,score", *lines, ""]))
    return path


def test_each_turn_is_drawn_for_every_strategy_and_only_where_all_are_scored(
    study: Path, tmp_path: Path
) -> None:
    key = draw(study, tmp_path / "labels", "--n", "100")
    drawn = {(row["task"], row["turn"]) for row in key}
    assert drawn == {(name, turn) for name in ("lamp", "moss", "rain", "salt") for turn in "12"} - {
        ("salt", "2")
    }
    assert {row["history"] for row in key} == {"own"}
    for cell in drawn:
        assert {row["strategy"] for row in key if (row["task"], row["turn"]) == cell} == set(SCORES)


def test_the_same_seed_draws_the_same_sample_and_another_one_another(study: Path, tmp_path: Path) -> None:
    first = draw(study, tmp_path / "a", "--n", "2", "--seed", "1")
    assert first == draw(study, tmp_path / "b", "--n", "2", "--seed", "1")
    samples = [draw(study, tmp_path / str(seed), "--n", "2", "--seed", str(seed)) for seed in range(8)]
    assert len({tuple(sorted((r["task"], r["turn"]) for r in key)) for key in samples}) > 1
    assert len(first) == 2 * len(SCORES)


def test_the_page_names_no_strategy(browser: Browser, study: Path, tmp_path: Path) -> None:
    draw(study, tmp_path / "labels")
    with opened(browser, tmp_path / "labels" / "label.html") as page:
        page.wait_for_selector("fieldset")
        told = page.inner_text("body") + page.evaluate("JSON.stringify(items)")
        assert "direct" not in told
        assert "best_of_2" not in told
        assert "outline" not in told, "plans would tell the strategy"


def test_labels_are_given_by_key_kept_exported_and_merged(
    browser: Browser, study: Path, tmp_path: Path
) -> None:
    key = draw(study, tmp_path / "labels", "--strategies", "best_of_2", "--n", "3")
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto((tmp_path / "labels" / "label.html").as_uri())
    expect(page.locator("fieldset p").nth(1)).to_have_text(HOSTILE)
    assert page.locator(".target img").evaluate("image => image.naturalWidth") == 24
    for press in ("5", "2", "ArrowRight", "3", "3"):
        page.keyboard.press(press)
    expect(page.locator("#count")).to_have_text("2 of 3 labelled")
    page.reload()
    expect(page.locator("#count")).to_have_text("2 of 3 labelled")
    with page.expect_download() as download:
        page.click("#export")
    download.value.save_as(tmp_path / "labels" / "labels.csv")
    context.close()

    merged = tmp_path / "runs_with_human.csv"
    assert main([str(study), "--merge", str(tmp_path / "labels" / "labels.csv"), "--out", str(merged)]) == 0
    human = {
        (r["strategy"], r["history"], r["task"], r["turn"]): float(r["human_score"])
        for r in rows(merged)
        if r["human_score"]
    }
    assert sorted(human.values()) == [0.6, 0.7]
    labelled = {("best_of_2", "own", r["task"], r["turn"]) for r in key}
    assert human.keys() < labelled


def test_many_images_go_beside_the_page_and_none_from_elsewhere(
    browser: Browser, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "EMBED_LIMIT", 0)
    shutil.copyfile(next((study / "direct-own" / "images").iterdir()), study / "secret.png")
    turns = study / "direct-own" / "turns.jsonl"
    sha256, _ = colour("direct", "lamp", 1)
    turns.write_text(turns.read_text().replace(sha256, "../../secret"))
    draw(study, tmp_path / "labels")
    copied = {path.name for path in (tmp_path / "labels" / "images").iterdir()}
    assert f"{colour('direct', 'moss', 1)[0]}.png" in copied
    assert all(len(name) == 64 + len(".png") for name in copied)
    with opened(browser, tmp_path / "labels" / "label.html") as page:
        page.wait_for_selector("fieldset")
        page.evaluate("show(items.findIndex(item => !JSON.stringify(item).includes('secret')))")
        page.wait_for_function("document.querySelector('.target img').naturalWidth === 24")


def test_the_merged_file_has_every_turn_of_the_study(study: Path, tmp_path: Path) -> None:
    key = draw(study, tmp_path / "labels", "--n", "2")
    labels = write_labels(tmp_path / "labels.csv", {row["item"]: (5, 0) for row in key})
    merged = tmp_path / "merged.csv"
    arguments = ["--merge", str(labels), "--key", str(tmp_path / "labels" / "key.csv"), "--out", str(merged)]
    assert main([str(study), *arguments]) == 0
    turns = rows(merged)
    assert len(turns) == 4 * 8
    assert sum(
        float(r["score"] or 0) for r in turns if r["strategy"] == "direct" and r["history"] == "own"
    ) == pytest.approx(sum(score or 0 for pair in SCORES["direct"].values() for score in pair))
    assert [r["score"] for r in turns if r["outcome"] == "model_error"] == ["", ""]
    assert {r["human_score"] for r in turns} == {"", "0.5"}
    assert analyse([str(merged), "--out", str(tmp_path / "out"), "--resamples", "100"]) == 0
    means = json.loads((tmp_path / "out" / "analysis.json").read_text())["strategies"]
    assert means["direct"]["mean"]["n_missing"] == 1
    assert means["direct"]["human_mean"]["est"] is not None


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ("item,score\n", "labels.csv: no column point; needed are item, point, score"),
        ("item,point,score\nITEM,1,6\n", "line 2: score is '6'; grades go from 0 to 5"),
        ("item,point,score\nITEM,1,x\n", "line 2: score is 'x'"),
        ("item,point,score\nITEM,1,3\nITEM,1,4\n", "line 3: item ITEM, point 1 is graded twice"),
        ("item,point,score\nother,1,3\n", "item 'other' is not in"),
    ],
)
def test_bad_labels_are_refused(
    lines: str, complaint: str, study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = draw(study, tmp_path, "--n", "1")[0]["item"]
    (tmp_path / "labels.csv").write_text(lines.replace("ITEM", item))
    merged = tmp_path / "merged.csv"
    assert main([str(study), "--merge", str(tmp_path / "labels.csv"), "--out", str(merged)]) == 2
    assert complaint.replace("ITEM", item) in capsys.readouterr().err
    assert not merged.exists()


SPREADSHEETS = {
    "UTF-16 with tabs": ("utf-16", "\t"),
    "UTF-16 without a mark": ("utf-16-le", ","),
    "UTF-8 with a mark and semicolons": ("utf-8-sig", ";"),
}


@pytest.mark.parametrize(("encoding", "delimiter"), SPREADSHEETS.values(), ids=SPREADSHEETS)
def test_files_that_a_spreadsheet_has_saved_are_read(
    study: Path, tmp_path: Path, encoding: str, delimiter: str
) -> None:
    def saved(path: Path, fields: list[list[str]]) -> None:
        text = "".join(delimiter.join(row) + "\r\n" for row in [*fields, [""] * len(fields[0])])
        path.write_bytes(text.encode(encoding))

    key = draw(study, tmp_path, "--n", "1")
    half = "2,5" if delimiter == ";" else "2.5"
    saved(tmp_path / "labels.csv", [["item", "point", "score"], [key[0]["item"], "1.0", half]])
    numbers = {"seed": "0.0", "turn": f"{key[0]['turn']}.0"}
    saved(tmp_path / "key.csv", [list(key[0]), *([*(row | numbers).values()] for row in key)])
    merged = tmp_path / "merged.csv"
    assert main([str(study), "--merge", str(tmp_path / "labels.csv"), "--out", str(merged)]) == 0
    assert {row["human_score"] for row in rows(merged)} == {"", "0.5"}


@pytest.mark.parametrize(
    ("name", "old", "new", "complaint"),
    [
        ("key.csv", b",own,0,", b",own,0.5,", "key.csv, line 2: seed is '0.5', not a whole number"),
        ("key.csv", b",own,0,", b",own,x,", "key.csv, line 2: seed is 'x', not a number"),
        ("key.csv", b",own,0,", b",own,", "key.csv, line 2: has more or fewer values than the header"),
        ("labels.csv", b",1,3", b",1,\xff\xe9", "labels.csv, line 2: not text in UTF-8 or UTF-16"),
        ("labels.csv", b",1,3", b",1,3,sharp", "labels.csv, line 2: has more or fewer values"),
    ],
)
def test_a_damaged_file_is_told_with_its_line(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    name: str, old: bytes, new: bytes, complaint: str,
) -> None:  # fmt: skip
    item = draw(study, tmp_path, "--n", "1")[0]["item"]
    write_labels(tmp_path / "labels.csv", {item: (3,)})
    damaged = tmp_path / name
    damaged.write_bytes(damaged.read_bytes().replace(old, new, 1))
    merged = tmp_path / "merged.csv"
    assert main([str(study), "--merge", str(tmp_path / "labels.csv"), "--out", str(merged)]) == 2
    assert complaint in capsys.readouterr().err


def test_arms_are_drawn_and_merged_under_their_whole_names(tmp_path: Path) -> None:
    label = "best_of_2[judge=openai,judge.model=m]"
    names = ["direct @ budget.images=1", "direct @ budget.images=2", f"{label} @ budget.images=none"]
    study = write_gallery(tmp_path / "study", histories=("own",))
    (study / "best_of_2-own").rename(study / "judged")
    shutil.copytree(study / "direct-own", study / "direct-2")
    for folder, images in {"direct-own": 1, "direct-2": 2}.items():
        edit_manifest(study / folder, arm_identity={"budget": {"images": images}})
    edit_manifest(study / "judged", strategy=label)
    turns = study / "judged" / "turns.jsonl"
    turns.write_text(
        turns.read_text().replace('"strategy": "best_of_2", "oracle"', f'"strategy": "{label}", "oracle"')
    )
    key = draw(study, tmp_path / "labels", "--n", "1", "--strategies", ", ".join(names))
    assert {row["strategy"] for row in key} == set(names)
    labels = write_labels(tmp_path / "labels" / "labels.csv", {row["item"]: (3,) for row in key})
    merged = tmp_path / "merged.csv"
    assert main([str(study), "--merge", str(labels), "--out", str(merged)]) == 0
    assert {row["strategy"] for row in rows(merged) if row["human_score"]} == set(names)
    assert analyse([str(merged), "--out", str(tmp_path / "out"), "--resamples", "100"]) == 0


def edit_manifest(folder: Path, **fields: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_key_of_another_study_and_a_missing_key_are_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = draw(study, tmp_path, "--n", "1")[0]["item"]
    labels = write_labels(tmp_path / "labels.csv", {item: (1, 1)})
    other = write_gallery(tmp_path / "other", histories=("gold",))
    assert main([str(other), "--merge", str(labels), "--out", str(tmp_path / "m.csv")]) == 2
    assert "merge into the study that the sample was drawn from" in capsys.readouterr().err
    (tmp_path / "key.csv").unlink()
    assert main([str(study), "--merge", str(labels), "--out", str(tmp_path / "m.csv")]) == 2
    assert "--key labels/key.csv" in capsys.readouterr().err


def test_what_cannot_be_drawn_is_refused(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(study), "--out", str(tmp_path), "--strategies", "direct,guess"]) == 2
    assert "no 'guess' in the study; it has best_of_2, direct" in capsys.readouterr().err
    gold = write_gallery(tmp_path / "gold", histories=("gold",))
    assert main([str(gold), "--out", str(tmp_path)]) == 2
    assert "no image turn on own history is scored by all" in capsys.readouterr().err
