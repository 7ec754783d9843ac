"""Properties that Janus and Emu3 share: seeds, context images, guidance, prompt reuse, cost, errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from imug_tts.backbones.emu3 import Emu3Backbone
from imug_tts.backbones.janus import JanusBackbone
from imug_tts.backbones.native.autoregressive import Autoregressive
from imug_tts.contracts import BackboneError, Candidate, ConfigurationError, Cost, Request, Sampling
from imug_tts.dialogue import Image, Message, Modality, Text
from imug_tts.registry import model_identity

BACKBONES: dict[str, type[Autoregressive]] = {"janus": JanusBackbone, "emu3": Emu3Backbone}
GREEDY = Sampling(temperature=0, max_tokens=12)
SHORT = Sampling(max_tokens=12)


@pytest.fixture(scope="module", params=sorted(BACKBONES))
def folder(request: pytest.FixtureRequest) -> Path:
    made: Path = request.getfixturevalue(f"tiny_{request.param}")
    return made


def backbone_of(folder: Path, **knobs: Any) -> Any:
    name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    context = {"context_images": None} if name == "emu3" else {}
    return BACKBONES[name](folder=folder, **{"dtype": "float64", **context, **knobs})


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Any:
    return backbone_of(folder)


def user(*parts: str | Image) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def ask(history: Sequence[Message], modality: Modality, *seeds: int, **options: Any) -> Request:
    plain = Request(history=tuple(history), modality=modality, seeds=seeds or (1,), sampling=SHORT)
    return replace(plain, **options)


def picture(level: int) -> Image:
    import numpy as np

    return Image.from_pixels(np.full((16, 16, 3), level, dtype=np.uint8))


def content(candidates: Sequence[Candidate]) -> list[tuple[object, ...]]:
    """Everything but seconds."""
    return [(c.output, c.finish, c.p_yes, replace(c.cost, seconds=0)) for c in candidates]


def drawn(backbone: Autoregressive, history: Sequence[Message], *seeds: int, **settings: float) -> list[Any]:
    sampling = Sampling(settings=tuple(settings.items()))
    return [c.output for c in backbone.generate([ask(history, "image", *seeds, sampling=sampling)])[0]]


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    """Calls of all kinds, at different lengths of history."""
    seen = (user("draw a cat"), Message("assistant", (picture(200),)))
    return [
        ask([user("draw a cat")], "image", 1, 2, 3),
        ask([*seen, user("now a dog")], "image", 1, 2),
        ask([*seen, user("what is it?")], "text", 1, 2),
        ask([user("hello")], "text", 4),
        ask([user("hello")], "text", 4, sampling=GREEDY),
        ask([*seen, user("is it a cat?")], "text", 5, 6, form="yes_no"),
    ]


def test_a_seed_gives_the_same_candidate_alone_in_a_batch_and_from_the_cache(
    folder: Path, requests: list[Request]
) -> None:
    alone = [
        [content(backbone_of(folder).generate([replace(r, seeds=(seed,))])[0])[0] for seed in r.seeds]
        for r in requests
    ]
    together = backbone_of(folder)
    for _ in range(2):
        assert [content(candidates) for candidates in together.generate(requests)] == alone
    assert [content(c) for c in together.generate(requests[::-1])[::-1]] == alone


def test_the_one_candidate_is_the_first_of_four_and_seeds_differ(backbone: Autoregressive) -> None:
    four = drawn(backbone, [user("a tree")], 7, 8, 9, 10)
    assert drawn(backbone, [user("a tree")], 7) == four[:1]
    assert len(set(four)) == 4


def test_prompt_context_image_and_guidance_each_change_the_image(backbone: Autoregressive) -> None:
    def after(level: int) -> list[Message]:
        return [user("draw"), Message("assistant", (picture(level),)), user("again")]

    made = drawn(backbone, after(40), 1)
    assert made != drawn(backbone, after(220), 1)
    assert made != drawn(backbone, [*after(40)[:2], user("a bear, please")], 1)
    assert made != drawn(backbone, after(40), 1, guidance=2.0) != drawn(backbone, after(40), 1, guidance=1.0)
    assert made == drawn(backbone, after(40), 1)


def test_a_first_context_image_counts_behind_a_second_one(backbone: Autoregressive) -> None:
    def after(level: int) -> list[Message]:
        return [user(picture(level), "and", picture(128), "draw both")]

    assert drawn(backbone, after(40), 1) != drawn(backbone, after(220), 1)


def test_greedy_drawing_has_no_seed(backbone: Autoregressive) -> None:
    [same] = backbone.generate([ask([user("a tree")], "image", 1, 2, 3, sampling=GREEDY)])
    assert len({candidate.output for candidate in same}) == 1


def test_images_of_the_history_change_a_text(backbone: Autoregressive) -> None:
    texts = [
        backbone.generate([ask([user(picture(level), "what is it?")], "text", sampling=GREEDY)])[0][0].output
        for level in (10, 240)
    ]
    assert texts[0] != texts[1]


def test_yes_no_calls_begin_with_the_word_and_have_its_probability(backbone: Autoregressive) -> None:
    [made] = backbone.generate([ask([user("is it?")], "text", *range(30), form="yes_no")])
    [greedy] = backbone.generate([ask([user("is it?")], "text", form="yes_no", sampling=GREEDY)])
    shares = {candidate.p_yes for candidate in made}
    assert shares == {greedy[0].p_yes}
    words = [candidate.output.text.lower()[:2] for candidate in made if isinstance(candidate.output, Text)]
    assert set(words) <= {"ye", "no"}
    share = made[0].p_yes or 0
    assert words.count("ye") / len(words) == pytest.approx(share, abs=0.3)
    assert isinstance(greedy[0].output, Text)
    assert greedy[0].output.text.lower().startswith("yes" if share >= 0.5 else "no")


def test_text_stops_at_its_limit_or_at_the_end_token(backbone: Autoregressive) -> None:
    [made] = backbone.generate([ask([user("hello")], "text", *range(40), sampling=Sampling(max_tokens=60))])
    for candidate in made:
        assert (candidate.finish == "length") == (candidate.cost.new_tokens == 60)
    assert {candidate.finish for candidate in made} == {"stop", "length"}


def test_a_text_is_as_long_beside_a_longer_prompt_as_alone(folder: Path, tmp_path: Path) -> None:
    short, long = ask([user("a cat")], "text", 1, 2, 3, 4), ask([user("a cat on a mat " * 3)], "text")
    [[known]] = backbone_of(folder).generate([long])
    copied = shutil.copytree(folder, tmp_path / "copy")
    config = json.loads((copied / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["max_position_embeddings"] = known.cost.prompt_tokens + 3
    (copied / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = backbone_of(copied)
    together = [content(made) for made in model.generate([short, long])]
    assert together == [content(model.generate([each])[0]) for each in (short, long)]
    lengths = [candidate.cost.new_tokens for candidate in model.generate([short])[0]]
    assert max(lengths) > 3, "the longer prompt leaves room for 3 tokens, and the short one for more"


def test_a_dialogue_of_six_turns_draws_and_answers(backbone: Autoregressive) -> None:
    history: list[Message] = []
    modalities: list[Modality] = ["image", "text", "image", "text", "image", "text"]
    for number, modality in enumerate(modalities):
        history.append(user(f"turn {number}"))
        [[answer]] = backbone.generate([ask(history, modality, number)])
        assert answer.output is not None
        assert answer.output.modality == modality
        history.append(Message("assistant", (answer.output,)))


def test_costs_count_tokens_images_and_branches_of_guidance(backbone: Autoregressive) -> None:
    [with_guidance] = backbone.generate([ask([user("a tree")], "image", 1, 2)])
    alone = Sampling(settings=(("guidance", 1),))
    [without] = backbone.generate([ask([user("a tree")], "image", 1, sampling=alone)])
    each = without[0].cost
    assert each.nfe == each.new_tokens > 0
    assert each.images == each.calls == 1
    assert with_guidance[0].cost.nfe == 2 * each.nfe
    assert with_guidance[0].cost.new_tokens == each.new_tokens
    assert with_guidance[0].cost.prompt_tokens == each.prompt_tokens > len("a tree")
    total = sum((candidate.cost for candidate in with_guidance), Cost())
    assert (total.calls, total.images, total.nfe) == (2, 2, 4 * each.nfe)


def test_the_second_turn_takes_most_of_its_prompt_from_the_first(folder: Path) -> None:
    backbone = backbone_of(folder)
    history = [user("draw a cat with a hat and a long blue coat")]
    [[first]] = backbone.generate([ask(history, "image", 1)])
    before = backbone.prefill_counts
    backbone.generate([ask([*history, Message("assistant", (first.output,)), user("why?")], "image", 1)])
    reused = backbone.prefill_counts.reused - before.reused
    assert reused >= first.cost.prompt_tokens - 3
    assert [backbone.drop_caches(), backbone.drop_caches()] == [True, False]
    before = backbone.prefill_counts
    backbone.generate([ask(history, "image", 1)])
    computed_again = backbone.prefill_counts.computed - before.computed
    assert computed_again >= first.cost.prompt_tokens - 1
    backbone.unload()
    assert not backbone.is_loaded
    none = backbone_of(folder, prefix_cache_gib=0)
    none.generate([ask(history, "image", 1)])
    none.generate([ask(history, "image", 2)])
    assert none.prefill_counts.reused == 0


def test_one_prefill_serves_all_candidates(folder: Path) -> None:
    one, eight = backbone_of(folder), backbone_of(folder)
    one.generate([ask([user("a tree")], "image", 1)])
    eight.generate([ask([user("a tree")], "image", *range(8))])
    assert one.prefill_counts == eight.prefill_counts


def test_it_says_what_it_can_do(folder: Path) -> None:
    can = backbone_of(folder).capabilities
    assert can.outputs == {"text", "image"}
    assert can.reads_images
    assert can.draws_from_images
    assert can.logits
    assert can.seeds == "exact"
    assert backbone_of(folder, dtype="float32").capabilities.seeds == "best_effort"
    assert any("out of distribution" in limit for limit in can.limits)


def test_half_precision_draws_and_answers(folder: Path, requests: list[Request]) -> None:
    backbone = backbone_of(folder, dtype="bfloat16")
    assert all(c.output for candidates in backbone.generate(requests) for c in candidates)


def test_memory_is_estimated_from_headers_without_loading(folder: Path) -> None:
    stored = sum(tensor.nbytes for tensor in load_file(folder / "model.safetensors").values())
    backbone = backbone_of(folder, dtype="auto")
    assert backbone.memory.weights == stored
    assert backbone_of(folder).memory.weights == pytest.approx(2 * stored, rel=0.01)
    assert backbone.memory.per_turn > 0
    assert backbone.memory.per_candidate > 0
    assert not backbone.is_loaded


def test_the_identity_is_of_the_weights_and_the_knobs_that_change_results(
    folder: Path, tmp_path: Path
) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    plain = backbone_of(folder, dtype="auto")
    assert model_identity(backbone_of(copied, dtype="auto")) == model_identity(plain)
    assert model_identity(backbone_of(folder, dtype="auto", device_map="cpu")) == model_identity(plain)
    assert model_identity(backbone_of(folder, dtype="auto", guidance=2.5)) != model_identity(plain)
    weights = load_file(copied / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, copied / "model.safetensors")
    assert model_identity(backbone_of(copied, dtype="auto")) != model_identity(plain)


def test_settings_are_checked(backbone: Autoregressive) -> None:
    with pytest.raises(ConfigurationError, match="there is no knob 'guidence'; did you mean guidance"):
        drawn(backbone, [user("a tree")], 1, guidence=2.0)
    with pytest.raises(ConfigurationError, match=r"guidance is -1; it must be 0 or more"):
        drawn(backbone, [user("a tree")], 1, guidance=-1)


def test_a_history_that_cannot_be_read_is_said(folder: Path, backbone: Autoregressive) -> None:
    broken = Image.from_bytes(b"no image")
    with pytest.raises(BackboneError, match="an image of the history cannot be read"):
        drawn(backbone, [user(broken, "draw")], 1)
    with pytest.raises(BackboneError, match=r"the prompt has \d+ tokens and the answer \d+; the model takes"):
        drawn(backbone, [user("long " * 4000)], 1)
    with pytest.raises(BackboneError, match="which stands for an image in this model's prompt"):
        drawn(backbone, [user("see <image> and <image_placeholder>")], 1)


def test_wrong_files_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config.json cannot be read: No such file"):
        _ = BACKBONES["janus"](folder=tmp_path / "absent").identity
    other = {"janus": "emu3", "emu3": "janus"}[str(backbone_of(folder).model_types[0])]
    with pytest.raises(ConfigurationError, match=rf"says model_type '\w+', not {other}; give the folder"):
        _ = BACKBONES[other](folder=folder).identity
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    (copied / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match=r"has no \*.safetensors file"):
        backbone_of(copied).generate([ask([user("a tree")], "image")])


def test_tensors_that_do_not_fit_are_reported_together(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    weights = load_file(copied / "model.safetensors")
    head, norm = (
        next(name for name in weights if name.endswith(end))
        for end in ("lm_head.weight", "layers.0.input_layernorm.weight")
    )
    del weights[head]
    weights[norm], weights["extra.weight"] = torch.ones(3), torch.ones(1)
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigurationError) as error:
        backbone_of(copied).generate([ask([user("a tree")], "image")])
    for said in (
        "missing: lm_head.weight",
        "unexpected: extra.weight",
        "layers.0.input_layernorm.weight is [3], not [64]",
    ):
        assert said in str(error.value)


def test_damaged_files_are_named(folder: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(folder, copied)
    whole = (copied / "model.safetensors").read_bytes()
    (copied / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(
        ConfigurationError, match=r"model.safetensors is not a complete safetensors file: it ends"
    ):
        backbone_of(copied).generate([ask([user("a tree")], "image")])
    (copied / "model.safetensors").write_bytes(whole)
    (copied / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"tokenizer and image processor in .* cannot be loaded"):
        backbone_of(copied).generate([ask([user("a tree")], "image")])
