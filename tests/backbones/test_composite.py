"""A text model and a pipeline of diffusers as one backbone, on a small Flux2Klein with random weights."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from imug_tts.assemble import build_arm
from imug_tts.backbones.composite import CompositeBackbone
from imug_tts.backbones.composite.families import FAMILIES
from imug_tts.backbones.janus import JanusBackbone
from imug_tts.calls import TurnScope
from imug_tts.calls.devices import DEVICES, local_models
from imug_tts.contracts import (
    Backbone,
    BackboneError,
    Candidate,
    ConfigurationError,
    Cost,
    Request,
    Sampling,
    Scope,
)
from imug_tts.dialogue import Image, Message, Text
from imug_tts.judges import BackboneJudge
from imug_tts.registry import model_identity
from imug_tts.runs import Arm, Run, execute
from imug_tts.strategies import BestOfN, ChainOfThought, Direct, SelfVerification
from imug_tts.testing.runs import ToyBenchmark, records
from imug_tts.testing.toys import CAPABILITIES, ToyBackbone, turn_of, within
from tests.composing import composed


def noise(seed: int) -> Image:
    return Image.from_pixels(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8))


def said(text: str, *images: Image) -> Message:
    return Message("user", (Text(text), *images))


def drawn_before(seed: int) -> Message:
    return Message("assistant", (noise(seed),))


DIALOGUE = (said("draw a star"), drawn_before(0), said("add a circle"), drawn_before(1), said("make it red"))


def painter(folder: Path, text: Backbone | None = None, **knobs: Any) -> CompositeBackbone:
    defaults: dict[str, Any] = {"steps": 2, "device_map": "cpu"}
    return CompositeBackbone(folder=folder, text=text or ToyBackbone(), **(defaults | knobs))


def drawing(history: tuple[Message, ...] = DIALOGUE, seeds: Sequence[int] = (0,), **settings: Any) -> Request:
    return Request(
        history=history,
        modality="image",
        seeds=tuple(seeds),
        sampling=Sampling(settings=tuple(settings.items())),
    )


def draw(model: CompositeBackbone, history: tuple[Message, ...] = DIALOGUE, **settings: Any) -> Candidate:
    [[candidate]] = model.generate([drawing(history, **settings)])
    return candidate


@pytest.fixture(scope="module")
def model(tiny_composite: Path) -> CompositeBackbone:
    return painter(tiny_composite)


class TestTexts:
    def test_they_are_those_of_the_text_backbone(self, tiny_composite: Path) -> None:
        text = ToyBackbone(capabilities=replace(CAPABILITIES, max_batch=3))
        asked = [
            Request(history=DIALOGUE, modality="text", seeds=(1, 2, 3, 4, 5)),
            Request(history=DIALOGUE, modality="text", seeds=(6,), form="yes_no"),
            Request(
                history=DIALOGUE[:3],
                modality="text",
                seeds=(7, 8),
                sampling=Sampling(settings=(("steps", 3),)),
            ),
        ]
        plain = [replace(request, sampling=Sampling()) for request in asked]
        assert painter(tiny_composite, text).generate(asked) == ToyBackbone().generate(plain)
        assert all(len(request.seeds) <= 3 for request in text.asked)
        assert all(request.sampling.settings == () for request in text.asked)

    def test_texts_and_images_can_be_asked_together(self, model: CompositeBackbone) -> None:
        text = Request(history=DIALOGUE, modality="text", seeds=(1,))
        [[image], [words]] = model.generate([drawing(), text])
        assert isinstance(image.output, Image)
        assert [[words]] == ToyBackbone().generate([text])

    def test_its_failures_are_failures(self, tiny_composite: Path) -> None:
        class Broken(ToyBackbone):
            def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
                raise BackboneError("the server is away")

        with pytest.raises(BackboneError, match="the server is away"):
            painter(tiny_composite, Broken()).generate(
                [Request(history=DIALOGUE, modality="text", seeds=(1,))]
            )


class TestImages:
    def test_a_seed_gives_one_image_alone_and_among_others(self, model: CompositeBackbone) -> None:
        [together] = model.generate([drawing(seeds=(3, 4, 5, 6))])
        alone = [model.generate([drawing(seeds=(seed,))])[0][0].output for seed in (3, 4, 5, 6)]
        assert [candidate.output for candidate in together] == alone
        assert len(set(alone)) == 4

    def test_images_drawn_in_one_call_differ_by_rounding_alone(
        self, model: CompositeBackbone, tiny_composite: Path
    ) -> None:
        at_once = painter(tiny_composite, images_per_call=3)
        assert at_once.capabilities.seeds == "best_effort"
        request = drawing(seeds=(3, 4, 5))
        for one, other in zip(model.generate([request])[0], at_once.generate([request])[0], strict=True):
            assert isinstance(one.output, Image)
            assert isinstance(other.output, Image)
            apart = one.output.pixels().astype(int) - other.output.pixels().astype(int)
            assert abs(apart).max() <= 1

    def test_the_words_of_the_last_message_change_it_and_earlier_ones_do_not(
        self, model: CompositeBackbone
    ) -> None:
        first = draw(model)
        assert draw(model, (*DIALOGUE[:-1], said("make it blue"))).output != first.output
        assert draw(model, (said("draw a cat"), *DIALOGUE[1:])).output == first.output

    def test_the_newest_images_change_it_and_older_ones_do_not(self, tiny_composite: Path) -> None:
        newest = painter(tiny_composite, images=1)
        assert newest.capabilities.context_images == 1
        other_newest = (*DIALOGUE[:3], drawn_before(9), DIALOGUE[4])
        other_oldest = (DIALOGUE[0], drawn_before(9), *DIALOGUE[2:])
        assert draw(newest, other_newest).output != draw(newest).output
        assert draw(newest, other_oldest).output == draw(newest).output
        assert draw(painter(tiny_composite), other_oldest).output != draw(painter(tiny_composite)).output

    def test_without_images_it_draws_from_words(self, tiny_composite: Path, model: CompositeBackbone) -> None:
        blind = painter(tiny_composite, images=0)
        assert not blind.capabilities.draws_from_images
        size: dict[str, Any] = {"height": 32, "width": 32}
        assert draw(blind, **size).output == draw(model, (said("make it red"),), **size).output

    def test_settings_of_a_call_take_the_place_of_the_knobs(self, model: CompositeBackbone) -> None:
        wide = draw(model, steps=3, guidance=1, height=48, width=64)
        assert isinstance(wide.output, Image)
        assert wide.output.pixels().shape == (48, 64, 3)
        assert (wide.cost.denoise_steps, wide.cost.nfe, wide.cost.images) == (3, 3, 1)
        assert draw(model).cost.nfe == 2 * 2, "guidance takes a second evaluation in each step"
        assert draw(model, guidance=2).output != draw(model, guidance=3).output

    def test_unloading_frees_the_weights_and_changes_nothing(self, tiny_composite: Path) -> None:
        model = painter(tiny_composite)
        assert not model.is_loaded
        first = draw(model)
        assert model.is_loaded
        model.unload()
        assert not model.is_loaded
        assert draw(model).output == first.output

    def test_the_estimate_counts_the_weights_of_all_parts(self, tiny_composite: Path) -> None:
        files = [load_file(file) for file in tiny_composite.glob("*/*.safetensors")]
        expected = sum(tensor.size for tensors in files for tensor in tensors.values())
        assert painter(tiny_composite, dtype="bfloat16").memory.weights == pytest.approx(
            2 * expected, rel=0.01
        )
        assert painter(tiny_composite).memory.weights == pytest.approx(4 * expected, rel=0.01)
        assert painter(tiny_composite).memory.per_candidate > 0


class TestRewritten:
    def test_the_text_model_writes_the_prompt_from_the_whole_dialogue(self, tiny_composite: Path) -> None:
        text = ToyBackbone(reply=lambda history, seed: "a red star beside a circle")
        model = painter(tiny_composite, text, drawing_prompt="rewritten")
        [candidates] = model.generate([drawing(seeds=(1, 2))])
        [asked] = text.asked
        assert asked.history[:-1] == DIALOGUE[:-1]
        assert asked.history[-1].parts == (*DIALOGUE[-1].parts, Text(model.instruction))
        assert asked.sampling.temperature == 0
        assert [candidate.thought for candidate in candidates] == ["a red star beside a circle"] * 2
        images = [part for message in DIALOGUE for part in message.parts if isinstance(part, Image)]
        same = painter(tiny_composite)
        assert candidates[0].output == draw_with(same, "a red star beside a circle", images, seed=1).output

    def test_candidates_in_calls_of_their_own_have_the_same_prompt_and_cost(
        self, tiny_composite: Path
    ) -> None:
        text = ToyBackbone(reply=lambda history, seed: "a red star beside a circle")
        model = painter(tiny_composite, text, drawing_prompt="rewritten")
        [together] = model.generate([drawing(seeds=(1, 2))])
        apart = [model.generate([drawing(seeds=(seed,))])[0][0] for seed in (1, 2)]
        made = (*together, *apart)
        costs = [replace(each.cost, seconds=0.0) for each in made]
        assert costs == [costs[0]] * 4
        assert [(each.cost.calls, each.shared_cost.calls) for each in made] == [(1, 1)] * 4
        assert [each.output for each in together] == [each.output for each in apart]
        assert len(text.asked) == 1, "one prompt is written for all candidates of a turn"

    @pytest.mark.parametrize("n", [1, 4])
    def test_a_turn_is_charged_for_its_prompt_once(
        self, tiny_composite: Path, tmp_path: Path, n: int
    ) -> None:
        text = ToyBackbone(reply=lambda history, seed: "a red star beside a circle")
        model = painter(tiny_composite, text, drawing_prompt="rewritten")

        async def drawn(scope: Scope) -> tuple[Cost, Cost]:
            assert isinstance(scope, TurnScope)
            for child in scope.split(n):
                await child.ask("generator", turn_of().history, "image", Sampling())
            return scope.ledger.costs()["generator"], scope.ledger.spent()

        made, spent = within(drawn, backbone=model, journal=tmp_path)
        again, nothing = within(drawn, backbone=model, journal=tmp_path)
        assert (made.calls, made.images) == (1 + n, n)
        assert made == spent == again
        assert nothing == Cost()

    def test_a_refusal_to_write_is_a_refusal(self, tiny_composite: Path) -> None:
        class Refusing(ToyBackbone):
            def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
                return [[Candidate(output=None, finish="refused", reason="not this")] for _ in requests]

        model = painter(tiny_composite, Refusing(), drawing_prompt="rewritten")
        refused = draw(model)
        assert (refused.finish, refused.reason, refused.output) == ("refused", "not this", None)


def draw_with(model: CompositeBackbone, words: str, images: Sequence[Image], seed: int) -> Candidate:
    [[candidate]] = model.generate([drawing((said(words, *images),), seeds=(seed,))])
    return candidate


class TestDeclaration:
    def test_capabilities_follow_the_text_backbone(self, tiny_composite: Path) -> None:
        plain = painter(tiny_composite).capabilities
        assert plain.outputs == {"text", "image"}
        assert (plain.seeds, plain.logits, plain.context_images) == ("exact", True, 4)
        known = replace(
            CAPABILITIES,
            outputs=frozenset({"text"}),
            reads_images=False,
            seeds="none",
            logits=False,
            prompts="pocket",
            limits=("It has never seen a cat.",),
        )
        other = painter(tiny_composite, ToyBackbone(capabilities=known)).capabilities
        assert (other.seeds, other.logits, other.reads_images, other.prompts) == (
            "none",
            False,
            False,
            "pocket",
        )
        assert other.limits[0] == "It has never seen a cat."
        assert "from no earlier text" in other.limits[1]

    def test_identity_names_both_models_and_what_changes_images(self, tiny_composite: Path) -> None:
        models = [
            painter(tiny_composite),
            painter(tiny_composite, ToyBackbone(identity="another")),
            painter(tiny_composite, drawing_prompt="rewritten"),
            painter(tiny_composite, steps=3),
            painter(tiny_composite, images=1),
        ]
        assert len({model_identity(each) for each in models}) == len(models)
        runtime = painter(tiny_composite, max_batch=2, device_map=None)
        assert model_identity(runtime) == model_identity(models[0])
        assert models[0].identity.startswith("composite:1:Flux2KleinPipeline:")

    def test_other_weights_are_another_model(self, tiny_composite: Path, tmp_path: Path) -> None:
        copied = shutil.copytree(tiny_composite, tmp_path / "copy")
        assert painter(copied).identity == painter(tiny_composite).identity
        scheduler = copied / "scheduler" / "scheduler_config.json"
        scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"shift": 3.0}))
        assert painter(copied).identity != painter(tiny_composite).identity

    def test_a_pipeline_that_is_not_known_is_refused_with_the_list(self, tmp_path: Path) -> None:
        (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
        with pytest.raises(ConfigurationError) as refused:
            _ = painter(tmp_path).identity
        for words in ("StableDiffusionPipeline", "several images", *FAMILIES):
            assert words in str(refused.value)

    def test_a_folder_without_a_pipeline_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"model_index\.json cannot be read"):
            _ = painter(tmp_path).identity

    def test_a_missing_tensor_is_named(self, tiny_composite: Path, tmp_path: Path) -> None:
        copied = shutil.copytree(tiny_composite, tmp_path / "copy")
        file = copied / "transformer" / "diffusion_pytorch_model.safetensors"
        tensors = load_file(file)
        del tensors["x_embedder.weight"]
        save_file(tensors, file, metadata={"format": "pt"})
        with pytest.raises(ConfigurationError, match=r"missing: x_embedder\.weight"):
            draw(painter(copied))

    def test_a_text_backbone_that_only_draws_is_refused(self, tiny_composite: Path) -> None:
        only_draws = ToyBackbone(capabilities=replace(CAPABILITIES, outputs=frozenset({"image"})))
        with pytest.raises(ConfigurationError, match="ToyBackbone, which cannot write text"):
            _ = painter(tiny_composite, only_draws).capabilities

    @pytest.mark.parametrize("name", FAMILIES)
    def test_diffusers_takes_the_arguments_of_every_known_pipeline(self, name: str) -> None:
        import diffusers

        family = FAMILIES[name]
        given = {
            *family.arguments("a star", [], 2),
            *family.arguments("a star", [object()], 2),
            *("num_inference_steps", "height", "width", "generator", "output_type"),
            *([family.guidance] if family.guidance else []),
        }
        assert given <= set(inspect.signature(getattr(diffusers, name).__call__).parameters)

    def test_a_pipeline_for_one_image_a_prompt_gets_prompt_and_references_for_each(self) -> None:
        given = FAMILIES["JoyImageEditPlusPipeline"].arguments("a star", ["one", "two"], 2)
        assert given == {"prompt": ["a star"] * 2, "images": [["one", "two"]] * 2}


def test_a_configuration_names_its_text_backbone(tiny_composite: Path) -> None:
    arm = build_arm(
        composed(
            "backbone=composite",
            f"backbone.folder={tiny_composite}",
            "backbone@backbone.text=pocket",
            "backbone.steps=1",
        )
    )
    assert isinstance(arm.backbone, CompositeBackbone)
    assert arm.backbone.capabilities.prompts == "pocket"
    assert local_models(arm.backbone) == [arm.backbone]


def test_a_dialogue_is_answered_under_a_nested_strategy(tiny_composite: Path, tmp_path: Path) -> None:
    judge = BackboneJudge()
    inner = SelfVerification(inner=ChainOfThought(inner=Direct(settings={"steps": 1})), judge=judge)
    arm = Arm(
        backbone=painter(tiny_composite, height=32, width=32),
        strategy=BestOfN(n=2, inner=inner, judge=judge),
        benchmark=ToyBenchmark(num_samples=1),
    )
    [summary] = execute([Run(arm=arm, folder=tmp_path / "run", config={})], journal=tmp_path / "journal")
    assert summary.scored == summary.planned == 4
    images = [record for record in records(tmp_path / "run") if record["modality"] == "image"]
    assert all(record["cost"]["generator"]["denoise_steps"] > 0 for record in images)


def test_two_models_of_which_one_fits_take_turns(
    tiny_composite: Path, tiny_janus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = painter(tiny_composite, height=32, width=32, steps=1)
    verifier = JanusBackbone(folder=tiny_janus, device_map="cpu", max_batch=1)
    models = (generator, verifier)
    together: set[bool] = set()

    def free(device: str) -> int:
        loaded = [model for model in models if model.is_loaded]
        together.add(len(loaded) == 2)
        return limit - sum(model.memory.weights for model in loaded)

    limit = sum(model.memory.weights for model in models) - 1
    monkeypatch.setattr(DEVICES, "free", free)
    arm = Arm(
        backbone=generator,
        roles={"verifier": verifier},
        strategy=BestOfN(n=2, inner=Direct(), judge=BackboneJudge(max_reasks=0)),
        benchmark=ToyBenchmark(num_samples=1),
    )
    [summary] = execute([Run(arm=arm, folder=tmp_path / "run", config={})], journal=tmp_path / "journal")
    assert summary.scored == summary.planned
    assert together == {False}
