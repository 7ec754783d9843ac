"""Teachers on tiny models: how often they run, what is recorded of them, and which ones are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from imug_tts.contracts import ConfigurationError
from imug_tts.training.data import read_records
from imug_tts.training.encoding import Encoder
from imug_tts.training.method import CAPABILITIES, Method, Signal, layers_of
from imug_tts.training.models import check_pair, check_tokens, load_student, load_teacher
from imug_tts.training.teachers import see_all
from tests.training.tiny import FAMILIES, write_models, write_triad

CPU = torch.device("cpu")


def test_a_shared_teacher_runs_once_without_its_last_layer_and_an_unused_one_never(tmp_path: Path) -> None:
    _, (folder,) = write_models(tmp_path, "internvl3")
    signals = Method().signals
    shared, other = (
        load_teacher(folder, signals, needs_logits=False, dtype=torch.float32, device=CPU) for _ in range(2)
    )
    runs = {"shared": 0, "other": 0}
    for name, reader in (("shared", shared), ("other", other)):

        def count(*_: object, name: str = name) -> None:
            runs[name] += 1

        reader.model.model.language_model.register_forward_hook(count)
    record = read_records(write_triad(tmp_path / "data", 1))[0]
    sample = Encoder(folder, shared.model.config, 16).encode(record)
    teachers = {"perception": shared, "reasoning": shared, "planning": other}
    seen = see_all(teachers, ["perception", "reasoning"], sample)  # type: ignore[arg-type]
    assert runs == {"shared": 1, "other": 0}
    assert seen["perception"] is seen["reasoning"]
    assert len(shared.model.model.language_model.layers) == 4
    kept = seen["reasoning"].kept
    tokens, images = len(sample.is_image), int(sample.is_image.sum())
    assert {key for key, _ in kept.items() if key[0] == "full"} == {("full", layer) for layer in range(4)}
    assert kept["full", 0].shape == (1, tokens, tokens)
    assert kept["text_to_vision", 0].shape == (1, tokens - images, images)
    assert not any(one.requires_grad for one in kept.values())
    torch.testing.assert_close(kept["full", 3].sum(-1), torch.ones(1, tokens))
    with pytest.raises(ValueError, match="no teacher for planning; teachers are of perception"):
        see_all({"perception": shared}, ["planning"], sample)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("first", [0]),
        ("first_to_penultimate", [0, 1, 2, 3]),
        ("second_to_antepenultimate", [1, 2]),
        ("penultimate", [3]),
    ],
)
def test_layers_are_counted_from_the_first(layers: str, expected: list[int]) -> None:
    assert layers_of(layers, 5) == expected  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a model of 1 layers has no layers"):
        layers_of(layers, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_shares_of_signals_sum_to_one(capability: str) -> None:
    shares = Method().shares(capability)  # type: ignore[arg-type]
    assert shares[capability] == pytest.approx(0.8)
    assert sum(shares[name] for name in CAPABILITIES) == pytest.approx(1)
    assert Method(reasoning=Signal(), planning=Signal()).shares(capability)["perception"] == 1  # type: ignore[arg-type]


SIGNALS = Method().signals


def changed(folder: Path, file: str, **values: object) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_models_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    student, (teacher,) = write_models(tmp_path / "a", "internvl3")
    other, _ = write_models(tmp_path / "b", "qwen2_5_vl", teachers=0)
    check_pair(student, teacher, SIGNALS)
    cases: Mapping[str, tuple[Path, Path]] = {
        "student .* is of InternVL3 and the teacher .* of Qwen2.5-VL": (student, other),
        "teacher .* has .* weights, fewer than the .* were the two folders swapped": (teacher, student),
        "config.json cannot be read: No such file or directory; is it the model's folder": (
            student,
            tmp_path / "none",
        ),
    }
    for complaint, (one, two) in cases.items():
        with pytest.raises(ConfigurationError, match=complaint):
            check_pair(one, two, SIGNALS)
    shallow = tmp_path / "shallow"
    FAMILIES["internvl3"](shallow, 0, layers=2, width=128, heads=8)
    with pytest.raises(
        ConfigurationError, match=r"has 2 layers and the student .* 3, so method.reasoning.la"
    ):
        check_pair(student, shallow, SIGNALS)
    changed(teacher, "config.json", model_type="llava")
    with pytest.raises(ConfigurationError, match=r"of type 'llava'; models of InternVL3 and Qwen2.5-VL can"):
        check_pair(student, teacher, SIGNALS)
    changed(teacher, "config.json", model_type="internvl_chat")
    with pytest.raises(ConfigurationError, match="convert it to the layout of transformers"):
        check_pair(student, teacher, SIGNALS)


def test_models_that_read_other_tokens_are_refused(tmp_path: Path) -> None:
    student, (teacher,) = write_models(tmp_path, "internvl3")
    record = read_records(write_triad(tmp_path / "data", 1))[0]
    check_tokens(student, teacher, record, None)
    finer = tmp_path / "finer"
    FAMILIES["internvl3"](finer, 1, layers=5, width=64, grid=4)
    with pytest.raises(
        ConfigurationError, match=r"images of a record are 4 tokens .* and 16 for the teacher"
    ):
        check_tokens(student, finer, record, None)
    changed(teacher, "preprocessor_config.json", image_mean=[0.1, 0.1, 0.1])
    with pytest.raises(ConfigurationError, match="prepare an image differently"):
        check_tokens(student, teacher, record, None)
    words = json.loads((teacher / "tokenizer.json").read_text())
    vocabulary = words["model"]["vocab"]
    vocabulary["!"], vocabulary['"'] = vocabulary['"'], vocabulary["!"]
    (teacher / "tokenizer.json").write_text(json.dumps(words))
    with pytest.raises(ConfigurationError, match=r"tokenizers of .* differ, first in the token"):
        check_tokens(student, teacher, record, None)


def in_text(folder: Path, **values: object) -> None:
    """Change the configuration of the language model; None removes a key."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    text = config["text_config"] | values
    config["text_config"] = {key: value for key, value in text.items() if value is not None}
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("role", ["student", "teacher"])
def test_models_with_dropout_or_a_sliding_window_are_refused(tmp_path: Path, family: str, role: str) -> None:
    student, (teacher,) = write_models(tmp_path, family)
    folder = {"student": student, "teacher": teacher}[role]
    in_text(folder, attention_dropout=0.1)
    with pytest.raises(
        ConfigurationError, match=rf"^{role}: .* has attention_dropout 0.1, .* set it to 0 in "
    ):
        check_pair(student, teacher, SIGNALS)
    in_text(folder, attention_dropout=0.0)
    check_pair(student, teacher, SIGNALS)

    in_text(folder, use_sliding_window=True, sliding_window=4, max_window_layers=1, layer_types=None)
    with pytest.raises(ConfigurationError, match=rf"^{role}: .* has layers of sliding attention, whose maps"):
        check_pair(student, teacher, SIGNALS)
    in_text(folder, use_sliding_window=False)  # the advice of the message
    check_pair(student, teacher, SIGNALS)

    kinds = ["sliding_attention", "full_attention"] * 3
    layers = 3 if role == "student" else 5
    in_text(folder, use_sliding_window=True, layer_types=kinds[:layers])
    with pytest.raises(ConfigurationError, match=r"use_sliding_window to false .* and remove layer_types"):
        check_pair(student, teacher, SIGNALS)
    in_text(folder, use_sliding_window=False, layer_types=None)
    check_pair(student, teacher, SIGNALS)


def test_no_map_is_recorded_under_dropout(tmp_path: Path) -> None:
    student, _ = write_models(tmp_path, "internvl3", teachers=0)
    reader = load_student(student, Method(), dtype=torch.float32, device=CPU, train_vision=False)
    record = read_records(write_triad(tmp_path / "data", 1))[0]
    sample = Encoder(student, reader.model.config, 16).encode(record)
    reader.look(sample)
    reader.model.model.language_model.layers[0].self_attn.attention_dropout = 0.1
    with pytest.raises(ValueError, match="maps are not recorded under dropout; set attention_dropout of the"):
        reader.look(sample)
