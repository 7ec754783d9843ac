"""Training on the model's own history: what is learned, for seconds, killed for real, averaged, refused."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from analysis.records import load_study
from experiments.overrides import for_every_job
from experiments.pocket_training.average import average
from experiments.pocket_training.config import METHODS, TrainConfig, on_policy_config
from experiments.pocket_training.export import export
from experiments.pocket_training.model import PocketModel, Shape
from experiments.pocket_training.on_policy import dialogues_to_play
from experiments.pocket_training.practice import PRACTICES, comparison, dialogue_targets, step_targets
from experiments.pocket_training.trainer import preference_loss, train
from experiments.pocket_training.trees import Kind, Language, Row, dialogue_row, encoded_plan, gold_row
from experiments.pocket_training.words import build_vocabulary
from imug_tts.backbones.pocket import PocketBackbone
from imug_tts.backbones.pocket.backbone import WEIGHTS
from imug_tts.backbones.pocket.image_tokenizer import ImageTokenizer
from imug_tts.benchmarks.pocket_world import operations, scoring, world
from imug_tts.benchmarks.pocket_world.dialogues import Dialogue, ImageTurn, make_dialogue
from imug_tts.benchmarks.pocket_world.streams import Stream
from imug_tts.benchmarks.pocket_world.world import Scene
from tests.benchmarks.pocket_scenes import scenes

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "experiments" / "train_pocket.py"
Targets = Callable[[Sequence[ImageTurn], Sequence[Scene]], list[ImageTurn]]

dialogues = st.integers(0, 5000).map(lambda index: make_dialogue("train", 7, index))


def image_turns(index: int) -> list[ImageTurn]:
    turns = make_dialogue("train", 7, index).turns
    return [turn for turn in turns if isinstance(turn, ImageTurn)]


def drawn_for(turns: Sequence[ImageTurn], data: st.DataObject) -> list[Scene]:
    """For each turn a picture that is gold, right on the own previous one, or anything."""
    drawn: list[Scene] = []
    for turn in turns:
        right = operations.outcomes(turn.operations, drawn[-1] if drawn else world.BLANK)
        drawn.append(data.draw(st.one_of(st.just(turn.gold), st.sampled_from(right), scenes)))
    return drawn


@settings(max_examples=60, deadline=None)
@given(index=st.integers(0, 5000), data=st.data())
def test_the_step_target_is_the_request_done_to_the_own_previous_picture(
    index: int, data: st.DataObject
) -> None:
    turns = image_turns(index)
    drawn = drawn_for(turns, data)
    previous = [world.BLANK, *drawn]
    for number, target in enumerate(step_targets(turns, drawn)):
        right = operations.outcomes(turns[number].operations, previous[number])
        assert target.gold_before == previous[number]
        assert target.gold in right
        assert (target.gold == drawn[number]) == (drawn[number] in right)
        detail = scoring.score_image(turns, [*drawn[:number], target.gold]).detail
        assert detail["step_score"] == 1


@settings(max_examples=60, deadline=None)
@given(index=st.integers(0, 5000), data=st.data())
def test_the_dialogue_target_has_full_marks_whatever_was_drawn_before(
    index: int, data: st.DataObject
) -> None:
    turns = image_turns(index)
    drawn = drawn_for(turns, data)
    for number, target in enumerate(dialogue_targets(turns, drawn)):
        assert scoring.score_image(turns, [*drawn[:number], target.gold]).value == 1


@pytest.mark.parametrize("targets", [step_targets, dialogue_targets])
def test_on_gold_pictures_both_targets_are_the_gold_ones(targets: Targets) -> None:
    for index in range(30):
        turns = image_turns(index)
        assert [t.gold for t in targets(turns, [turn.gold for turn in turns])] == [t.gold for t in turns]


@pytest.fixture(scope="module")
def language() -> Language:
    tokenizer = ImageTokenizer.load(WEIGHTS / "image_tokenizer.safetensors")
    return Language.of(build_vocabulary(tokenizer.num_codes), tokenizer)


def learned_pictures(row: Row, language: Language) -> list[Scene]:
    """The pictures among a row's targets, in order."""
    ids = row.targets[(row.kinds == Kind.IMAGE) & (row.targets >= language.vocabulary.num_words)]
    first, codes = language.vocabulary.num_words, language.vocabulary.num_codes
    cells = [(int(target) - first) % codes for target in ids]
    return [language.scene(cells[at : at + world.NUM_CELLS]) for at in range(0, len(cells), world.NUM_CELLS)]


def test_a_damaged_picture_is_history_and_never_a_target(language: Language) -> None:
    turns = image_turns(3)
    damaged: Scene = (*turns[0].gold[:-1], (turns[0].gold[-1] + 1) % len(world.STATES))
    drawn = [damaged, *operations_done(turns[1:], damaged)]
    aimed = step_targets(turns, drawn)
    row = dialogue_row(language, aimed, drawn, Stream("test", 0))
    learned = learned_pictures(row, language)
    assert damaged not in learned
    assert set(learned) <= {turn.gold for turn in aimed}
    assert turns[0].gold in learned
    first = language.vocabulary.image_ids(language.codes(damaged))
    assert any(row.ids[at : at + len(first)].tolist() == first for at in range(len(row.ids)))


def operations_done(turns: Sequence[ImageTurn], scene: Scene) -> list[Scene]:
    drawn = []
    for turn in turns:
        scene = operations.apply(turn.operations, scene)
        drawn.append(scene)
    return drawn


@pytest.mark.parametrize("method", ["gold", "step", "dialogue"])
def test_plans_are_learned_on_gold_dialogues_alone(method: str, language: Language) -> None:
    name = (1, 0, 0)
    stored = load_file(WEIGHTS / "model.safetensors")
    practised = PRACTICES[method](stored, Shape(), language, name, 8)
    played = dialogues_to_play(name, 8)
    on_gold = [gold_row(language, dialogue, Stream("test", 0)) for dialogue in played]
    assert sum(plans_learned(language, row, each) for row, each in zip(practised, played, strict=True)) == 0
    assert sum(plans_learned(language, row, each) for row, each in zip(on_gold, played, strict=True)) > 8


def plans_learned(language: Language, row: Row, dialogue: Dialogue) -> int:
    """How many plans of the dialogue's requests of two or more operations are among the row's targets."""
    learned = " ".join(map(str, row.targets[row.kinds == Kind.PLAN]))
    asked = [turn for turn in dialogue.turns if isinstance(turn, ImageTurn) and len(turn.operations) > 1]
    return sum(" ".join(map(str, encoded_plan(language, turn)[1:])) in learned for turn in asked)


def test_a_comparison_is_of_the_best_and_the_worst_picture() -> None:
    turn = image_turns(5)[1]
    right, blank = operations.apply(turn.operations, turn.gold_before), world.BLANK
    off = (*right[:-1], (right[-1] + 1) % len(world.STATES))
    assert comparison(turn, turn.gold_before, [off, blank, right]) == (right, blank)
    assert comparison(turn, turn.gold_before, [off, off]) is None


def test_the_preference_loss_is_that_of_the_paper() -> None:
    gained = torch.tensor([0.5, -0.2, 1.0, 0.1, 0.3])
    chosen = torch.tensor([True, True, False, True, False])
    pairs = torch.tensor([7, 7, 7, 9, 9])
    margins = [0.5 - 0.2 - 1.0, 0.1 - 0.3]
    expected = sum(math.log1p(math.exp(-0.5 * margin)) for margin in margins) / 2
    assert float(preference_loss(gained, chosen, pairs, 0.5)) == pytest.approx(expected, abs=1e-6)


def test_the_shipped_weights_are_taken_over_unchanged(language: Language) -> None:
    stored = load_file(WEIGHTS / "model.safetensors")
    model = PocketModel(language.vocabulary, language.shown, Shape())
    model.from_llama(stored)
    for name, tensor in model.to_llama().items():
        assert torch.allclose(tensor, stored[name], atol=2e-6), name
    with pytest.raises(ValueError, match="sums of a cell and a code"):
        model.from_llama({**stored, "lm_head.weight": torch.randn_like(stored["lm_head.weight"])})


def tiny(out: Path, method: str, start: Path | None = WEIGHTS, **others: object) -> TrainConfig:
    """Two steps of five rows."""
    small = {"steps": 2, "rows": 5, "play_dialogues": 3, "play_every_steps": 1} | others
    return on_policy_config(out, method, start, **small)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model folder of a tiny run of each method."""
    folders = {}
    for method in METHODS:
        out = tmp_path_factory.mktemp(method)
        train(tiny(out, method))
        folders[method] = out / "model"
        export(out, folders[method])
    return folders


def test_every_method_makes_a_model_that_says_what_it_cost(trained: dict[str, Path]) -> None:
    models = {method: PocketBackbone(folder=folder) for method, folder in trained.items()}
    assert len({PocketBackbone().identity, *(model.identity for model in models.values())}) == 5
    for method, model in models.items():
        cost = model.training
        assert cost is not None
        assert (cost.method, cost.steps, cost.token_positions) == (method, 2, 2 * 5 * 384)
        assert PocketBackbone().identity.endswith(cost.start)
        assert 0 < cost.play_seconds < cost.seconds
    assert PocketBackbone().training is None


def test_an_average_is_the_mean_of_the_weights(trained: dict[str, Path], tmp_path: Path) -> None:
    average([trained["gold"], trained["step"]], tmp_path / "mean")
    first, second, mean = (
        load_file(folder / "model.safetensors")
        for folder in (trained["gold"], trained["step"], tmp_path / "mean")
    )
    for name, tensor in mean.items():
        assert torch.allclose(tensor, (first[name] + second[name]) / 2, atol=1e-6)
    cost = PocketBackbone(folder=tmp_path / "mean").training
    assert cost is not None
    assert (cost.method, cost.steps) == ("mean of 2: gold, step", 4)


_KILLED = """
import os, signal, sys
from pathlib import Path
from experiments.pocket_training import trainer
from tests.experiments.test_own_history import tiny
step = trainer.Trainer.step
def killed(self):
    if self.progress.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self)
trainer.Trainer.step = killed
start = Path(sys.argv[2]) if len(sys.argv) > 2 else None
trainer.train(tiny(Path(sys.argv[1]), "step", start, steps=4, play_every_steps=2))
"""


@pytest.mark.parametrize("start", [WEIGHTS, None], ids=["from the shipped weights", "from scratch"])
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(start: Path | None, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for out in (killed, whole):
        out.mkdir()
        shutil.copyfile(WEIGHTS / "image_tokenizer.safetensors", out / "image_tokenizer.safetensors")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    arguments = [str(killed), *([] if start is None else [str(start)])]
    done = subprocess.run([sys.executable, "-c", _KILLED, *arguments], env=environment, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert (killed / "checkpoint.safetensors").exists()
    for out in (killed, whole):
        train(tiny(out, "step", start, steps=4, play_every_steps=2))
        export(out, out / "model")
    ours, theirs = (load_file(out / "model" / "model.safetensors") for out in (killed, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    cost = PocketBackbone(folder=killed / "model").training
    assert cost is not None
    assert (cost.method, cost.steps) == ("step", 4)
    assert cost.start == ("scratch" if start is None else PocketBackbone().identity.rpartition(":")[2])


def test_a_run_of_other_settings_is_not_resumed(trained: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="seed 0 \\(now 5\\)"):
        train(tiny(trained["step"].parent, "step", seed=5))
    with pytest.raises(ValueError, match="practice step \\(now gold\\)"):
        train(tiny(trained["step"].parent, "gold"))


def test_an_average_of_what_does_not_belong_together_is_refused(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="two model folders or more"):
        average([trained["gold"], trained["gold"]], tmp_path / "mean")
    with pytest.raises(ValueError, match=r"training\.json"):
        average([trained["gold"], WEIGHTS], tmp_path / "mean")
    with pytest.raises(ValueError, match="no " + str(tmp_path / "none")):
        average([trained["gold"], tmp_path / "none"], tmp_path / "mean")
    other = tmp_path / "other"
    train(replace(tiny(other, "gold"), start=trained["step"]))
    export(other, other / "model")
    with pytest.raises(ValueError, match="from the same weights"):
        average([trained["gold"], other / "model"], tmp_path / "mean")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--on-policy", "preference", "--start", "scratch"], "needs weights to start from"),
        (["--on-policy", "step", "--start", "nowhere"], "nowhere/config.json"),
        (["--on-policy", "step", "--rows", "4"], "rows must be more"),
        (["--on-policy", "step", "--beta", "0.5"], "beta belongs to the preference"),
        (
            ["--on-policy", "gold", "--start", "scratch", "--learning-rate-share", "0.2"],
            "whole learning rate",
        ),
        (["--start", "scratch"], "without --on-policy: leave out --start"),
        (["--average", "a", "b", "--steps", "3"], "leave out --steps"),
    ],
)
def test_a_command_without_a_meaning_is_refused(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from experiments import train_pocket

    monkeypatch.setattr(sys, "argv", ["train_pocket.py", "--out", str(tmp_path), *arguments])
    with pytest.raises(SystemExit):
        train_pocket.main()
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_sweep_may_name_the_shipped_weights_alone() -> None:
    assert for_every_job(["-m", "backbone.folder=null"]) == ["-m", "backbone.folder=null"]


def test_trained_weights_are_arms_beside_the_shipped_ones(trained: dict[str, Path], tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "experiments" / "run.py"), "-m", "experiment=pocket_remedies"]
    command += [f"backbone.folder=null,{trained['step']}", "strategy=direct,greedy", "tracking=none"]
    command += ["benchmark.num_samples=2", f"output={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    study = load_study(tmp_path)
    assert study.num_runs == 8
    assert {cost.method for cost in study.training.values()} == {"step"}
    assert len(study.training) == 2
    assert len(set(study.backbones.values())) == 2
