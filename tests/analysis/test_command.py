"""`python -m analysis STUDY`, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.ablation import ablation
from analysis.output_cache import load_outputs
from analysis.records import StudyError, load_study
from tests.analysis.study_writer import StudyWriter

ROOT = Path(__file__).parents[2]
FILES = (
    "analysis.json",
    "tables/T1_main.md",
    "tables/T1_main.tex",
    "figures/scores_over_turns.png",
    "figures/scores_over_turns.pdf",
)


def run_analysis(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "analysis", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def small_study(folder: Path) -> StudyWriter:
    return StudyWriter(folder=folder, strategies=["direct", "cot"], classes=["hybrid"], samples_per_class=4)


def edit_line(path: Path, number: int, change: Callable[[str], str]) -> None:
    lines = path.read_text().splitlines(keepends=True)
    lines[number - 1] = change(lines[number - 1])
    path.write_text("".join(lines))


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study of six strategies with a few failures, and what the command printed of it."""
    strategies = ["direct", "cot", "self_verify", "best_of_4", "best_of_4+cot", "oracle_best_of_4"]
    folder = tmp_path_factory.mktemp("study")
    study = StudyWriter(folder=folder, strategies=strategies, samples_per_class=8, failure_rate=0.01).write()
    done = run_analysis(study, "--resamples", "300")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return study, done.stdout


def test_it_prints_tables_of_at_most_120_columns_and_names_its_files(analysed: tuple[Path, str]) -> None:
    study, printed = analysed
    assert max(map(len, printed.splitlines()[:-4])) <= 120
    for title in (
        "Image score",
        "exposure bias",
        "Nestings",
        "Text score",
        "Cost",
        "Verification",
        "Selection",
    ):
        assert title in printed
    for name in ("analysis.json", "tables", "figures"):
        assert str(study / "analysis" / name) in printed
    for name in FILES:
        assert (study / "analysis" / name).stat().st_size > 500
    assert "nan" not in printed


def test_oracle_arms_are_named_so_everywhere(analysed: tuple[Path, str]) -> None:
    study, printed = analysed
    for report in (printed, "\n".join(p.read_text() for p in (study / "analysis" / "tables").glob("*.md"))):
        rows = [line for line in report.splitlines() if line.lstrip("| ").startswith("oracle_best_of_4 ")]
        assert len(rows) >= 6
        assert all("oracle_best_of_4 (oracle)" in row for row in rows)


def test_the_caption_says_what_the_intervals_are(analysed: tuple[Path, str]) -> None:
    study, _ = analysed
    report = (study / "analysis" / "tables" / "T1_main.md").read_text()
    for words in ("n = 24 samples", "seed 0", "B = 300", "cluster = sample", "Evidence tier A"):
        assert words in report


def test_every_number_is_in_the_json_and_the_same_study_gives_the_same_files(
    analysed: tuple[Path, str], tmp_path: Path
) -> None:
    study, _ = analysed
    numbers = json.loads((study / "analysis" / "analysis.json").read_text())
    assert numbers["arms"][0]["strategy"] == "direct"
    assert {"est", "se", "ci", "ci_bootstrap"} <= set(numbers["strategies"]["cot"]["mean_gain"])
    assert set(numbers["sentences"]) == set(numbers["strategies"]) - {"all"}
    assert run_analysis(study, "--resamples", "300", "--out", tmp_path).returncode == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (study / "analysis" / name).read_bytes()


def test_it_needs_neither_the_engine_nor_torch() -> None:
    engine = {f"imug_tts.{part}" for part in ("calls", "runs", "knobs", "registry", "backbones", "assemble")}
    heavy = engine | {"torch", "PIL", "matplotlib", "scipy", "statsmodels"}
    code = f"import sys, analysis.__main__; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip() == "set()"


def test_a_torn_last_line_is_tolerated_and_told(tmp_path: Path) -> None:
    study = small_study(tmp_path).write()
    turns = study / "cot-hybrid-own-0" / "turns.jsonl"
    whole = turns.read_bytes()
    turns.write_bytes(whole[:-40])
    loaded = load_study(study)
    last = whole.count(b"\n")
    assert any(f"turns.jsonl, line {last}: incomplete last line" in warning for warning in loaded.warnings)
    cot = next(arm for arm in ablation(loaded, resamples=100).arms if arm.strategy == "cot")
    assert cot.num_scored + cot.num_text_scored == cot.num_planned + cot.num_text_planned - 1


def test_a_damaged_line_in_the_middle_stops_the_command(tmp_path: Path) -> None:
    study = small_study(tmp_path).write()
    turns = study / "cot-hybrid-own-0" / "turns.jsonl"
    edit_line(turns, 2, lambda line: line[: len(line) // 2] + "\n")
    done = run_analysis(study)
    assert done.returncode == 2
    assert f"{turns}, line 2: damaged" in done.stderr
    assert "run the command that made the run again" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_without_runs_stops_the_command(tmp_path: Path) -> None:
    done = run_analysis(tmp_path)
    assert done.returncode == 2
    assert "no runs below it" in done.stderr
    assert "experiments/run.py" in done.stderr
    assert "no such folder" in run_analysis(tmp_path / "nowhere").stderr


def test_an_unknown_baseline_stops_the_command(tmp_path: Path) -> None:
    done = run_analysis(small_study(tmp_path).write(), "--baseline", "majority_of_3")
    assert done.returncode == 2
    assert "it has: direct, cot" in done.stderr


def test_a_run_without_manifest_is_an_error(tmp_path: Path) -> None:
    study = small_study(tmp_path).write()
    manifest = study / "cot-hybrid-own-0" / "manifest.json"
    manifest.unlink()
    with pytest.raises(StudyError, match=r"manifest.json: missing; run the command that made the run again"):
        load_study(study)
    manifest.write_text('{"strategy": "cot"')
    with pytest.raises(StudyError, match=r"manifest.json: damaged"):
        load_study(study)


def test_two_runs_of_one_arm_that_hold_the_same_turn_are_an_error(tmp_path: Path) -> None:
    small_study(tmp_path).write()
    StudyWriter(folder=tmp_path / "more", samples_per_class=2).write_run("direct", "hybrid")
    with pytest.raises(
        StudyError,
        match=r"more/.*/turns.jsonl, line 1: turn 1 of .* is already in .*/direct-hybrid-own-0/turns.jsonl",
    ) as e:
        load_study(tmp_path)
    assert "(direct, own history, seed 0)" in str(e.value)


@pytest.mark.parametrize("field", ["benchmark", "backbone"])
def test_runs_of_different_models_or_benchmarks_are_not_mixed(tmp_path: Path, field: str) -> None:
    small_study(tmp_path).write()
    other = StudyWriter(folder=tmp_path, samples_per_class=2, manifest_fields={field: "another"})
    other.write_run("best_of_4", "hybrid")
    with pytest.raises(StudyError, match=rf"different {field}s .*best_of_4-hybrid-own-0.*'another'"):
        load_study(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"outcome": "scored"', '"outcome": "fine"', "outcome is 'fine', not one of scored"),
        ('"outcome": "scored"', '"outcome": "refused"', "outcome 'refused' with score"),
        ('"turn": 1', '"turn": 99', "is not among the planned turns"),
        ('"score": 1.0, "score_detail"', '"score": 7.0, "score_detail"', "score 7.0 is outside 0 to 1"),
        ('"cost"', '"price"', "no field 'cost'"),
        ('"seed": 0', '"seed": 1', "is not among the planned turns"),
    ],
)
def test_a_record_that_cannot_be_right_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    study = small_study(tmp_path).write()
    turns = study / "cot-hybrid-own-0" / "turns.jsonl"
    number = next(i for i, line in enumerate(turns.read_text().splitlines(), 1) if old in line)
    edit_line(turns, number, lambda line: line.replace(old, new, 1))
    with pytest.raises(StudyError, match=complaint) as error:
        load_study(study)
    assert f"{turns}, line {number}" in str(error.value)


def test_a_planned_run_that_has_not_begun_counts_as_missing(tmp_path: Path) -> None:
    study = small_study(tmp_path).write()
    (study / "cot-hybrid-own-0" / "turns.jsonl").unlink()
    loaded = load_study(study)
    assert any("does not exist yet" in warning for warning in loaded.warnings)
    assert sum(key.strategy == "cot" for key in loaded.planned) == sum(
        key.strategy == "direct" for key in loaded.planned
    )


def test_nothing_is_made_again_unless_something_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    csv, out = tmp_path / "runs.csv", tmp_path / "out"
    csv.write_bytes((ROOT / "tests/analysis/data/tiny.csv").read_bytes())

    def start() -> str:
        assert main([str(csv), "--out", str(out), "--resamples", "200"]) == 0
        return capsys.readouterr().out

    first = start()
    numbers = (out / "analysis.json").stat().st_mtime_ns
    again = start()
    assert (out / "analysis.json").stat().st_mtime_ns == numbers
    assert again == first.replace("Written:", "Unchanged since it was written:")
    csv.write_text(csv.read_text().replace("constant", "changed"))
    assert "changed" in start()
    wanted = json.loads((out / "made.json").read_text())["fingerprint"]
    assert load_outputs(out, wanted) is not None
    (out / "report.html").unlink()
    assert load_outputs(out, wanted) is None


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("damage", ["empty the numbers", "delete a table", "change a figure"])
def test_what_was_damaged_is_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    command = [str(ROOT / "tests/analysis/data/tiny.csv"), "--out", str(tmp_path), "--resamples", "200"]
    assert main(command) == 0
    whole = {path: path.read_bytes() for path in files_of(tmp_path)}
    if damage == "empty the numbers":
        (tmp_path / "analysis.json").write_text("")
    elif damage == "delete a table":
        (tmp_path / "tables" / "T1_main.md").unlink()
    else:
        (tmp_path / "figures" / "reductions.png").write_bytes(b"other")
    capsys.readouterr()
    assert main(command) == 0
    assert "Written:" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in files_of(tmp_path)} == whole


def test_a_folder_holds_one_analysis_alone(tmp_path: Path) -> None:
    rich, poor = tmp_path / "rich.csv", tmp_path / "poor.csv"
    rich.write_bytes((ROOT / "tests/analysis/data/tiny.csv").read_bytes())
    lines = rich.read_text().splitlines(keepends=True)
    poor.write_text("".join([lines[0], *(line for line in lines if ",direct," in line and ",own," in line)]))
    shared, alone = tmp_path / "shared", tmp_path / "alone"
    for csv, out in ((rich, shared), (poor, shared), (poor, alone)):
        assert main([str(csv), "--out", str(out), "--resamples", "200"]) == 0
    names = [path.relative_to(alone) for path in files_of(alone)]
    assert [path.relative_to(shared) for path in files_of(shared)] == names
    assert not any("T2b" in name.name for name in names)


def test_a_reader_that_stops_early_loses_no_file(tmp_path: Path) -> None:
    csv = ROOT / "tests/analysis/data/tiny.csv"
    command = f"{sys.executable} -m analysis {csv} --out {tmp_path} --resamples 200 | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert {"analysis.json", "report.html", "made.json"} <= {path.name for path in tmp_path.iterdir()}
