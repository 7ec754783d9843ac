"""A model's identity covers knobs that its author forgot, and no knob that changes no result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from imug_tts.backbones.imug_server import ImugServerBackbone
from imug_tts.backbones.openai_chat import OpenAIChat
from imug_tts.backbones.pocket import PocketBackbone
from imug_tts.backbones.pocket.backbone import WEIGHTS
from imug_tts.composition import label
from imug_tts.contracts import Backbone, Candidate, Capabilities, Judge, Request, Scope
from imug_tts.dialogue import Response, Text, Turn, Verdict
from imug_tts.judges import OpenAIJudge
from imug_tts.knobs import Folder, Several, component, knob
from imug_tts.registry import model_identity
from imug_tts.strategies import BestOfN, Direct
from imug_tts.testing.runs import ToyBenchmark, run
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone


@component
class Sketcher(Backbone):
    """Answers with its number of steps, which its identity does not tell."""

    steps: int = knob("Steps.", default=20)
    style: str = knob("Style, in the identity.", default="plain", named=True)
    device: str = knob("Where it runs.", default="cpu", runtime=True)
    sizes: Several[int] = knob("Sizes.", default=(8, 16))
    weights: Folder | None = knob("The folder of its weights.", default=None)
    teacher: Backbone | None = knob("A model that it asks.", default=None)

    @property
    def identity(self) -> str:
        return f"sketcher:{self.style}"

    @property
    def capabilities(self) -> Capabilities:
        return CAPABILITIES

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        answer = Candidate(output=Text(str(self.steps)), p_yes=0.5)
        drawn = ToyBackbone().generate(requests)
        return [
            [answer] * len(request.seeds) if request.modality == "text" else images
            for request, images in zip(requests, drawn, strict=True)
        ]


@component
class Checkpoint(Backbone):
    """Has a knob that must be set."""

    file: Folder = knob("The file of its weights.")
    identity = "checkpoint"
    capabilities = CAPABILITIES

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Sketcher(), "sketcher:plain"),
        (Sketcher(device="cuda"), "sketcher:plain"),
        (Sketcher(style="loose"), "sketcher:loose"),
        (Sketcher(steps=5), 'sketcher:plain {"steps": 5}'),
        (
            Sketcher(weights=Path("a"), sizes=(4,)),
            'sketcher:plain {"sizes": [4], "weights": "a"}',
        ),
        (Sketcher(teacher=ToyBackbone()), 'sketcher:plain {"teacher": "toy"}'),
        (
            Sketcher(teacher=Sketcher(steps=5)),
            'sketcher:plain {"teacher": "sketcher:plain {\\"steps\\": 5}"}',
        ),
        (Checkpoint(file=Path("b")), 'checkpoint {"file": "b"}'),
        (ToyBackbone(identity="other"), "other"),
    ],
)
def test_it_has_every_knob_that_changes_results_and_is_not_at_its_default(
    model: Backbone, expected: str
) -> None:
    assert model_identity(model) == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (PocketBackbone(), PocketBackbone().identity),
        (OpenAIChat(), "openai_chat:1:Qwen/Qwen2.5-VL-7B-Instruct"),
        (
            OpenAIChat(model="m", send_seed=False, base_url="http://h/v1", concurrency=2, timeout_s=9),
            "openai_chat:1:m:unseeded",
        ),
        (ImugServerBackbone(urls=("http://h:2", "http://h:1")), "imug_server:1:http://h:1+http://h:2"),
        (
            ImugServerBackbone(
                model="bagel:2", outputs=("image",), reads_images=False, draws_from_images=False, per_server=1
            ),
            "imug_server:1:bagel:2",
        ),
    ],
)
def test_those_of_our_models_are_as_they_were(model: Backbone, expected: str) -> None:
    assert model_identity(model) == expected


def test_the_weights_of_another_folder_are_in_the_pocket_models_own(tmp_path: Path) -> None:
    for file in WEIGHTS.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert model_identity(PocketBackbone(folder=tmp_path)) == model_identity(PocketBackbone())


def test_models_that_differ_in_a_forgotten_knob_share_no_calls(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    benchmark = ToyBenchmark(num_samples=2)
    first = run(tmp_path / "a", Direct(), Sketcher(steps=5), benchmark=benchmark, journal=journal)
    other = run(tmp_path / "b", Direct(), Sketcher(steps=50), benchmark=benchmark, journal=journal)
    elsewhere = Sketcher(steps=50, device="cuda")
    again = run(tmp_path / "c", Direct(), elsewhere, benchmark=benchmark, journal=journal)
    assert first.scores["text"] != other.scores["text"] == again.scores["text"]
    assert again.spent.calls == 0


@component
class Panel(Judge):
    """Tells its size in its name, and its model nowhere."""

    size: int = knob("Members.", default=3, named=True)
    model: str = knob("Its model.", default="small", named=True)

    @property
    def name(self) -> str:
        return f"panel_of_{self.size}"

    async def judge(self, turn: Turn, response: Response, scope: Scope) -> Verdict:
        return Verdict(status="ok", judge=self.name, score=1.0)


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        (Panel(size=5), "best_of_4[judge=panel_of_5]"),
        (Panel(model="large"), "best_of_4[judge=panel_of_3,judge.model=large]"),
        (OpenAIJudge(model="a"), "best_of_4[judge=openai,judge.model=a]"),
    ],
)
def test_a_label_leaves_out_only_what_a_name_really_tells(judge: Judge, expected: str) -> None:
    assert label(BestOfN(inner=Direct(), judge=judge)) == expected
