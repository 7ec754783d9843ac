"""A study from Python: what a script or notebook asks of it."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.records import StudyError
from imug_tts import Study
from imug_tts.assemble import RUN_PARTS
from imug_tts.contracts import ConfigurationError, Scope, Strategy
from imug_tts.dialogue import Response, Turn
from imug_tts.knobs import component, knob
from imug_tts.records import run_folders
from imug_tts.strategies import Direct
from imug_tts.study import ArmsFailed
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone
from tests.composing import composed
from tests.study.notebooks import Notebook


@component
class Broken(Strategy):
    """Has a mistake, as own strategies do."""

    on: str = knob("The dialogue on which it fails.", default="2")

    @property
    def name(self) -> str:
        return "broken"

    async def respond(self, turn: Turn, scope: Scope) -> Response:
        if turn.sample.endswith(self.on):
            raise ZeroDivisionError("a mistake of mine")
        return await Direct().respond(turn, scope)


def toy_study(folder: Path, model: ToyBackbone | None = None, **settings: Any) -> Study:
    return Study(folder, backbone=model or ToyBackbone(), benchmark=ToyBenchmark(num_samples=3), **settings)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    yield Notebook()
    del sys.modules["notebook"]


def asked(model: ToyBackbone) -> int:
    return sum(model.calls(modality) for modality in ("text", "image"))


def test_a_complete_study_makes_no_call(tmp_path: Path) -> None:
    model = ToyBackbone()
    study = toy_study(tmp_path, model)
    folders = [study.add("direct"), study.add("cot"), study.add("direct", history="gold")]
    done = study.run(tracking=())
    assert [summary.scored for summary in done.summaries.values()] == [12, 12, 12]
    assert {*run_folders(tmp_path)} == {*folders}
    before = asked(model)
    again = toy_study(tmp_path, model)
    assert [again.add("direct"), again.add("cot")] == folders[:2]
    assert again.run(tracking=()).missing == 0
    assert asked(model) == before


def test_a_study_that_grows_shares_the_calls_of_its_journal(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    study.add("direct")
    study.run(tracking=())
    study.add("majority_vote")
    shown = repr(study.run(tracking=()))
    assert "12 of 12" in shown
    assert study.add("direct") == study.add("direct")
    assert repr(study).endswith("of 2 arms: direct, majority_of_5+direct[text_temperature=0.7]")


def test_a_strategy_of_a_notebook_is_an_arm_like_any_other(tmp_path: Path, notebook: Notebook) -> None:
    study = toy_study(tmp_path)
    folder = study.add(notebook.Last(inner=Direct()))
    nested = study.add({"name": "majority_vote", "inner": notebook.Last(inner=Direct(text_temperature=0.7))})
    study.run(tracking=())
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["identity"]["strategy"]["name"].startswith("notebook:Last#")
    assert nested.name.startswith("majority_of_5+last+direct_text_temperature")
    assert {*study.records()["strategy"]} == {"last", "majority_of_5+last+direct[text_temperature=0.7]"}


def test_another_knob_is_another_arm_and_other_code_takes_the_place_of_earlier_code(
    tmp_path: Path, notebook: Notebook
) -> None:
    study = toy_study(tmp_path)
    first = study.add(notebook.Last(inner=Direct()))
    three = study.add(notebook.Last(inner=Direct(), n=3))
    study.run(tracking=())
    old = study.records()
    notebook.again(**{"range(self.n)": "range(self.n + 1)"})
    assert study.add(notebook.Last(inner=Direct())) not in (first, three)
    study.run(tracking=())
    new = study.records()
    assert {*new["run"]} & {first.name, three.name} == {three.name}
    assert len({*new["run"]}) == 2
    scores = [frame[frame["run"] != three.name]["score"].tolist() for frame in (old, new)]
    assert scores[0] != scores[1]
    assert len({*run_folders(tmp_path)}) == 3
    notebook.again()
    assert study.add(notebook.Last(inner=Direct())) == first


def test_a_function_that_is_defined_again_makes_another_run_of_an_arm_that_was_added_before(
    tmp_path: Path, notebook: Notebook
) -> None:
    study = toy_study(tmp_path)
    first = study.add(notebook.Last(inner=Direct(), n=3))
    study.run(tracking=())
    notebook.run("def pick(answers):\n    return answers[0]")
    study.run(tracking=())
    assert first.name not in {*study.records()["run"]}


def test_a_backbone_whose_code_changed_under_the_same_identity_is_warned_of(
    tmp_path: Path, notebook: Notebook
) -> None:
    cell = """
from imug_tts.testing.toys import ToyBackbone
class Mine(ToyBackbone):
    def calls(self, modality):
        return WHAT
"""
    for what, identity, warned in (("1", "toy", False), ("2", "toy", True), ("2", "toy:2", False)):
        notebook.run(cell.replace("WHAT", what))
        study = toy_study(tmp_path, notebook.Mine(identity=identity))
        study.add("direct")
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            study.run(tracking=())
        assert any("answers of the earlier code" in str(each.message) for each in told) == warned


def test_an_arm_that_fails_is_named_and_stops_no_other(tmp_path: Path) -> None:
    study = toy_study(tmp_path, in_flight=1)
    study.add("direct")
    study.add(Broken())
    study.add("cot")
    with pytest.raises(ArmsFailed, match="1 of 3 arms failed; the others were run") as caught:
        study.run(tracking=())
    assert "broken: ZeroDivisionError: a mistake of mine" in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    frame = study.records()
    assert frame[frame["score"].isna()].groupby("strategy").size().to_dict() == {"broken": 4}
    assert frame[frame["score"].isna()]["outcome"].isna().all()
    assert any("4" in note for note in study.analyze(resamples=100).tables["T1_main"].table.notes)


def test_the_mistake_of_the_only_arm_is_raised_as_it_is(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    study.add(Broken())
    with pytest.raises(ZeroDivisionError, match="a mistake of mine"):
        study.run(tracking=())


def test_turns_that_failed_are_said_with_their_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = toy_study(tmp_path, ToyBackbone(refusal_rate=0.5))
    study.add("direct")
    study.run(tracking=())
    said = capsys.readouterr().err
    assert "turns were refused by the model" in said
    assert re.search(r"the reasons:\n  \d+ x no reason was given\n", said)


def test_it_works_where_an_event_loop_runs(tmp_path: Path) -> None:
    async def cell() -> str:
        study = toy_study(tmp_path)
        study.add("direct")
        return study.run(tracking=())._repr_html_()

    assert "<td>12 of 12</td>" in asyncio.run(cell())


SLOW = """
import asyncio
from imug_tts import Study
from imug_tts.testing.runs import ToyBenchmark
from imug_tts.testing.toys import ToyBackbone

class Slow(ToyBackbone):
    def generate(self, requests):
        answers = super().generate(requests)
        print("asked", flush=True)
        try:
            input()
        except EOFError:
            pass
        return answers

async def cell():
    study = Study("here", backbone=Slow(), benchmark=ToyBenchmark(num_samples=3), in_flight=1)
    study.add("direct")
    try:
        study.run(tracking=())
    except KeyboardInterrupt as interrupt:
        print("interrupted:", interrupt, flush=True)

asyncio.new_event_loop().run_until_complete(cell())
"""


def test_an_interrupt_of_a_notebook_stops_the_study_and_keeps_what_is_done(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for call in range(100):
            said = process.stdout.readline()
            if said != "asked\n":
                break
            if call == 4:  # four turns of the first dialogue are done, and a call of the next is in flight
                process.send_signal(signal.SIGINT)
            process.stdin.write("\n")
            process.stdin.flush()
    done = re.fullmatch(r"interrupted: (\d+) of 12 turns are done\n", said)
    assert done is not None, said
    assert 4 <= int(done[1]) < 12
    records = next((tmp_path / "here").glob("*/turns.jsonl")).read_text().splitlines()
    assert len(records) == int(done[1])


def test_the_bar_counts_turns_and_stays_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = toy_study(tmp_path)
    study.add("direct")
    study.run()
    shown = capsys.readouterr()
    assert "12/12" in shown.err.split("\r")[-1]
    assert shown.out == ""


@pytest.mark.parametrize(
    ("strategy", "changes", "words"),
    [
        ("bestofn", {}, "there is no 'bestofn'; did you mean best_of_n?"),
        ("self_verify_cott", {}, "did you mean self_verify_cot?"),
        ({"name": "best_of_n", "nn": 2}, {}, "strategy best_of_n has no knob 'nn'"),
        ("direct", {"histroy": "gold"}, "no knob 'histroy'; did you mean history?"),
        ("direct", {"in_flight": 2}, "in_flight cannot be set here; give it to Study()"),
        ("direct", {"study": "x"}, "study cannot be set here"),
        (
            "best_of_n_cot",
            {"n": 8},
            "n cannot be set here; it is a knob of the strategy: add({'name': 'best_of_n_cot'",
        ),
        (Broken, {}, "Broken is a class; add an object of it: Broken(...)"),
        ("direct", {"seed": "one"}, "seed is 'one'; it must be a whole number"),
        ({"name": "best_of_n", "inner": "greedy"}, {"benchmark": "pocket_world"}, "identical answers"),
    ],
)
def test_an_arm_that_cannot_work_is_refused_when_it_is_added(
    tmp_path: Path, strategy: Any, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        toy_study(tmp_path).add(strategy, **changes)
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


HIDDEN = """
class Hidden(Strategy):
    name = "hidden"

    def __init__(self, t):
        self.t = t

    async def respond(self, turn, scope): ...
"""


def test_a_value_that_is_no_knob_is_refused(tmp_path: Path, notebook: Notebook) -> None:
    notebook.run(HIDDEN)
    hidden = notebook.Hidden(0.5)
    for strategy in (hidden, notebook.Last(inner=hidden)):
        with pytest.raises(ConfigurationError, match="Hidden keeps t outside its knobs"):
            toy_study(tmp_path).add(strategy)


def test_a_name_that_is_no_property_is_explained(tmp_path: Path, notebook: Notebook) -> None:
    notebook.again(**{"    @property\n    def name": "    def name"})
    with pytest.raises(ConfigurationError, match=r"Last\.name is not text; put @property above"):
        toy_study(tmp_path).add(notebook.Last(inner=Direct()))


def test_what_a_study_cannot_have_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="its first argument"):
        Study(tmp_path, study="x")
    with pytest.raises(ConfigurationError, match="did you mean budget"):
        Study(tmp_path, budgt=3)
    with pytest.raises(ConfigurationError, match=r"add one first, e.g. study.add\('direct'\)"):
        Study(tmp_path).run()
    with pytest.raises(StudyError, match="no runs below it"):
        Study(tmp_path).records()


def test_what_was_not_run_yet_is_said(tmp_path: Path) -> None:
    study = toy_study(tmp_path)
    study.add("direct")
    with pytest.raises(ConfigurationError, match=r"no arm of this study has been run yet; call run\(\)"):
        study.records()
    study.run(tracking=())
    study.add("cot")
    assert study.analyze(resamples=100).warnings[0] == "not run yet, so left out: cot; call run()"
    with pytest.warns(UserWarning, match="not run yet"):
        study.records()


def test_its_defaults_are_those_of_the_command() -> None:
    command = composed()
    common = vars(Study("anywhere"))["_common"]
    for part in RUN_PARTS:
        if part not in ("strategy", "tracking", "roles"):
            assert command[part]["name"] == common[part]


def test_importing_it_loads_nothing_heavy() -> None:
    program = "import sys; from imug_tts import Study; print(*{'torch', 'pandas', 'tqdm'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "", done.stderr
