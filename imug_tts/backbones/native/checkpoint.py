"""Checkpoints in safetensors files: size and identity without loading the weights, and strict loading.

`read_json`, `tensor_headers`, `weight_bytes` and `folder_identity` import no torch. `load_strictly` fills a
module from files; `check_loaded` reports what transformers' `from_pretrained` could not load.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from imug_tts.contracts import ConfigurationError

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "ITEM_BYTES",
    "Misfit",
    "TensorHeader",
    "check_loaded",
    "folder_identity",
    "load_strictly",
    "read_json",
    "tensor_headers",
    "weight_bytes",
]

ITEM_BYTES: Final[Mapping[str, int]] = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one number, by the name of its dtype in PyTorch."""
_FLOATS: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_CONFIGURATION: Final = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken")
_MOST_HEADER_BYTES: Final = 100_000_000
_SAMPLE_BYTES: Final = 4096
_SHOWN: Final = 5


@dataclass(frozen=True)
class TensorHeader:
    """A tensor's entry in the header of a safetensors file."""

    file: Path
    dtype: str
    """The dtype as safetensors names it, e.g. "BF16"."""
    shape: tuple[int, ...]
    start: int
    """The offset of the tensor's first byte in the file."""
    nbytes: int

    @property
    def count(self) -> int:
        """The number of elements of the tensor."""
        total = 1
        for size in self.shape:
            total *= size
        return total


@dataclass(frozen=True)
class Misfit:
    """Differences between the tensors of a checkpoint and of a model; all fields are empty if they fit."""

    missing: tuple[str, ...] = ()
    """Names of tensors that the model has and the checkpoint lacks."""
    unexpected: tuple[str, ...] = ()
    """Names of tensors that the checkpoint has and the model lacks."""
    misshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    """Name, shape in the checkpoint and shape in the model of each tensor whose shapes differ."""

    def check(self, source: Path, advice: str) -> None:
        """Raise an error if there is any difference.

        Raises:
            ConfigurationError: names the files, the tensors and their shapes; ends with `advice`.
        """
        shapes = [f"{n} is {list(found)}, not {list(due)}" for n, found, due in self.misshaped]
        said = [
            f"{title}: {_listed(names)}"
            for title, names in (
                ("missing", self.missing),
                ("unexpected", self.unexpected),
                ("of another shape", shapes),
            )
            if names
        ]
        if said:
            raise ConfigurationError(
                f"the tensors of {source} do not fit the model; {'; '.join(said)}; {advice}"
            )


def read_json(file: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        ConfigurationError: the file is missing, or does not hold a JSON object.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror or error}; is it the model's folder?"
        ) from error
    except ValueError as error:
        raise ConfigurationError(f"{file} is not valid JSON: {error}; download it again") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{file} does not hold a JSON object; download it again")
    return value


def tensor_headers(files: Iterable[Path]) -> dict[str, TensorHeader]:
    """The headers of all tensors in safetensors files, by tensor name. Only the headers are read.

    Raises:
        ConfigurationError: a file is missing, truncated or not a safetensors file.
    """
    return {name: header for file in files for name, header in _headers_of(file)}


def weight_bytes(files: Iterable[Path], dtype: str = "auto") -> int:
    """The memory of the loaded weights in bytes. Only the headers are read.

    Args:
        files: safetensors files.
        dtype: the dtype to which floating-point tensors are converted, e.g. "float32"; "auto" keeps that of
            the file.

    Raises:
        ConfigurationError: as `tensor_headers`.
    """
    item = ITEM_BYTES.get(dtype)
    return sum(
        header.count * item if item is not None and header.dtype in _FLOATS else header.nbytes
        for header in tensor_headers(files).values()
    )


def folder_identity(
    folder: Path, tensors: Iterable[Path], configuration: Sequence[str] = _CONFIGURATION
) -> str:
    """A SHA-256 (hex) that identifies a checkpoint without reading all of its weights.

    It covers the names and contents of the configuration files at the top of the folder, and each tensor's
    name, dtype, shape and first 4096 bytes. The folder's path does not count. Checkpoints that differ only
    after the first 4096 bytes of their tensors have the same identity.

    Args:
        folder: the checkpoint.
        tensors: its safetensors files.
        configuration: patterns of the names of its configuration files.

    Raises:
        ConfigurationError: as `tensor_headers`; or the folder does not exist.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}; give the folder of the downloaded model")
    digest = hashlib.sha256()
    for file in sorted(
        {file for pattern in configuration for file in folder.glob(pattern) if file.is_file()}
    ):
        digest.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    for name, header in sorted(tensor_headers(tensors).items()):
        digest.update(f"{name}\0{header.dtype}\0{header.shape}\0".encode())
        with header.file.open("rb") as opened:
            opened.seek(header.start)
            digest.update(opened.read(min(header.nbytes, _SAMPLE_BYTES)))
    return digest.hexdigest()


def load_strictly(
    module: nn.Module, files: Sequence[Path], source: Path, *, advice: str, unused: Sequence[str] = ()
) -> None:
    """Fill a module with the tensors of safetensors files, keeping the module's dtypes and devices.

    Args:
        module: its parameters and persistent buffers are filled in place.
        files: each tensor may be in one file only.
        source: the folder or file that error messages name.
        advice: the end of an error message: what the user can do.
        unused: name prefixes of tensors in the files that the model does not need.

    Raises:
        ConfigurationError: one report of all tensors that are missing, unexpected or of another shape.
    """
    from safetensors import safe_open

    headers = {n: h for n, h in tensor_headers(files).items() if not n.startswith(tuple(unused))}
    wanted = dict(module.state_dict(keep_vars=True))
    _misfit({n: h.shape for n, h in headers.items()}, {n: tuple(t.shape) for n, t in wanted.items()}).check(
        source, advice
    )
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - `opened` is not a mapping
                if name in headers:
                    wanted[name].data.copy_(opened.get_tensor(name))


def check_loaded(info: Mapping[str, Any], source: Path, *, advice: str) -> None:
    """Check the loading report of `from_pretrained`.

    Args:
        info: its second result with output_loading_info=True and ignore_mismatched_sizes=True.
        source: the folder that error messages name.
        advice: the end of an error message: what the user can do.

    Raises:
        ConfigurationError: as `load_strictly`.
    """
    Misfit(
        missing=tuple(sorted(info["missing_keys"])),
        unexpected=tuple(sorted(info["unexpected_keys"])),
        misshaped=tuple(
            (name, tuple(found), tuple(due)) for name, found, due in sorted(info["mismatched_keys"])
        ),
    ).check(source, advice)


def _misfit(found: Mapping[str, tuple[int, ...]], due: Mapping[str, tuple[int, ...]]) -> Misfit:
    return Misfit(
        missing=tuple(sorted(due.keys() - found.keys())),
        unexpected=tuple(sorted(found.keys() - due.keys())),
        misshaped=tuple(
            (name, found[name], due[name])
            for name in sorted(found.keys() & due.keys())
            if found[name] != due[name]
        ),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _headers_of(file: Path) -> Iterator[tuple[str, TensorHeader]]:
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= _MOST_HEADER_BYTES:
                raise ValueError(f"its header claims {length} bytes")
            stated = json.loads(opened.read(length))
        size = file.stat().st_size
        for name, each in stated.items():
            if name != "__metadata__":
                yield name, _header(file, each, 8 + length, size)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror or error}; download it again"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{file} is not a complete safetensors file: {error}; download it again"
        ) from error


def _header(file: Path, stated: Mapping[str, Any], offset: int, size: int) -> TensorHeader:
    start, end = stated["data_offsets"]
    if offset + end > size:
        raise ValueError(f"it ends after {size} bytes instead of at least {offset + end}")
    return TensorHeader(file, stated["dtype"], tuple(stated["shape"]), offset + start, end - start)
