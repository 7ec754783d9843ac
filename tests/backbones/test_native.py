"""What backbones in this process share: sampling, prefill, checkpoints, placement, images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaModel

from imug_tts.backbones.native import checkpoint, history, images, prefill, sampling
from imug_tts.backbones.native.placement import Native
from imug_tts.contracts import BackboneError, Candidate, Capabilities, ConfigurationError, MemoryNeed, Request
from imug_tts.dialogue import Image, Message, Text
from imug_tts.knobs import component

ADVICE = "download it again"


def streams(*seeds: int) -> list[torch.Generator]:
    return [sampling.random_stream(seed, "test") for seed in seeds]


class TestSampling:
    def test_a_row_does_not_depend_on_its_batch(self) -> None:
        logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(0))
        together = sampling.RowSampler(streams(1, 2, 3, 4), 0.8)
        alone = [sampling.RowSampler(streams(seed), 0.8) for seed in (1, 2, 3, 4)]
        for _ in range(5):
            picked = together.pick(logits)
            rows = [one.pick(logits[row : row + 1]) for row, one in enumerate(alone)]
            assert picked.tolist() == torch.cat(rows).tolist()

    def test_the_samples_follow_the_softmax_at_the_temperature(self) -> None:
        logits, rows = torch.tensor([2.0, 1.0, 0.0, -1.0]), 20_000
        sampler = sampling.RowSampler(streams(0) * rows, 2.0)
        shares = torch.bincount(sampler.pick(logits.expand(rows, 4)), minlength=4) / rows
        assert shares.tolist() == pytest.approx((logits / 2).softmax(-1).tolist(), abs=0.015)

    def test_zero_is_greedy_and_top_p_keeps_the_smallest_set(self) -> None:
        logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
        assert sampling.RowSampler(streams(1), 0).pick(logits[None]).tolist() == [0]
        sampler = sampling.RowSampler(streams(3) * 2000, 1.0, top_p=0.7)
        assert set(sampler.pick(logits.expand(2000, 4)).tolist()) == {0, 1}

    def test_seeds_and_purposes_have_streams_of_their_own(self) -> None:
        first = {
            torch.rand(1, generator=sampling.random_stream(seed, purpose)).item()
            for seed in (0, 1, 2**40)
            for purpose in ("text", "image")
        }
        assert len(first) == 6


@pytest.fixture(scope="module")
def network() -> LlamaModel:
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    model = LlamaModel(config)
    model.train(False)
    return model


def embeds(count: int, seed: int) -> Tensor:
    return torch.randn(1, count, 16, generator=torch.Generator().manual_seed(seed))


def last_hidden(network: LlamaModel, *pieces: Tensor) -> Tensor:
    """The last hidden state of one row, computed at once without any cache."""
    with torch.inference_mode():
        hidden: Tensor = network(inputs_embeds=torch.cat(pieces, dim=1)).last_hidden_state[0, -1]
    return hidden


class TestPrefill:
    def test_rows_after_shared_prefixes_equal_rows_computed_alone(self, network: LlamaModel) -> None:
        prompts = [embeds(5, 1), embeds(9, 2)]
        prefixes = [prefill.extended(network, None, prompt) for prompt in prompts]
        rows = prefill.Rows(network, prefixes, [1, 2], room=3)
        steps = [torch.cat([embeds(1, 10 * row + step)[0] for row in range(3)]) for step in range(3)]
        hidden = [rows.forward(step) for step in steps]
        for row, prompt in enumerate((prompts[0], prompts[1], prompts[1])):
            for step in range(3):
                own = [each[row][None, None] for each in steps[: step + 1]]
                torch.testing.assert_close(
                    hidden[step][row], last_hidden(network, prompt, *own), atol=1e-5, rtol=1e-5
                )

    def test_rows_go_on_when_others_have_ended(self, network: LlamaModel) -> None:
        prefixes = [prefill.extended(network, None, embeds(count, count)) for count in (4, 7)]
        rows = prefill.Rows(network, prefixes, [2, 2], room=2)
        first, second = embeds(4, 20)[0], embeds(2, 21)[0]
        rows.forward(first)
        rows.keep([1, 2])
        hidden = rows.forward(second)
        assert len(rows) == 2
        for at, (row, count) in enumerate(((1, 4), (2, 7))):
            alone = last_hidden(network, embeds(count, count), first[row][None, None], second[at][None, None])
            torch.testing.assert_close(hidden[at], alone, atol=1e-5, rtol=1e-5)

    def test_a_prefix_goes_on_where_an_earlier_one_ends(self, network: LlamaModel) -> None:
        whole = embeds(8, 3)
        part = prefill.extended(network, None, whole[:, :6])
        continued = prefill.extended(network, part.first(5), whole[:, 5:])
        direct = prefill.extended(network, None, whole)
        assert continued.length == direct.length == 8
        for (keys, values), (due_keys, due_values) in zip(continued.layers, direct.layers, strict=True):
            torch.testing.assert_close(keys, due_keys, atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(values, due_values, atol=1e-5, rtol=1e-5)

    def test_the_store_gives_the_longest_common_prefix_within_its_limit(self, network: LlamaModel) -> None:
        one = prefill.extended(network, None, embeds(4, 1))
        store = prefill.PrefixStore(limit_bytes=2 * one.nbytes)
        store.put("abcd", one)
        store.put("axyz", one)
        found = store.longest("abcq")
        assert found is not None
        assert found.length == 3
        assert store.counts == prefill.PrefillCounts(computed=1, reused=3)
        store.put("klmn", one)  # "axyz" is the least recently used one
        assert store.longest("axyz") is not None
        assert store.counts.reused == 4  # of "abcd" the first token alone
        assert store.longest("q") is None

    def test_a_longer_prefix_takes_the_place_of_its_beginning(self, network: LlamaModel) -> None:
        short, long = (prefill.extended(network, None, embeds(count, 1)) for count in (2, 4))
        store = prefill.PrefixStore(limit_bytes=long.nbytes)
        store.put("ab", short)
        store.put("abcd", long)
        found = store.longest("ab")
        assert found is not None
        assert found.length == 2


class TestCheckpoint:
    def write(self, folder: Path, **tensors: Tensor) -> Path:
        save_file(tensors, folder / "model.safetensors")
        (folder / "config.json").write_text("{}")
        return folder / "model.safetensors"

    def test_a_module_is_filled_in_its_own_type(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, weight=torch.full((2, 3), 0.5), bias=torch.ones(2))
        layer = nn.Linear(3, 2).to(torch.bfloat16)
        checkpoint.load_strictly(layer, [file], tmp_path, advice=ADVICE)
        assert layer.weight.dtype == torch.bfloat16
        assert layer.weight.tolist() == [[0.5] * 3] * 2

    def test_one_report_names_all_that_does_not_fit(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, weight=torch.ones(2, 4), other=torch.ones(1), ema=torch.ones(1))
        with pytest.raises(ConfigurationError) as error:
            checkpoint.load_strictly(nn.Linear(3, 2), [file], tmp_path, advice=ADVICE, unused=("ema",))
        assert str(error.value) == (
            f"the tensors of {tmp_path} do not fit the model; missing: bias; unexpected: other; "
            "of another shape: weight is [2, 4], not [2, 3]; download it again"
        )

    def test_bytes_are_counted_from_headers(self, tmp_path: Path) -> None:
        file = self.write(tmp_path, weight=torch.ones(2, 4, dtype=torch.bfloat16), ids=torch.ones(3).long())
        assert checkpoint.weight_bytes([file]) == 2 * 8 + 3 * 8
        assert checkpoint.weight_bytes([file], "float32") == 4 * 8 + 3 * 8

    def test_the_identity_is_of_contents_and_not_of_the_place(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        identities = []
        for folder, value in (("a", 1.0), ("b", 1.0), ("b", 2.0)):
            file = self.write(tmp_path / folder, weight=torch.full((2, 2), value))
            identities.append(checkpoint.folder_identity(tmp_path / folder, [file]))
        assert identities[0] == identities[1] != identities[2]
        (tmp_path / "a" / "config.json").write_text('{"layers": 2}')
        assert (
            checkpoint.folder_identity(tmp_path / "a", [tmp_path / "a" / "model.safetensors"])
            not in identities
        )

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "its header claims 0 bytes"),
            (b"<!doctype html><html>", "its header claims"),
            (
                (60).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}      ',
                "ends after",
            ),
        ],
    )
    def test_a_file_that_is_cut_off_or_no_checkpoint_is_named(
        self, tmp_path: Path, content: bytes, said: str
    ) -> None:
        file = tmp_path / "model.safetensors"
        file.write_bytes(content)
        with pytest.raises(
            ConfigurationError, match=f"model.safetensors is not a complete safetensors file: .*{said}"
        ):
            checkpoint.tensor_headers([file])

    def test_missing_files_and_folders_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"there is no folder .*absent; give the folder"):
            checkpoint.folder_identity(tmp_path / "absent", [])
        with pytest.raises(ConfigurationError, match=r"config.json cannot be read: No such file"):
            checkpoint.read_json(tmp_path / "config.json")
        (tmp_path / "config.json").write_text("[1]")
        with pytest.raises(ConfigurationError, match="does not hold a JSON object"):
            checkpoint.read_json(tmp_path / "config.json")


@component
class Held(Native):
    """A model of one linear layer."""

    @property
    def identity(self) -> str:
        return "held"

    @property
    def capabilities(self) -> Capabilities:
        raise NotImplementedError

    @property
    def memory(self) -> MemoryNeed:
        return MemoryNeed(weights=0)

    def _load(self) -> nn.Module:
        return self.placed(nn.Sequential(nn.Linear(2, 2)))

    def generate(self, requests: Sequence[Request]) -> list[list[Candidate]]:
        self._loaded(torch.ones(1, 2))
        return []


@component
class Unequipped(Held):
    """A model whose package is not installed."""

    def _load(self) -> nn.Module:
        import_module("a_package_that_nobody_has")
        return nn.Linear(1, 1)


class TestPlacement:
    def test_a_missing_package_comes_with_its_install_line(self) -> None:
        with pytest.raises(
            ConfigurationError, match=r"needs a_package_that_nobody_has; install it with: pip"
        ):
            Unequipped(folder=Path()).generate([])

    @pytest.mark.parametrize("device_map", [None, "cpu", "auto", "balanced", "sequential"])
    def test_a_module_is_loaded_by_its_first_call_and_unloaded(self, device_map: str | None) -> None:
        held = Held(folder=Path(), device_map=device_map)
        assert not held.is_loaded
        held.generate([])
        assert held.is_loaded
        held.unload()
        assert not held.is_loaded
        held.generate([])

    def test_devices_have_pytorchs_words(self) -> None:
        assert Held(folder=Path(), device_map="cpu").device == "cpu"
        assert Held(folder=Path(), device_map="cuda").device == "cuda:0"
        assert Held(folder=Path(), device_map="cuda:3").device == "cuda:3"
        assert Held(folder=Path()).torch_dtype() is None
        assert Held(folder=Path(), dtype="bfloat16").torch_dtype() == torch.bfloat16

    def test_a_device_that_is_not_here_is_named(self) -> None:
        with pytest.raises(ConfigurationError, match="device_map is 'cuda:77'; PyTorch finds here: cpu"):
            Held(folder=Path(), device_map="cuda:77").generate([])
        with pytest.raises(ConfigurationError, match="device_map is 'gpu'"):
            Held(folder=Path(), device_map="gpu")


def test_images_come_back_from_tensors_as_they_were() -> None:
    values = torch.arange(48).reshape(3, 4, 4).float() / 255
    image = images.from_tensor(values)
    torch.testing.assert_close(images.to_tensor(image), values)
    assert images.from_pillow(images.to_pillow(image)) == image
    torch.testing.assert_close(
        images.to_tensor(images.from_tensor(torch.tensor([2.0, -1.0, float("nan")]).view(3, 1, 1))),
        torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1),
    )
    with pytest.raises(BackboneError, match="an image of the history cannot be read"):
        images.to_pillow(Image.from_bytes(b"no image"))


def test_a_history_keeps_the_order_of_its_parts_and_refuses_marks() -> None:
    picture = images.from_tensor(torch.zeros(3, 2, 2))
    chat = history.chat_of(
        (Message("user", (Text("one"), picture, Text("two"))), Message("assistant", (picture,)))
    )
    kinds: list[Any] = [[part["type"] for part in message["content"]] for message in chat.messages]
    assert kinds == [["text", "image", "text"], ["image"]]
    assert chat.images == [picture, picture]
    with pytest.raises(BackboneError, match="contains '<image>', which stands for an image"):
        history.chat_of((Message("user", (Text("see <image>"),)),), marks=("<image>",))


def test_placement_and_checkpoints_import_no_torch() -> None:
    code = "import sys; from imug_tts.backbones.native import checkpoint, placement"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)
