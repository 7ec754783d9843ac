"""A CLIP checkpoint and a vision-language model in this process, against transformers by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor

from imug_tts.backbones.clip_score import ClipScore
from imug_tts.backbones.local_vlm import LocalVlm
from imug_tts.contracts import BackboneError, ConfigurationError, Request, Sampling
from imug_tts.dialogue import Image, Message, Text
from imug_tts.testing.checkpoints.clip import write_tiny_clip
from imug_tts.testing.checkpoints.vlm import write_tiny_vlm


def drawn(number: int) -> Image:
    return Image.from_pixels(np.random.default_rng(number).integers(0, 255, (40, 40, 3), dtype=np.uint8))


SHOWN = (Message("user", (Text("draw a star"),)), Message("assistant", (drawn(1),)))
ASKED = (*SHOWN, Message("user", (Text("Is it red?"),)))
REWARD = Request(history=SHOWN, modality="text", seeds=(0,), form="reward")
CHECK = Request(history=ASKED, modality="text", seeds=(0,), form="yes_no", sampling=Sampling(temperature=0.0))
WORDS = Request(history=ASKED, modality="text", seeds=(0, 1, 2), sampling=Sampling(max_tokens=12))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    write_tiny_clip(folder)
    return folder


@pytest.fixture(scope="module")
def vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vlm")
    write_tiny_vlm(folder)
    return folder


def rewards(model: ClipScore, *requests: Request) -> list[float]:
    found = [candidate.reward for [candidate] in model.generate(requests)]
    assert None not in found
    return [reward for reward in found if reward is not None]


def loader(cls: Any) -> Any:
    """The class, whose methods transformers leaves untyped."""
    return cls


def test_the_reward_is_the_checkpoints_logit_for_the_last_words_and_the_last_image(clip: Path) -> None:
    model = loader(AutoModel).from_pretrained(clip).eval()
    processor = loader(AutoProcessor).from_pretrained(clip)
    inputs = processor(text=["draw a star"], images=[drawn(1).pixels()], return_tensors="pt")
    with torch.inference_mode():
        [[expected]] = model(**inputs).logits_per_image.tolist()
    other = replace(REWARD, history=(*ASKED, Message("assistant", (drawn(2),))))
    found = rewards(ClipScore(folder=clip), REWARD, other)
    assert found[0] == pytest.approx(expected, abs=1e-4)
    assert found[1] == pytest.approx(rewards(ClipScore(folder=clip), other)[0], abs=1e-4)
    assert abs(found[0] - found[1]) > 0.01


def test_words_before_the_last_request_change_nothing_and_long_ones_are_cut_which_is_declared(
    clip: Path,
) -> None:
    model = ClipScore(folder=clip)
    before = (Message("user", (Text("draw a house"),)), Message("assistant", (drawn(3),)))
    longer = replace(REWARD, history=(*before, *SHOWN))
    assert rewards(model, longer)[0] == pytest.approx(rewards(model, REWARD)[0], abs=1e-4)
    words = Message("user", (Text("a star " * 100),))
    cut = replace(REWARD, history=(words, SHOWN[1]))
    [[candidate]] = model.generate([cut])
    assert candidate.cost.prompt_tokens == 77
    assert "at most 77 tokens" in model.capabilities.limits[0]


def test_a_clip_checkpoint_gives_rewards_for_images_only(clip: Path) -> None:
    model = ClipScore(folder=clip)
    with pytest.raises(BackboneError, match="reward calls only"):
        model.generate([replace(REWARD, form="free")])
    with pytest.raises(BackboneError, match="scores images only"):
        model.generate([replace(REWARD, history=(SHOWN[0], Message("assistant", (Text("a star"),))))])


def test_folders_that_are_no_such_checkpoints_are_refused(clip: Path, vlm: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"model_type 'llava', not clip or siglip"):
        _ = ClipScore(folder=vlm).identity
    with pytest.raises(ConfigurationError, match=r"config.json cannot be read"):
        _ = ClipScore(folder=tmp_path / "nowhere").identity
    (tmp_path / "config.json").write_bytes((clip / "config.json").read_bytes())
    with pytest.raises(ConfigurationError, match=r"no \*.safetensors"):
        _ = ClipScore(folder=tmp_path).identity


def test_identities_follow_the_weights_and_not_the_folder(clip: Path, tmp_path: Path) -> None:
    write_tiny_clip(tmp_path / "same")
    write_tiny_clip(tmp_path / "other", seed=1)
    folders = (clip, tmp_path / "same", tmp_path / "other")
    identities = [ClipScore(folder=folder).identity for folder in folders]
    assert identities[0] == identities[1] != identities[2]


def test_p_yes_is_the_share_of_yes_among_the_tokens_that_are_yes_or_no(vlm: Path) -> None:
    model = loader(AutoModelForImageTextToText).from_pretrained(vlm).eval()
    processor = loader(AutoProcessor).from_pretrained(vlm)
    prompt = (
        "USER: draw a star\nASSISTANT: (an image; it is shown in the next message)\n"
        "USER: The assistant's image in the message before:<image>Is it red?\nASSISTANT:"
    )
    inputs = processor(text=[prompt], images=[drawn(1).pixels()], return_tensors="pt")
    with torch.inference_mode():
        shares = model(**inputs).logits[0, -1].double().softmax(-1)
    spellings = {
        word: [f"{space}{each}" for space in ("", " ") for each in (word, word.capitalize(), word.upper())]
        for word in ("yes", "no")
    }
    encoded = {
        word: [processor.tokenizer.encode(each) for each in each_way] for word, each_way in spellings.items()
    }
    whole = {word: sorted({ids[0] for ids in each if len(ids) == 1}) for word, each in encoded.items()}
    yes, no = (float(shares[whole[word]].sum()) for word in ("yes", "no"))
    [[candidate]] = LocalVlm(folder=vlm).generate([CHECK])
    assert candidate.p_yes == pytest.approx(yes / (yes + no), abs=1e-5)
    assert candidate.output == Text("yes" if yes >= no else "no")


def test_each_row_is_as_it_is_alone_and_greedy_text_is_the_librarys(vlm: Path) -> None:
    model = LocalVlm(folder=vlm)
    short = replace(WORDS, history=(Message("user", (Text("Hi"),)),))
    together = model.generate([WORDS, short])
    for request, candidates in zip((WORDS, short), together, strict=True):
        alone = [model.generate([replace(request, seeds=(seed,))])[0][0] for seed in request.seeds]
        assert [candidate.output for candidate in candidates] == [candidate.output for candidate in alone]
        assert len({candidate.output for candidate in candidates}) == 3
        assert {candidate.cost.new_tokens for candidate in candidates} == {12}
        assert {candidate.finish for candidate in candidates} == {"length"}
    greedy = replace(short, seeds=(5,), sampling=Sampling(temperature=0.0, max_tokens=12))
    [[candidate]] = model.generate([greedy])
    stock = loader(AutoModelForImageTextToText).from_pretrained(vlm).eval()
    processor = loader(AutoProcessor).from_pretrained(vlm)
    inputs = processor(text=["USER: Hi\nASSISTANT:"], return_tensors="pt")
    ids = stock.generate(**inputs, do_sample=False, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
    assert candidate.output == Text(processor.tokenizer.decode(ids, skip_special_tokens=True))


def test_images_of_the_history_change_what_it_says(vlm: Path) -> None:
    model = LocalVlm(folder=vlm)
    other = replace(CHECK, history=(SHOWN[0], Message("assistant", (drawn(2),)), ASKED[2]))
    [[one], [two]] = model.generate([CHECK, other])
    assert one.p_yes is not None
    assert two.p_yes is not None
    assert abs(one.p_yes - two.p_yes) > 1e-4


def test_it_draws_nothing_and_unloading_changes_no_answer(vlm: Path) -> None:
    model = LocalVlm(folder=vlm)
    with pytest.raises(BackboneError, match="writes text only"):
        model.generate([replace(WORDS, modality="image")])
    before = model.generate([CHECK])
    assert model.is_loaded
    model.unload()
    assert not model.is_loaded
    assert model.generate([CHECK]) == before


def test_a_checkpoint_whose_weights_do_not_fit_is_refused_with_the_tensors(vlm: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in vlm.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    gone = sorted(tensors)[0]
    del tensors[gone]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigurationError, match="missing"):
        LocalVlm(folder=tmp_path).generate([CHECK])
