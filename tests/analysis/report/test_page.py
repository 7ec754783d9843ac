"""report.html in a real browser: filter, open a dialogue, step through turns; data is never obeyed."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import analysis.report.browser as browser_data
from analysis.__main__ import main as analyse
from analysis.records import load_study
from analysis.report import write
from tests.analysis.browsing import chromium, opened
from tests.analysis.gallery import HOSTILE, SCORES, colour, write_gallery, write_numbers
from tests.analysis.study_writer import StudyWriter


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = write_gallery(tmp_path_factory.mktemp("gallery"))
    out = write_numbers(study / "analysis", sentences={"direct": f"Nothing is claimed {HOSTILE}."})
    table = f"## Main {HOSTILE}\n\n| strategy | mean |\n| --- | ---: |\n| {HOSTILE} | 0.5 |\n"
    figure = out / "gain_by_turn.png"
    figure.write_bytes(colour("figure")[1])
    return write(load_study(study), out, tables=[table], figures=[figure, figure.with_suffix(".pdf")])


def listed(page: Page) -> list[str]:
    page.wait_for_selector("#list button")
    return page.locator("#list .name").all_inner_texts()


def visible_images(page: Page, inside: str) -> int:
    """How many images there are, all of which are drawn."""
    images = page.locator(f"{inside} img")
    page.wait_for_function(
        "selector => [...document.querySelectorAll(selector)].every(i => i.complete && i.naturalWidth > 0)",
        arg=f"{inside} img:not(details:not([open]) img)",
    )
    return images.count()


def test_results_show_sentences_tables_and_figures_as_text(browser: Browser, report: Path) -> None:
    with opened(browser, report) as page:
        assert f"Nothing is claimed {HOSTILE}." in page.inner_text(".sentences")
        assert page.inner_text(".table summary") == f"Main {HOSTILE}"
        assert page.inner_text(".table td >> nth=0") == HOSTILE
        assert page.locator(".table td.right").inner_text() == "0.5"
        assert visible_images(page, ".figures") == 1
        assert page.inner_text("figcaption") == "Gain by turn"
        assert page.title() == "pocket on gallery"


def test_largest_gain_and_loss_against_the_baseline(browser: Browser, report: Path) -> None:
    with opened(browser, report, "#view=dialogues&strategy=best_of_2&order=gain") as page:
        # salt's second turn failed in direct, so that its first alone is compared
        assert listed(page) == ["lamp · 0", "salt · 3", "rain · 2", "moss · 1"]
        assert page.locator("#list .gain").all_inner_texts() == ["▲ 40", "▲ 40", "▲ 10", "▼ 20"]
        page.select_option("[name=order]", "loss")
        expect(page.locator("#list .name").first).to_have_text("moss · 1")


def test_filters_narrow_the_list(browser: Browser, report: Path) -> None:
    with opened(browser, report, "#view=dialogues") as page:
        assert listed(page) == ["lamp · 0", "moss · 1", "rain · 2", "salt · 3"]
        page.select_option("[name=class]", "temporal_causal")
        expect(page.locator("#list .name")).to_have_text(["moss · 1", "rain · 2"])
        page.select_option("[name=class]", "")
        page.select_option("[name=outcome]", "model_error")
        expect(page.locator("#list .name")).to_have_text(["salt · 3"])
        page.select_option("[name=strategy]", "best_of_2")
        expect(page.locator("#list .name")).to_have_count(0)
        page.select_option("[name=outcome]", "")
        page.select_option("[name=task]", "Things/rain")
        expect(page.locator("#list .name")).to_have_text(["rain · 2"])
        page.select_option("[name=task]", "")
        page.fill("[name=find]", "part 1 moss")
        expect(page.locator("#list .name")).to_have_text(["moss · 1"])


def test_a_dialogue_is_told_turn_by_turn(browser: Browser, report: Path) -> None:
    with opened(browser, report, "#view=dialogues&strategy=best_of_2") as page:
        page.click("#list button >> nth=0")
        expect(page.locator("#dialogue h3")).to_contain_text("Turn 1")
        assert f"draw the lamp, part 1 {HOSTILE}" in page.inner_text(".question")
        assert "first the outline" in page.inner_text(".answer")
        assert "2 considered by best of 2; chose #1: highest verdict, 0.75" in page.inner_text(".answer")
        assert page.locator("li.chosen .number").inner_text().startswith("#1")
        assert visible_images(page, ".answer .candidates") == 2
        assert visible_images(page, ".strip") == 4
        page.click("summary:text-is('Scorer: 80 of 100') >> nth=0")
        assert f"3 {HOSTILE}" in page.inner_text(".graded >> nth=0")
        assert "too pale" in page.inner_text(".graded >> nth=0")
        page.click("text=What the model saw")
        assert "Nothing: this is the first turn." in page.inner_text(".answer")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#dialogue h3")).to_contain_text("Turn 2")
        page.click("text=What the model saw: own history")
        shown = page.locator(".chat .assistant img").get_attribute("src")
        assert shown == page.locator(".strip tbody tr >> nth=1").locator("img >> nth=0").get_attribute("src")
        page.click("summary:text-is('Cost')")
        assert "generator\t2\t2\t32\t32\t0.25" in page.inner_text(".cost table")


def test_gold_history_shows_references(browser: Browser, report: Path) -> None:
    address = "#view=dialogues&strategy=best_of_2&history=gold&dialogue=static_spatial/Things/lamp/0&turn=2"
    with opened(browser, report, address) as page:
        page.click("text=What the model saw: gold history")
        reference = page.locator(".strip tbody tr:last-child img >> nth=0").get_attribute("src")
        assert page.locator(".chat .assistant img").get_attribute("src") == reference


def test_the_analysis_ends_with_a_report(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_gallery(tmp_path / "study")
    assert analyse([str(study), "--resamples", "100"]) == 0
    report = study / "analysis" / "report.html"
    assert capsys.readouterr().out.endswith(f"{report}\n")
    with opened(browser, report) as page:
        assert page.locator(".sentences li").count() == len(SCORES)
        assert page.locator(".table").count() > 1
        assert visible_images(page, ".figures") > 1


def test_a_csv_has_results_and_no_dialogues(browser: Browser, tmp_path: Path) -> None:
    csv = Path(__file__).parents[1] / "data" / "tiny.csv"
    assert analyse([str(csv), "--out", str(tmp_path), "--resamples", "100"]) == 0
    with opened(browser, tmp_path / "report.html") as page:
        expect(page.locator("#results")).to_be_visible()
        expect(page.locator("#to-dialogues")).to_be_hidden()


def test_swapped_history_shows_the_answers_of_the_other_run(browser: Browser, tmp_path: Path) -> None:
    study = write_gallery(tmp_path, histories=("own", "swap"))
    report = write(load_study(study), write_numbers(study / "analysis"), tables=(), figures=())
    address = "#view=dialogues&history=swap:best_of_2&beside=1&dialogue=static_spatial/Things/lamp/0&turn=2"
    with opened(browser, report, address) as page:
        expect(page.locator(".answer h4")).to_contain_text(["direct · swap:best_of_2 history", "direct"])
        page.click(".answer >> nth=0 >> text=What the model saw: swap:best_of_2 history")
        encoded = base64.b64encode(colour("best_of_2", "lamp", 1, 1)[1]).decode()
        assert (
            page.locator(".chat .assistant img").first.get_attribute("src")
            == f"data:image/png;base64,{encoded}"
        )


def test_a_failed_turn_says_why_and_keys_move_between_dialogues(browser: Browser, report: Path) -> None:
    with opened(browser, report, "#view=dialogues&dialogue=hybrid/Things/salt/3&turn=2") as page:
        assert page.locator(".error").inner_text() == f"BackboneError: out of memory {HOSTILE}"
        expect(page.locator(".answer .outcome")).to_have_text("model error")
        page.keyboard.press("k")
        expect(page.locator("#dialogue h2")).to_have_text("rain · 2")
        page.keyboard.press("j")
        expect(page.locator("#dialogue h2")).to_have_text("salt · 3")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "find"


def test_two_strategies_stand_side_by_side_under_an_address(browser: Browser, report: Path) -> None:
    with opened(
        browser, report, "#view=dialogues&strategy=best_of_2&dialogue=static_spatial/Things/lamp/0"
    ) as page:
        expect(page.locator(".answer")).to_have_count(1)
        page.keyboard.press("b")
        expect(page.locator(".answer h4")).to_contain_text(["best_of_2", "direct"])
        shared = page.url
    with opened(browser, report, shared[shared.index("#") :]) as page:
        expect(page.locator(".answer h4")).to_contain_text(["best_of_2", "direct"])


def test_study_and_report_move_together_and_missing_images_are_said(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_data, "EMBED_LIMIT", 0)
    study = write_gallery(tmp_path / "a b+c")
    write(load_study(study), write_numbers(study / "analysis"), tables=(), figures=())
    moved = Path(shutil.move(study, tmp_path / "moved"))
    address = "#view=dialogues&strategy=best_of_2&dialogue=static_spatial/Things/lamp/0"
    with opened(browser, moved / "analysis" / "report.html", address) as page:
        page.wait_for_selector(".strip")
        assert visible_images(page, ".strip") == 4
        assert page.locator(".strip img >> nth=0").get_attribute("src").startswith("../best_of_2-own/images/")  # type: ignore[union-attr]
    shutil.rmtree(moved / "best_of_2-own" / "images")
    context = browser.new_context()
    page = context.new_page()
    page.goto((moved / "analysis" / "report.html").as_uri() + address)
    expect(page.locator(".strip .missing").first).to_contain_text("image missing")
    context.close()


def test_three_thousand_dialogues_open(browser: Browser, tmp_path: Path) -> None:
    study = StudyWriter(
        folder=tmp_path / "many",
        strategies=("direct", "cot"),
        histories=("own",),
        samples_per_class=1000,
    ).write()
    report = write(load_study(study), write_numbers(study / "analysis"), tables=(), figures=())
    context = browser.new_context()
    page = context.new_page()
    began = time.perf_counter()
    page.goto(report.as_uri() + "#view=dialogues&strategy=cot&order=gain", wait_until="commit")
    expect(page.locator("#count")).to_contain_text("3,000 of 3,000 dialogues", timeout=60_000)
    seconds = time.perf_counter() - began
    size = report.stat().st_size / 1e6
    print(f"3,000 dialogues, two strategies, {size:.1f} MB: listed after {seconds:.2f} s")
    page.click("#list button >> nth=0")
    page.wait_for_selector(".turn")
    last = page.evaluate("shown.at(-1).dialogue.name")
    page.evaluate("name => go({ dialogue: name })", last)
    expect(page.locator("#list button[aria-current]")).to_be_visible()
    assert page.locator("#list button").count() == 3000
    context.close()
    assert seconds < 20, "generous: the machine of a test is shared; 3 s is the aim"
